"""One predictor of all metrics from one predictor a metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hilnas.nas.metrics import Estimate, Metrics
from hilnas.nas.space import Architectures


class MetricPredictor(Protocol):
    """Predicts one metric of architectures, in the metric's SI unit."""

    def predict(self, architectures: Architectures) -> Estimate:
        """Mean and standard deviation, shape (N,)."""

    def update(self, architectures: Architectures, measured: Estimate) -> None:
        """Learns from measured values, in addition to those of earlier calls."""


@dataclass(frozen=True)
class JointPredictor:
    """A `Predictor` that asks one predictor for each metric. What can be computed exactly is such a predictor too."""

    accuracy: MetricPredictor
    latency_s: MetricPredictor
    flash_bytes: MetricPredictor
    sram_bytes: MetricPredictor

    def predict(self, architectures: Architectures) -> Metrics:
        """Mean and standard deviation of every metric of a batch (N, D)."""
        return Metrics(
            accuracy=self.accuracy.predict(architectures),
            latency_s=self.latency_s.predict(architectures),
            flash_bytes=self.flash_bytes.predict(architectures),
            sram_bytes=self.sram_bytes.predict(architectures),
        )

    def update(self, architectures: Architectures, metrics: Metrics) -> None:
        """Lets every predictor learn its metric."""
        for name, measured in metrics:
            getattr(self, name).update(architectures, measured)
