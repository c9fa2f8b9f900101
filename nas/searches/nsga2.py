"""Pareto search: NSGA-II over accuracy, latency, flash and SRAM, by pymoo."""

from __future__ import annotations

from typing import Any

import numpy as np

from hilnas.nas.metrics import Budget, FloatArray, Metrics
from hilnas.nas.searches.memory import Seen
from hilnas.nas.searches.pareto import costs
from hilnas.nas.space import Architectures, SearchSpace


class ParetoSearch:
    """(mu + lambda) evolution whose survivors are chosen by rank and crowding distance; the budget's limits are constraints.

    Selection is pymoo's (Blank and Deb, 2020); the operators are those of the genetic algorithm: binary tournament, uniform
    crossover, mutation of single decisions, no duplicates. Source: Deb et al., "A fast and elitist multiobjective genetic
    algorithm: NSGA-II", 2002.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget,
        seed: int,
        population: int = 100,
        crossover: float = 0.9,
        mutation: float = 0.03,
        margin: float = 0.0,
    ) -> None:
        self.space = space
        self.budget = budget
        self.population = population
        self.crossover = crossover
        self.mutation = mutation
        self.margin = margin
        self._rng = np.random.default_rng(seed)
        self._seen = Seen(space)
        self._parents: Architectures = np.zeros((0, len(space.decisions)), dtype=np.int64)
        self._costs: FloatArray = np.zeros((0, 4))
        self._overrun: FloatArray = np.zeros((0, 1))

    def ask(self, count: int) -> Architectures:
        """`count` canonical architectures that were never asked or told."""
        return self._seen.draw_unseen(count, self._children if len(self._parents) >= self.population else self._random)

    def tell(self, architectures: Architectures, metrics: Metrics) -> None:
        """Lets the architectures compete for a place among the parents; proposed ones or others (warm start)."""
        batch = self.space.canonical(architectures)
        self._seen.add(batch)
        together = np.concatenate([self._parents, batch])
        overrun = self.budget.overrun(metrics, self.margin).sum(axis=1, keepdims=True)
        together_costs = np.concatenate([self._costs, costs(metrics)])
        together_overrun = np.concatenate([self._overrun, overrun])
        kept = _survive(together_costs, together_overrun, self.population, self._rng)
        self._parents, self._costs, self._overrun = together[kept], together_costs[kept], together_overrun[kept]

    def state(self) -> dict[str, Any]:
        """The random generator, the parents and what was seen."""
        return {
            "rng": self._rng.bit_generator.state,
            "seen": self._seen.to_array(),
            "parents": self._parents,
            "costs": self._costs,
            "overrun": self._overrun,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state()`."""
        self._rng.bit_generator.state = state["rng"]
        self._seen.replace(state["seen"])
        self._parents = np.asarray(state["parents"], dtype=np.int64).reshape(-1, len(self.space.decisions))
        self._costs = np.asarray(state["costs"], dtype=np.float64).reshape(-1, 4)
        self._overrun = np.asarray(state["overrun"], dtype=np.float64).reshape(-1, 1)

    def _random(self, count: int) -> Architectures:
        return self.space.sample(count, self._rng)

    def _children(self, count: int) -> Architectures:
        # Survivors are sorted by rank, then by crowding: the smaller index of two wins.
        pairs = self._rng.integers(0, len(self._parents), size=(2, 2, count)).min(axis=1)
        mothers, fathers = self._parents[pairs[0]], self._parents[pairs[1]]
        crossed = self._rng.random(count) < self.crossover
        children = np.where((self._rng.random(mothers.shape) < 0.5) & crossed[:, None], fathers, mothers)
        mutated = self._rng.random(children.shape) < self.mutation
        return np.where(mutated, self.space.sample(count, self._rng), children)


def _survive(values: FloatArray, overrun: FloatArray, count: int, rng: np.random.Generator) -> Architectures:
    """Indices of the survivors, best first, as pymoo's rank and crowding survival chooses them."""
    from pymoo.algorithms.moo.nsga2 import RankAndCrowding
    from pymoo.core.population import Population
    from pymoo.core.problem import Problem

    problem = Problem(n_var=1, n_obj=values.shape[1], n_ieq_constr=1)
    members = Population.new(X=np.arange(len(values))[:, None], F=values, G=overrun)
    survivors = RankAndCrowding().do(problem, members, n_survive=min(count, len(values)), random_state=rng)
    ranks, crowding = survivors.get("rank"), survivors.get("crowding")
    infeasible = np.array([not one.FEAS[0] for one in survivors])
    ranks = np.where(infeasible, np.inf, [np.inf if rank is None else rank for rank in ranks])
    crowding = np.array([0.0 if distance is None else distance for distance in crowding], dtype=np.float64)
    order = np.lexsort((-np.nan_to_num(crowding, posinf=1e30), ranks))
    kept: Architectures = survivors.get("X")[:, 0].astype(np.int64)[order]
    return kept
