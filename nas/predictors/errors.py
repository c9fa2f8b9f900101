"""How wrong predictions are."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from hilnas.nas.metrics import FloatArray


@dataclass(frozen=True)
class PredictionErrors:
    """Mean absolute and root mean square error in the metric's unit, R2, Pearson's and Spearman's correlation."""

    mae: float
    rmse: float
    r2: float
    pearson: float
    spearman: float


MEASURES = tuple(field.name for field in fields(PredictionErrors))


def prediction_errors(predicted: FloatArray, actual: FloatArray) -> PredictionErrors:
    """The errors of (N,) values. Correlations of constant values are 0."""
    difference = predicted - actual
    variance = float(np.var(actual))
    return PredictionErrors(
        mae=float(np.mean(np.abs(difference))),
        rmse=float(np.sqrt(np.mean(difference**2))),
        r2=1.0 - float(np.mean(difference**2)) / variance if variance > 0.0 else 0.0,
        pearson=_correlation(predicted, actual),
        spearman=_correlation(_ranks(predicted), _ranks(actual)),
    )


def _correlation(a: FloatArray, b: FloatArray) -> float:
    spread = float(np.std(a) * np.std(b))
    return float(np.mean((a - a.mean()) * (b - b.mean()))) / spread if spread > 0.0 else 0.0


def _ranks(values: FloatArray) -> FloatArray:
    """Ranks from 0, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    first = np.cumsum(counts) - counts
    ranks: FloatArray = (first + (counts - 1) / 2.0)[inverse]
    return ranks
