"""Study 1's genetic algorithm as published, to be compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hilnas.errors import InputError
from hilnas.nas.metrics import Budget, FloatArray, Metrics
from hilnas.nas.space import Architectures, SearchSpace
from hilnas.nas.spaces.mcu import McuSpace


@dataclass(frozen=True)
class StudyGaSettings:
    """The published settings; `deb_tournament` switches off the fault that the tournament compares accuracy alone."""

    population: int = 500
    generations: int = 30
    mutation: float = 0.3
    crossover: float = 0.9
    patience: int = 5
    threshold: float = 1e-4
    deb_tournament: bool = False


class StudyGeneticSearch:
    """Tournament of two on accuracy alone, one-point crossover in each group of decisions, mutation of every decision with .3.

    The next population is the most accurate feasible of parents and children, filled up with the most accurate infeasible ones.
    It ends after `generations`, or when the best feasible accuracy has not risen by `threshold` for `patience` generations.
    Source: study 1, section on the genetic algorithm and its published code.
    """

    def __init__(self, space: SearchSpace, budget: Budget, seed: int, settings: StudyGaSettings | None = None) -> None:
        if not isinstance(space, McuSpace):
            raise InputError(f"study 1's genetic algorithm needs the microcontroller space, not {space.name}", "Use --search ga.")
        self.space = space
        self.budget = budget
        self.settings = settings or StudyGaSettings()
        layout = space.layout
        self._groups = (
            *(layout.kernel, layout.expand, layout.depth),
            *(layout.exit_active, layout.exit_threshold, layout.exit_expand, layout.exit_kernel),
        )
        self._rng = np.random.default_rng(seed)
        self._queue: Architectures = space.sample(self.settings.population, self._rng)
        nothing = np.zeros((0, len(space.decisions)), dtype=np.int64)
        self._children, self._parents = nothing, nothing
        self._children_scores: FloatArray = np.zeros((0, 2))
        self._scores: FloatArray = np.zeros((0, 2))
        self._generation = 0
        self._best = -np.inf
        self._unimproved = 0

    def ask(self, count: int) -> Architectures:
        """At most `count` of the present generation; nothing once the search has ended."""
        batch, self._queue = self._queue[:count], self._queue[count:]
        return batch

    def tell(self, architectures: Architectures, metrics: Metrics) -> None:
        """Collects a generation; when it is complete, selects and breeds the next one."""
        overrun = self.budget.overrun(metrics).sum(axis=1)
        self._children = np.concatenate([self._children, architectures])
        self._children_scores = np.concatenate([self._children_scores, np.stack([metrics.accuracy.mean, overrun], axis=1)])
        if len(self._queue) == 0 and len(self._children) >= self.settings.population:
            self._select()
            if not self._has_ended():
                self._queue = self._breed()

    def state(self) -> dict[str, Any]:
        """The random generator, both generations and the counters of the end."""
        return {
            "rng": self._rng.bit_generator.state,
            "queue": self._queue,
            "children": self._children,
            "children_scores": self._children_scores,
            "parents": self._parents,
            "scores": self._scores,
            "counters": [self._generation, self._best if np.isfinite(self._best) else None, self._unimproved],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state()`."""
        width = len(self.space.decisions)
        self._rng.bit_generator.state = state["rng"]
        self._queue, self._children, self._parents = (
            np.asarray(state[name], dtype=np.int64).reshape(-1, width) for name in ("queue", "children", "parents")
        )
        self._children_scores, self._scores = (
            np.asarray(state[name], dtype=np.float64).reshape(-1, 2) for name in ("children_scores", "scores")
        )
        generation, best, self._unimproved = state["counters"]
        self._generation, self._best = int(generation), -np.inf if best is None else float(best)

    def _select(self) -> None:
        together = np.concatenate([self._parents, self._children])
        scores = np.concatenate([self._scores, self._children_scores])
        order = np.lexsort((-scores[:, 0], scores[:, 1] > 0.0))[: self.settings.population]
        first_generation = len(self._parents) == 0
        self._parents, self._scores = together[order], scores[order]
        self._children, self._children_scores = self._children[:0], self._children_scores[:0]
        if first_generation:
            return
        self._generation += 1
        best = self._scores[0, 0]
        if best > self._best + self.settings.threshold:
            self._best, self._unimproved = float(best), 0
        else:
            self._unimproved += 1

    def _has_ended(self) -> bool:
        return self._generation >= self.settings.generations or self._unimproved >= self.settings.patience

    def _breed(self) -> Architectures:
        pool = self._tournament()
        mothers, fathers = pool[0::2].copy(), pool[1::2].copy()
        for group in self._groups:
            crossed = self._rng.random(len(mothers)) < self.settings.crossover
            width = group.stop - group.start
            points = self._rng.integers(1, width, size=len(mothers)) if width > 1 else np.full(len(mothers), width)
            swapped = crossed[:, None] & (np.arange(width) >= points[:, None])
            mothers[:, group], fathers[:, group] = (
                np.where(swapped, fathers[:, group], mothers[:, group]),
                np.where(swapped, mothers[:, group], fathers[:, group]),
            )
        children = np.concatenate([mothers, fathers])
        mutated = self._rng.random(children.shape) < self.settings.mutation
        return np.where(mutated, self.space.sample(len(children), self._rng), children)

    def _tournament(self) -> Architectures:
        pairs = self._rng.integers(0, len(self._parents), size=(2, self.settings.population))
        accuracy = self._scores[:, 0]
        if self.settings.deb_tournament:
            # Parents are sorted, feasible ones first.
            winners = pairs.min(axis=0)
        else:
            winners = np.where(accuracy[pairs[0]] > accuracy[pairs[1]], pairs[0], pairs[1])
        chosen: Architectures = self._parents[winners]
        return chosen
