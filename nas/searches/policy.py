"""A factorised policy conditioned on the latency limit: one policy for every limit, trained once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import BudgetError, InputError
from hilnas.nas.limits import show_budget
from hilnas.nas.metrics import Budget, FloatArray, Metrics
from hilnas.nas.search import Predictor
from hilnas.nas.space import Architectures, SearchSpace

SAMPLES_AT_DEPLOYMENT = 64
DEPLOYMENT_EVALUATIONS = SAMPLES_AT_DEPLOYMENT + 3
"""The most that `ConditionedPolicy.deploy` asks the predictor for."""


class ConditionedPolicy:
    """Independent categorical distributions over the choices of each decision, given a latency limit.

    The logits are piecewise linear in the limit, with a knot at each of `limits` (rising, seconds): `logits` has shape
    (K, D, C), C being the largest number of choices. Beyond the first and the last knot they are constant.
    """

    def __init__(self, space: SearchSpace, limits: Sequence[float]) -> None:
        if list(limits) != sorted(set(limits)) or not limits:
            raise InputError(f"the latency limits of a policy rise and differ, got {list(limits)}")
        self.space = space
        self.limits = np.asarray(limits, dtype=np.float64)
        choices = int(space.choice_counts.max())
        self.possible: NDArray[np.bool_] = np.arange(choices) < space.choice_counts[:, None]
        self.logits: FloatArray = np.zeros((len(self.limits), len(space.decisions), choices))

    def at(self, limit: float) -> FloatArray:
        """The logits for a limit, shape (D, C), minus infinity where there is no choice."""
        right = int(np.clip(np.searchsorted(self.limits, limit), 1, max(1, len(self.limits) - 1)))
        if len(self.limits) == 1:
            logits = self.logits[0]
        else:
            low, high = self.limits[right - 1], self.limits[right]
            weight = float(np.clip((limit - low) / (high - low), 0.0, 1.0))
            logits = (1.0 - weight) * self.logits[right - 1] + weight * self.logits[right]
        masked: FloatArray = np.where(self.possible, logits, -np.inf)
        return masked

    def chances(self) -> FloatArray:
        """The probability of every choice at every knot, shape (K, D, C)."""
        return probabilities(np.where(self.possible, self.logits, -np.inf))

    def greedy(self, limit: float) -> Architectures:
        """The most probable choice of every decision, shape (1, D)."""
        return self.space.canonical(self.at(limit).argmax(axis=1)[None])

    def sample(self, limit: float, count: int, rng: np.random.Generator) -> Architectures:
        """Draws `count` canonical architectures."""
        chances = np.broadcast_to(probabilities(self.at(limit)), (count, *self.possible.shape))
        return self.space.canonical(draw(chances, rng))

    def deploy(self, predictor: Predictor, budget: Budget, rng: np.random.Generator, margin: float = 0.0) -> Deployed:
        """The greedy architecture if it meets the budget and its limit is a knot; else the most accurate that meets the budget of
        it, the greedy one of the next lower knot, and 64 samples.

        Raises:
            BudgetError: none of them meets it.
        """
        limit = budget.latency_s if budget.latency_s is not None else float(self.limits[-1])
        greedy = self.greedy(limit)
        metrics = predictor.predict(greedy)
        if limit in self.limits and budget.is_met(metrics, margin)[0]:
            return Deployed(greedy[0], metrics)
        lower = self.limits[max(0, int(np.searchsorted(self.limits, limit)) - 1)]
        candidates = np.concatenate([greedy, self.greedy(float(lower)), self.sample(limit, SAMPLES_AT_DEPLOYMENT, rng)])
        metrics = predictor.predict(candidates)
        met = budget.is_met(metrics, margin)
        if not met.any():
            raise BudgetError(
                f"neither the policy's most probable architecture nor {SAMPLES_AT_DEPLOYMENT} samples meet {show_budget(budget)}",
                "Train the policy longer, or for limits nearer to this one.",
            )
        best = int(np.argmax(np.where(met, metrics.accuracy.mean, -np.inf)))
        return Deployed(candidates[best], metrics[best : best + 1])


@dataclass(frozen=True)
class Deployed:
    """The architecture (D,) that a policy gives for one budget, and its metrics (N = 1)."""

    architecture: NDArray[np.int64]
    metrics: Metrics


def probabilities(logits: FloatArray) -> FloatArray:
    """The softmax over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    chances: FloatArray = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return chances


def draw(chances: FloatArray, rng: np.random.Generator) -> Architectures:
    """One choice for each of the independent distributions (N, D, C), shape (N, D)."""
    points = rng.random((*chances.shape[:2], 1))
    choices: Architectures = (points >= np.cumsum(chances, axis=2)[:, :, :-1]).sum(axis=2)
    # The cumulated probabilities of the possible choices may round to less than 1.
    last = chances.shape[2] - 1 - (chances > 0)[:, :, ::-1].argmax(axis=2)
    possible: Architectures = np.minimum(choices, last)
    return possible
