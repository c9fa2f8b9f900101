"""What is known of a batch of architectures, and what a board allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

METRIC_NAMES = ("accuracy", "latency_s", "flash_bytes", "sram_bytes")
"""The metrics of an architecture, in the order in which they are shown."""


@dataclass(frozen=True)
class Estimate:
    """One metric of N architectures: mean and standard deviation, shape (N,). A measured value has deviation 0."""

    mean: FloatArray
    std: FloatArray

    @classmethod
    def exact(cls, values: ArrayLike) -> Estimate:
        """Wraps values that were computed or measured, not predicted."""
        mean = np.atleast_1d(np.asarray(values, dtype=np.float64))
        return cls(mean, np.zeros_like(mean))

    def __getitem__(self, index: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Estimate:
        return Estimate(self.mean[index], self.std[index])


@dataclass(frozen=True)
class Metrics:
    """Metrics of N architectures: accuracy in [0, 1], latency in seconds, flash and sram in bytes."""

    accuracy: Estimate
    latency_s: Estimate
    flash_bytes: Estimate
    sram_bytes: Estimate

    def __len__(self) -> int:
        return len(self.accuracy.mean)

    def __iter__(self) -> Iterator[tuple[str, Estimate]]:
        return ((field.name, getattr(self, field.name)) for field in fields(self))

    def __getitem__(self, index: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Metrics:
        return Metrics(**{name: estimate[index] for name, estimate in self})


@dataclass(frozen=True)
class Budget:
    """Limits on the metrics of an architecture; None is no limit. Latency in seconds, flash and sram in bytes."""

    latency_s: float | None = None
    flash_bytes: float | None = None
    sram_bytes: float | None = None

    def limits(self) -> dict[str, float]:
        """The limits that are set, by metric name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name) is not None}

    def overrun(self, metrics: Metrics, margin: float = 0.0) -> FloatArray:
        """By what fraction of the limit each metric exceeds it, shape (N, L), 0 where it is met.

        `margin` adds that many standard deviations of the predictor to the mean first.
        """
        estimates = dict(metrics)
        columns = [
            np.maximum(0.0, (estimates[name].mean + margin * estimates[name].std) / limit - 1.0) for name, limit in self.limits().items()
        ]
        return np.stack(columns, axis=1) if columns else np.zeros((len(metrics), 0))

    def is_met(self, metrics: Metrics, margin: float = 0.0) -> NDArray[np.bool_]:
        """Which architectures meet every limit, shape (N,)."""
        met: NDArray[np.bool_] = np.all(self.overrun(metrics, margin) == 0.0, axis=1)
        return met
