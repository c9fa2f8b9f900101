"""Pareto fronts of accuracy against latency, flash and SRAM, and the hypervolume that they dominate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilnas.nas.metrics import Budget, FloatArray, Metrics


def costs(metrics: Metrics) -> FloatArray:
    """What is minimised, shape (N, 4): error, latency, flash, SRAM."""
    return np.stack([1.0 - metrics.accuracy.mean, metrics.latency_s.mean, metrics.flash_bytes.mean, metrics.sram_bytes.mean], axis=1)


def non_dominated(values: FloatArray) -> NDArray[np.int64]:
    """Indices of the rows of (N, M) costs that no other row beats in one cost without losing in another; first of equal rows."""
    order = np.lexsort(values.T[::-1])
    front: list[int] = []
    for index in order:
        if not front or not np.any(np.all(values[front] <= values[index], axis=1)):
            front.append(int(index))
    return np.sort(np.array(front, dtype=np.int64))


def hypervolume(values: FloatArray, reference: FloatArray) -> float:
    """The volume that costs (N, M) dominate below `reference` (M,), as a fraction of the box from 0 to `reference`.

    Source: Zitzler and Thiele, "Multiobjective optimization using evolutionary algorithms", 1998.
    """
    from pymoo.indicators.hv import HV

    scaled = values / reference
    scaled = scaled[np.all(scaled < 1.0, axis=1)]
    return float(HV(ref_point=np.ones(len(reference)))(scaled)) if len(scaled) else 0.0


@dataclass
class HypervolumeStop:
    """Says when a search has stopped growing its front: less than `tolerance` relative growth over `patience` batches.

    The reference is the budget where it sets a limit; elsewhere it is the worst value of the first batch.
    """

    budget: Budget
    patience: int = 20
    tolerance: float = 1e-3
    volumes: list[float] = field(default_factory=list)
    _front: FloatArray | None = None
    _reference: FloatArray | None = None

    def should_stop(self, metrics: Metrics) -> bool:
        """Takes in one batch of answers."""
        batch = costs(metrics)
        if self._reference is None:
            limits = (1.0, self.budget.latency_s, self.budget.flash_bytes, self.budget.sram_bytes)
            worst = batch.max(axis=0) * 1.001
            self._reference = np.array([worst[i] if limit is None else limit * 1.001 for i, limit in enumerate(limits)])
        front = batch if self._front is None else np.concatenate([self._front, batch])
        self._front = front[non_dominated(front)]
        self.volumes.append(hypervolume(self._front, self._reference))
        if len(self.volumes) <= self.patience:
            return False
        before, now = self.volumes[-self.patience - 1], self.volumes[-1]
        return now > 0.0 and now - before < self.tolerance * now

    def state(self) -> dict[str, Any]:
        """The front, its reference and the volumes, as JSON-serialisable values and arrays."""
        return {"volumes": self.volumes, "front": self._front, "reference": self._reference}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state()`."""
        self.volumes = [float(volume) for volume in state["volumes"]]
        self._front, self._reference = (
            None if state[name] is None else np.asarray(state[name], dtype=np.float64) for name in ("front", "reference")
        )
