"""The genetic algorithm: elitist, with Deb's feasibility ranking and no duplicates."""

from __future__ import annotations

from typing import Any

import numpy as np

from hilnas.nas.metrics import Budget, FloatArray, Metrics
from hilnas.nas.objective import Objective, constrained_accuracy
from hilnas.nas.searches.memory import Seen
from hilnas.nas.searches.variation import crossover, mutate
from hilnas.nas.space import Architectures, SearchSpace


class GeneticSearch:
    """(mu + lambda) evolution: binary tournaments, uniform crossover, mutation of single decisions (`variation`).

    The `population` best of all told architectures are the parents, whatever generation they come from. With the default
    objective every architecture that meets the budget ranks above every one that does not (Deb, 2000).
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget,
        seed: int,
        objective: Objective = constrained_accuracy,
        population: int = 50,
        crossover: float = 0.9,
        mutation: float = 0.03,
    ) -> None:
        self.space = space
        self.budget = budget
        self.objective = objective
        self.population = population
        self.crossover = crossover
        self.mutation = mutation
        self._rng = np.random.default_rng(seed)
        self._seen = Seen(space)
        self._parents: Architectures = np.zeros((0, len(space.decisions)), dtype=np.int64)
        self._scores: FloatArray = np.zeros(0)

    def ask(self, count: int) -> Architectures:
        """`count` canonical architectures that were never asked or told: random ones until the population is full, then children."""
        draw = self._children if len(self._parents) >= self.population else self._random
        return self._seen.draw_unseen(count, draw)

    def tell(self, architectures: Architectures, metrics: Metrics) -> None:
        """Lets the architectures compete for a place among the parents; proposed ones or others (warm start)."""
        batch = self.space.canonical(architectures)
        self._seen.add(batch)
        candidates = np.concatenate([self._parents, batch])
        scores = np.concatenate([self._scores, self.objective(metrics, self.budget)])
        _, first = np.unique(candidates, axis=0, return_index=True)
        first.sort()
        best = first[np.argsort(-scores[first], kind="stable")][: self.population]
        self._parents, self._scores = candidates[best], scores[best]

    def state(self) -> dict[str, Any]:
        """The random generator, the parents with their scores, and what was seen."""
        return {
            "rng": self._rng.bit_generator.state,
            "seen": self._seen.to_array(),
            "parents": self._parents,
            "scores": self._scores,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state()`."""
        self._rng.bit_generator.state = state["rng"]
        self._seen.replace(state["seen"])
        self._parents = np.asarray(state["parents"], dtype=np.int64).reshape(-1, len(self.space.decisions))
        self._scores = np.asarray(state["scores"], dtype=np.float64)

    def _random(self, count: int) -> Architectures:
        return self.space.sample(count, self._rng)

    def _children(self, count: int) -> Architectures:
        mothers, fathers = self._tournament(count), self._tournament(count)
        crossed = self._rng.random((count, 1)) < self.crossover
        children = np.where(crossed, crossover(self.space, mothers, fathers, self._rng), mothers)
        return mutate(self.space, children, self.mutation, self._rng)

    def _tournament(self, count: int) -> Architectures:
        # Parents are sorted by score: the smaller index of two wins.
        pairs = self._rng.integers(0, len(self._parents), size=(2, count))
        winners: Architectures = self._parents[pairs.min(axis=0)]
        return winners
