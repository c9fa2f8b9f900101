"""The ask/tell protocol of every search. A search never knows who answered: a predictor, a table, an emulator, a board."""

from __future__ import annotations

from typing import Any, Protocol

from hilnas.nas.metrics import Metrics
from hilnas.nas.space import Architectures


class Search(Protocol):
    """Proposes architectures and learns from their metrics."""

    def ask(self, count: int) -> Architectures:
        """Proposes at most `count` architectures, shape (n, D); none when the search has ended."""

    def tell(self, architectures: Architectures, metrics: Metrics) -> None:
        """Learns the metrics of architectures, proposed ones or others (warm start)."""

    def state(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON-serialisable values and arrays."""

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state()`."""


class Predictor(Protocol):
    """Predicts the metrics of architectures."""

    def predict(self, architectures: Architectures) -> Metrics:
        """Mean and standard deviation of every metric of a batch (N, D)."""

    def update(self, architectures: Architectures, metrics: Metrics) -> None:
        """Learns from measured metrics (deviation 0)."""
