"""Regularised evolution: tournaments in a population where the oldest dies, not the worst."""

from __future__ import annotations

from typing import Any

import numpy as np

from hilnas.nas.metrics import Budget, FloatArray, Metrics
from hilnas.nas.objective import Objective, constrained_accuracy
from hilnas.nas.space import Architectures, SearchSpace


class RegularisedEvolution:
    """Ageing evolution: the best of a random sample of the population gets one mutated child; the oldest member leaves.

    A mutation changes one decision, drawn uniformly, to another of its choices. Architectures may be proposed again, as in
    the source: an old one that was lucky has to prove itself once more.
    Source: Real et al., "Regularized Evolution for Image Classifier Architecture Search", 2019, algorithm 1.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget,
        seed: int,
        objective: Objective = constrained_accuracy,
        population: int = 100,
        sample: int = 25,
    ) -> None:
        self.space = space
        self.budget = budget
        self.objective = objective
        self.population = population
        self.sample = sample
        self._rng = np.random.default_rng(seed)
        self._members: Architectures = np.zeros((0, len(space.decisions)), dtype=np.int64)
        self._scores: FloatArray = np.zeros(0)

    def ask(self, count: int) -> Architectures:
        """`count` architectures: random ones until the population is full, then children. One at a time follows the source exactly."""
        if len(self._members) < self.population:
            return self.space.canonical(self.space.sample(count, self._rng))
        contenders = self._rng.integers(0, len(self._members), size=(count, self.sample))
        winners = contenders[np.arange(count), self._scores[contenders].argmax(axis=1)]
        return self.space.canonical(self._mutate(self._members[winners]))

    def tell(self, architectures: Architectures, metrics: Metrics) -> None:
        """Adds members at the young end and lets the oldest beyond the population's size die."""
        self._members = np.concatenate([self._members, architectures])[-self.population :]
        self._scores = np.concatenate([self._scores, self.objective(metrics, self.budget)])[-self.population :]

    def state(self) -> dict[str, Any]:
        """The random generator and the population, oldest first."""
        return {"rng": self._rng.bit_generator.state, "members": self._members, "scores": self._scores}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state()`."""
        self._rng.bit_generator.state = state["rng"]
        self._members = np.asarray(state["members"], dtype=np.int64).reshape(-1, len(self.space.decisions))
        self._scores = np.asarray(state["scores"], dtype=np.float64)

    def _mutate(self, parents: Architectures) -> Architectures:
        """One decision of each parent moved to another choice, uniformly; only live decisions with a choice are moved."""
        children = parents.copy()
        movable = self.space.live(parents) & (self.space.choice_counts > 1)
        columns = np.where(movable, self._rng.random(parents.shape), -1.0).argmax(axis=1)
        rows = np.arange(len(parents))
        counts = self.space.choice_counts[columns]
        children[rows, columns] = (parents[rows, columns] + self._rng.integers(1, np.maximum(counts, 2))) % counts
        return children
