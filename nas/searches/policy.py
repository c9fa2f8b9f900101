"""A factorised policy conditioned on the latency limit: one policy for every limit, trained once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import BudgetError, InputError
from hilnas.nas.metrics import Budget, FloatArray, Metrics
from hilnas.nas.search import Predictor
from hilnas.nas.searches.memory import Seen
from hilnas.nas.space import Architectures, SearchSpace

SAMPLES_AT_DEPLOYMENT = 64
DEPLOYMENT_EVALUATIONS = SAMPLES_AT_DEPLOYMENT + 3
"""The most that `ConditionedPolicy.deploy` asks the predictor for."""
SETTLING_RATE = 0.2
MOST_SETTLING_STEPS = 500


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

    def greedy(self, limit: float) -> Architectures:
        """The most probable choice of every decision, shape (1, D)."""
        return self.space.canonical(self.at(limit).argmax(axis=1)[None])

    def sample(self, limit: float, count: int, rng: np.random.Generator) -> Architectures:
        """Draws `count` canonical architectures."""
        return self.space.canonical(draw(probabilities(self.at(limit)), count, rng))

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
                f"neither the policy's most probable architecture nor {SAMPLES_AT_DEPLOYMENT} samples meet {budget}",
                "Train the policy longer, or for limits nearer to this one.",
            )
        best = int(np.argmax(np.where(met, metrics.accuracy.mean, -np.inf)))
        return Deployed(candidates[best], metrics[best : best + 1])


@dataclass(frozen=True)
class Deployed:
    """The architecture (D,) that a policy gives for one budget, and its metrics (N = 1)."""

    architecture: NDArray[np.int64]
    metrics: Metrics


@dataclass(frozen=True)
class PolicySettings:
    """How the policy learns.

    `elites`: the best feasible architectures kept per limit. `imitation` and `policy_gradient`: weights of the two gradients.
    `recombined`: the share of proposals that cross and mutate elites instead of being sampled from the policy. `mutation`: the
    probability that a decision of those is drawn anew. `moments`: Adam's decay rates (Kingma and Ba, 2015).
    """

    learning_rate: float = 0.05
    elites: int = 16
    imitation: float = 1.0
    policy_gradient: float = 0.1
    recombined: float = 0.8
    mutation: float = 0.03
    moments: tuple[float, float] = (0.9, 0.99)


@dataclass
class _Elites:
    """The best feasible architectures for one budget, best first."""

    architectures: Architectures
    accuracies: FloatArray = field(default_factory=lambda: np.zeros(0))

    def merge(self, architectures: Architectures, accuracies: FloatArray, size: int) -> None:
        together = np.concatenate([self.architectures, architectures])
        values = np.concatenate([self.accuracies, accuracies])
        _, first = np.unique(together, axis=0, return_index=True)
        best = first[np.lexsort((first, -values[first]))][:size]
        self.architectures, self.accuracies = together[best], values[best]


@dataclass(frozen=True)
class _Proposals:
    """What was asked last: owner is the index of the budget, sampled says that the policy drew it."""

    architectures: Architectures
    owner: NDArray[np.int64]
    sampled: NDArray[np.bool_]


class PolicySearch:
    """Trains a `ConditionedPolicy` for several budgets that differ in their latency limit.

    REINFORCE with the mean of each budget's samples as baseline (Williams, 1992), beside self-imitation of the best feasible
    architectures (Oh et al., "Self-Imitation Learning", 2018). Every answer is judged under every budget (hindsight,
    Andrychowicz et al., 2017), so that what is found for one limit teaches the others. Nothing is asked twice.
    """

    def __init__(
        self, space: SearchSpace, budgets: Sequence[Budget], seed: int, settings: PolicySettings | None = None, margin: float = 0.0
    ) -> None:
        self.space = space
        self.margin = margin
        self.budgets = sorted(budgets, key=lambda budget: budget.latency_s or np.inf)
        self.settings = settings or PolicySettings()
        self.policy = ConditionedPolicy(space, [budget.latency_s or 1.0 for budget in self.budgets])
        self._rng = np.random.default_rng(seed)
        self._seen = Seen(space)
        nothing = np.zeros((0, len(space.decisions)), dtype=np.int64)
        self._elites = [_Elites(nothing) for _ in self.budgets]
        self._asked = _Proposals(nothing, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_))
        # Adam's moments of the logits shared by all limits and of those of each limit.
        shape = self.policy.logits.shape
        self._moments = np.zeros((2, shape[0] + 1, *shape[1:]))
        self._steps = 0

    def ask(self, count: int) -> Architectures:
        """At most `count` canonical architectures, as many for each budget; none of them was asked or told before."""
        share = np.full(len(self.budgets), count // len(self.budgets))
        share[: count % len(self.budgets)] += 1
        parts = []
        for index, budget_share in enumerate(share.tolist()):
            recombined = round(self.settings.recombined * budget_share) if len(self._elites[index].architectures) >= 2 else 0
            sampled = self._seen.draw_unseen(budget_share - recombined, partial(self._sample, index))
            children = self._seen.draw_unseen(budget_share - len(sampled), partial(self._recombine, index))
            flags = np.arange(len(sampled) + len(children)) < len(sampled)
            parts.append(_Proposals(np.concatenate([sampled, children]), np.full(len(flags), index), flags))
        self._asked = _Proposals(
            np.concatenate([part.architectures for part in parts]),
            np.concatenate([part.owner for part in parts]),
            np.concatenate([part.sampled for part in parts]),
        )
        return self._asked.architectures

    def tell(self, architectures: Architectures, metrics: Metrics) -> None:
        """Keeps the best for every budget and takes one gradient step. Architectures that were not asked only join the elites."""
        batch = self.space.canonical(architectures)
        self._seen.add(batch)
        overruns = [budget.overrun(metrics, self.margin).sum(axis=1) for budget in self.budgets]
        for elites, overrun in zip(self._elites, overruns, strict=True):
            met = overrun == 0.0
            elites.merge(batch[met], metrics.accuracy.mean[met], self.settings.elites)
        if np.array_equal(batch, self._asked.architectures):
            rewards = np.stack(overruns)[self._asked.owner, np.arange(len(batch))]
            self._step(self._gradient(batch, metrics.accuracy.mean - rewards))

    def settle(self) -> ConditionedPolicy:
        """The policy once its most probable architecture for each limit is the best one found for it, where there is one.

        Takes further imitation steps on those alone, no evaluations.
        """
        best = [elites.architectures[:1] for elites in self._elites]
        for _ in range(MOST_SETTLING_STEPS):
            gradient = np.zeros_like(self.policy.logits)
            for index, wanted in enumerate(best):
                if len(wanted) and not np.array_equal(self._greedy(index), wanted):
                    gradient[index] = self._score(wanted, self._chances(index), np.ones(1))
            if not gradient.any():
                break
            self.policy.logits = self.policy.logits + SETTLING_RATE * gradient
        return self.policy

    def state(self) -> dict[str, Any]:
        """The random generator, the policy with its moments, the elites, and what was seen."""
        return {
            "rng": self._rng.bit_generator.state,
            "seen": self._seen.to_array(),
            "logits": self.policy.logits,
            "moments": self._moments,
            "steps": self._steps,
            "elites": [(elites.architectures, elites.accuracies) for elites in self._elites],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state()`."""
        self._rng.bit_generator.state = state["rng"]
        self._seen.replace(state["seen"])
        self.policy.logits = np.asarray(state["logits"], dtype=np.float64)
        self._moments = np.asarray(state["moments"], dtype=np.float64)
        self._steps = int(state["steps"])
        width = len(self.space.decisions)
        self._elites = [
            _Elites(np.asarray(rows, dtype=np.int64).reshape(-1, width), np.asarray(values, dtype=np.float64))
            for rows, values in state["elites"]
        ]

    def _chances(self, index: int) -> FloatArray:
        return probabilities(np.where(self.policy.possible, self.policy.logits[index], -np.inf))

    def _greedy(self, index: int) -> Architectures:
        return self.space.canonical(self._chances(index).argmax(axis=1)[None])

    def _sample(self, index: int, count: int) -> Architectures:
        return draw(self._chances(index), count, self._rng)

    def _recombine(self, index: int, count: int) -> Architectures:
        elites = self._elites[index].architectures
        if len(elites) < 2:
            return self.space.sample(count, self._rng)
        parents = elites[self._rng.integers(0, len(elites), size=(2, count))]
        children = np.where(self._rng.random(parents[0].shape) < 0.5, parents[0], parents[1])
        mutated = self._rng.random(children.shape) < self.settings.mutation
        return np.where(mutated, self.space.sample(count, self._rng), children)

    def _gradient(self, batch: Architectures, rewards: FloatArray) -> FloatArray:
        """Of expected reward and of the elites' log-likelihood by the logits, shape (K, D, C)."""
        gradient = np.zeros_like(self.policy.logits)
        for index, elites in enumerate(self._elites):
            chances = self._chances(index)
            own = (self._asked.owner == index) & self._asked.sampled
            if own.sum() > 1:
                advantage = (rewards[own] - rewards[own].mean()) / (rewards[own].std() + 1e-4)
                gradient[index] += self.settings.policy_gradient * self._score(batch[own], chances, advantage)
            if len(elites.architectures):
                gradient[index] += self.settings.imitation * self._score(elites.architectures, chances, np.ones(len(elites.architectures)))
        return gradient

    def _score(self, batch: Architectures, chances: FloatArray, weights: FloatArray) -> FloatArray:
        """Mean over the batch of weight times the gradient of the log-likelihood of its live decisions, shape (D, C)."""
        one_hot = batch[:, :, None] == np.arange(chances.shape[1])
        live = self.space.live(batch)
        score: FloatArray = np.einsum("n,nd,ndc->dc", weights, live.astype(np.float64), one_hot - chances) / len(batch)
        return score

    def _step(self, gradient: FloatArray) -> None:
        """One step of Adam on the logits as the sum of a part shared by all limits and a part of each limit."""
        parts = np.concatenate([gradient.mean(axis=0, keepdims=True), gradient])
        first, second = self.settings.moments
        self._steps += 1
        self._moments[0] = first * self._moments[0] + (1.0 - first) * parts
        self._moments[1] = second * self._moments[1] + (1.0 - second) * parts**2
        mean = self._moments[0] / (1.0 - first**self._steps)
        deviation = np.sqrt(self._moments[1] / (1.0 - second**self._steps)) + 1e-8
        step = self.settings.learning_rate * mean / deviation
        self.policy.logits = self.policy.logits + step[0] + step[1:]


def probabilities(logits: FloatArray) -> FloatArray:
    """The softmax over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    chances: FloatArray = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return chances


def draw(chances: FloatArray, count: int, rng: np.random.Generator) -> Architectures:
    """Draws `count` rows of independent choices with probabilities (D, C)."""
    points = rng.random((count, len(chances), 1))
    # The last cumulated probability may round to less than 1.
    cumulated = np.cumsum(chances, axis=1)[:, :-1] if chances.shape[1] > 1 else np.ones((len(chances), 0))
    choices: Architectures = (points >= cumulated).sum(axis=2)
    last = (chances > 0).cumsum(axis=1).argmax(axis=1)
    possible: Architectures = np.minimum(choices, last)
    return possible
