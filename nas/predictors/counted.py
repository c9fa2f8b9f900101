"""Counting evaluations: what a search costs."""

from __future__ import annotations

import numpy as np

from hilnas.errors import InputError
from hilnas.nas.metrics import METRIC_NAMES, Metrics
from hilnas.nas.search import Predictor
from hilnas.nas.space import Architectures


class CountedPredictor:
    """Passes architectures to a predictor, counts every one, and refuses answers that are not finite."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.evaluations = 0

    def predict(self, architectures: Architectures) -> Metrics:
        """Metrics of a batch (N, D); N more evaluations.

        Raises:
            InputError: a metric is NaN or infinite.
        """
        self.evaluations += len(architectures)
        metrics = self._predictor.predict(architectures)
        for name in METRIC_NAMES:
            bad = np.flatnonzero(~np.isfinite(getattr(metrics, name).mean))
            if len(bad):
                value = getattr(metrics, name).mean[bad[0]]
                raise InputError(
                    f"the predictor answers {name} = {value} for {len(bad)} of {len(architectures)} architectures, first for "
                    f"{architectures[bad[0]].tolist()}",
                    "Train the predictor again: hilnas predictors evaluate shows its errors.",
                )
        return metrics

    def update(self, architectures: Architectures, metrics: Metrics) -> None:
        """Passed on."""
        self._predictor.update(architectures, metrics)
