"""Means over seeds with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def __format__(self, specification: str) -> str:
        return f"{self.mean:{specification}} [{self.low:{specification}}, {self.high:{specification}}]"


def interval(values: NDArray[np.float64]) -> Interval:
    """The mean over seeds, shape (S,), with a percentile-bootstrap interval; always the same for the same values."""
    draws = np.random.default_rng(0).integers(0, len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))


def paired_p_value(differences: NDArray[np.float64]) -> float:
    """One-sided Wilcoxon signed-rank test over seeds: how likely differences, shape (S,), as much above 0 are where there is none."""
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences, alternative="greater").pvalue) if differences.any() else 1.0
