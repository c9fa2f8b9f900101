"""Trains one policy conditioned on the latency limit: REINFORCE beside imitation of the best that was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilnas.nas.metrics import Budget, FloatArray, Metrics
from hilnas.nas.searches.memory import ATTEMPTS, Seen
from hilnas.nas.searches.policy import ConditionedPolicy, draw
from hilnas.nas.searches.variation import crossover, mutate
from hilnas.nas.space import Architectures, SearchSpace

SETTLING_RATE = 0.2
MOST_SETTLING_STEPS = 500


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


class Elites:
    """The `size` best feasible architectures for each of K budgets, best first."""

    def __init__(self, space: SearchSpace, budgets: int, size: int) -> None:
        self._space = space
        width = len(space.decisions)
        self.architectures: Architectures = np.zeros((budgets, size, width), dtype=np.int64)
        self.accuracies: FloatArray = np.full((budgets, size), -np.inf)
        choices = int(space.choice_counts.max())
        self.frequencies: FloatArray = np.zeros((budgets, width, choices))
        """How often each choice lives in an elite, shape (K, D, C): the mean over a budget's elites."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many each budget has, shape (K,)."""
        filled: NDArray[np.int64] = np.isfinite(self.accuracies).sum(axis=1)
        return filled

    def merge(self, architectures: Architectures, accuracies: FloatArray, met: NDArray[np.bool_]) -> None:
        """Lets (N, D) canonical architectures compete for each budget that they meet, `met` (K, N)."""
        better = met & (accuracies > self.accuracies[:, -1:])
        for index in np.flatnonzero(better.any(axis=1)):
            known = self.counts[index]
            together = np.concatenate([self.architectures[index, :known], architectures[better[index]]])
            values = np.concatenate([self.accuracies[index, :known], accuracies[better[index]]])
            _, first = np.unique(together, axis=0, return_index=True)
            best = first[np.lexsort((first, -values[first]))][: self.accuracies.shape[1]]
            self.replace(int(index), together[best], values[best])

    def replace(self, index: int, architectures: Architectures, accuracies: FloatArray) -> None:
        """Makes these, best first, the elites of a budget."""
        count = len(architectures)
        self.architectures[index, :count], self.accuracies[index, :count] = architectures, accuracies
        self.accuracies[index, count:] = -np.inf
        if count:
            one_hot = architectures[:, :, None] == np.arange(self.frequencies.shape[2])
            self.frequencies[index] = (one_hot & self._space.live(architectures)[:, :, None]).mean(axis=0)


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
        self._elites = Elites(space, len(self.budgets), self.settings.elites)
        nothing = np.zeros(0, dtype=np.int64)
        self._asked = _Proposals(nothing.reshape(0, len(space.decisions)), nothing, nothing.astype(np.bool_))
        # Adam's moments of the logits shared by all limits and of those of each limit.
        shape = self.policy.logits.shape
        self._moments = np.zeros((2, shape[0] + 1, *shape[1:]))
        self._steps = 0

    def ask(self, count: int) -> Architectures:
        """At most `count` canonical architectures, as many for each budget; none of them was asked or told before."""
        owner = np.arange(count) * len(self.budgets) // count
        can_recombine = self._elites.counts >= 2
        share = np.bincount(owner, minlength=len(self.budgets))
        place = np.arange(count) - np.searchsorted(owner, owner)
        sampled = place < (share - np.where(can_recombine, np.rint(self.settings.recombined * share), 0))[owner]
        rows = np.zeros((count, len(self.space.decisions)), dtype=np.int64)
        missing = np.arange(count)
        for _ in range(ATTEMPTS):
            batch = self._propose(owner[missing], sampled[missing])
            new = self._seen.unseen(batch)
            self._seen.add(batch[new])
            rows[missing[new]] = batch[new]
            missing = np.delete(missing, new)
            if len(missing) == 0:
                break
            # A policy that repeats itself has little more to tell: children take the place of its samples.
            sampled[missing] &= ~can_recombine[owner[missing]]
        found = np.setdiff1d(np.arange(count), missing)
        self._asked = _Proposals(rows[found], owner[found], sampled[found])
        return self._asked.architectures

    def tell(self, architectures: Architectures, metrics: Metrics) -> None:
        """Keeps the best for every budget and takes one gradient step. Architectures that were not asked only join the elites."""
        batch = self.space.canonical(architectures)
        self._seen.add(batch)
        overruns = np.stack([budget.overrun(metrics, self.margin).sum(axis=1) for budget in self.budgets])
        self._elites.merge(batch, metrics.accuracy.mean, overruns == 0.0)
        if np.array_equal(batch, self._asked.architectures):
            rewards = metrics.accuracy.mean - overruns[self._asked.owner, np.arange(len(batch))]
            chances = self.policy.chances()
            gradient = self.settings.imitation * self._imitation(chances)
            self._step(gradient + self.settings.policy_gradient * self._reinforce(chances, rewards))

    def settle(self) -> ConditionedPolicy:
        """The policy once its most probable architecture for each limit is the best one found for it, where there is one.

        Takes further imitation steps on those alone, no evaluations.
        """
        known = self._elites.counts > 0
        best = self._elites.architectures[:, 0]
        live = self.space.live(best) & known[:, None]
        wanted = live[:, :, None] & (best[:, :, None] == np.arange(self.policy.logits.shape[2]))
        for _ in range(MOST_SETTLING_STEPS):
            chances = self.policy.chances()
            greedy = self.space.canonical(chances.argmax(axis=2))
            wrong = known & np.any(greedy != best, axis=1)
            if not wrong.any():
                break
            step = wanted - live[:, :, None] * chances
            self.policy.logits = self.policy.logits + SETTLING_RATE * wrong[:, None, None] * step
        return self.policy

    def state(self) -> dict[str, Any]:
        """The random generator, the policy with its moments, the elites, and what was seen."""
        elites = zip(self._elites.architectures, self._elites.accuracies, self._elites.counts, strict=True)
        return {
            "rng": self._rng.bit_generator.state,
            "seen": self._seen.to_array(),
            "logits": self.policy.logits,
            "moments": self._moments,
            "steps": self._steps,
            "elites": [(rows[:count], values[:count]) for rows, values, count in elites],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state()`."""
        self._rng.bit_generator.state = state["rng"]
        self._seen.replace(state["seen"])
        self.policy.logits = np.asarray(state["logits"], dtype=np.float64)
        self._moments = np.asarray(state["moments"], dtype=np.float64)
        self._steps = int(state["steps"])
        for index, (rows, values) in enumerate(state["elites"]):
            architectures = np.asarray(rows, dtype=np.int64).reshape(-1, len(self.space.decisions))
            self._elites.replace(index, architectures, np.asarray(values, dtype=np.float64))

    def _propose(self, owner: NDArray[np.int64], sampled: NDArray[np.bool_]) -> Architectures:
        """One canonical architecture for each of the budgets `owner`: drawn by the policy, or a child of elites."""
        rows = np.zeros((len(owner), len(self.space.decisions)), dtype=np.int64)
        rows[sampled] = draw(self.policy.chances()[owner[sampled]], self._rng)
        bred = owner[~sampled]
        places = self._rng.random((2, len(bred))) * self._elites.counts[bred]
        mothers, fathers = self._elites.architectures[bred, places.astype(np.int64)]
        rows[~sampled] = mutate(self.space, crossover(self.space, mothers, fathers, self._rng), self.settings.mutation, self._rng)
        return self.space.canonical(rows)

    def _imitation(self, chances: FloatArray) -> FloatArray:
        """The gradient of the elites' mean log-likelihood by the logits, shape (K, D, C)."""
        frequencies = self._elites.frequencies
        gradient: FloatArray = frequencies - frequencies.sum(axis=2, keepdims=True) * chances
        return gradient

    def _reinforce(self, chances: FloatArray, rewards: FloatArray) -> FloatArray:
        """The gradient of the expected reward of the policy's own samples by the logits, shape (K, D, C)."""
        gradient = np.zeros_like(chances)
        rows = np.flatnonzero(self._asked.sampled)
        owner, batch = self._asked.owner[rows], self._asked.architectures[rows]
        count = np.maximum(np.bincount(owner, minlength=len(gradient)), 1)
        advantage = rewards[rows] - (np.bincount(owner, rewards[rows], minlength=len(gradient)) / count)[owner]
        deviation = np.sqrt(np.bincount(owner, advantage**2, minlength=len(gradient)) / count)
        weight = advantage / (deviation[owner] + 1e-4) / count[owner]
        one_hot = batch[:, :, None] == np.arange(gradient.shape[2])
        score = self.space.live(batch)[:, :, None] * (one_hot - chances[owner])
        np.add.at(gradient, owner, weight[:, None, None] * score)
        return gradient

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
