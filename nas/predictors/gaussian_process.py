"""Gaussian process regression: the predictor for few measurements."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import InputError
from hilnas.nas.metrics import Estimate, FloatArray
from hilnas.nas.space import Architectures

Describe = Callable[[Architectures], FloatArray]
"""Columns that describe a batch of architectures, shape (N, K)."""

MINIMUM_SAMPLES = 3
_BOUNDS = ((-3.0, 6.0), (-9.0, 2.0), (-9.0, 2.0), (-14.0, 0.0))
_START = (2.0, -3.0, -3.0, -6.0)


class GaussianProcess:
    """Predicts one metric from few measurements, with an honest standard deviation.

    The covariance is a sum: linear in `describe` (what the metric nearly follows, such as the multiply-accumulates of each
    kind), linear in the one-hot features (what single decisions add), and squared-exponential in them (how decisions act
    together), plus noise. The four variances maximise the marginal likelihood.

    Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, algorithm 2.1 and eq. 5.8.
    """

    def __init__(self, encode: Callable[[Architectures], NDArray[np.float32]], describe: Describe) -> None:
        self._encode = encode
        self._describe = describe
        self._architectures: Architectures | None = None
        self._values: FloatArray = np.zeros(0)

    def update(self, architectures: Architectures, measured: Estimate) -> None:
        """Learns from measured values, in addition to those of earlier calls."""
        known = self._architectures
        self._architectures = architectures if known is None else np.concatenate([known, architectures])
        self._values = np.concatenate([self._values, measured.mean])
        if len(self._values) >= MINIMUM_SAMPLES:
            self._fit()

    def predict(self, architectures: Architectures) -> Estimate:
        """Mean and standard deviation of the metric as it would be measured, shape (N,).

        Raises:
            InputError: fewer than three measurements were learned.
        """
        if len(self._values) < MINIMUM_SAMPLES:
            raise InputError(
                f"a predictor needs {MINIMUM_SAMPLES} measurements, it has {len(self._values)}", "Measure more networks first."
            )
        described, features = self._inputs(architectures)
        cross = _covariance(self._log_variances, described, features, *self._training)
        mean = cross @ self._weights
        solved = np.linalg.solve(self._cholesky, cross.T)
        prior = _prior_variance(self._log_variances, described, features)
        variance = np.maximum(prior - np.sum(solved**2, axis=0), 0.0) + np.exp(self._log_variances[3])
        return Estimate(self._center + self._scale * mean, self._scale * np.sqrt(variance))

    def _inputs(self, architectures: Architectures) -> tuple[FloatArray, FloatArray]:
        described = (self._describe(architectures) - self._described_mean) / self._described_scale
        features = self._encode(architectures).astype(np.float64)
        # Scaled so that the kernels' values are of order one, whatever the number of columns.
        return described / np.sqrt(described.shape[1]), (features - self._features_mean) / self._features_scale

    def _fit(self) -> None:
        from scipy.optimize import minimize

        assert self._architectures is not None
        described = self._describe(self._architectures)
        self._described_mean, deviation = described.mean(axis=0), described.std(axis=0)
        # A column that is the same in all measurements says nothing, of those where it is not either.
        self._described_scale = np.where(deviation > 1e-9 * np.abs(self._described_mean), deviation, np.inf)
        features = self._encode(self._architectures).astype(np.float64)
        self._features_mean = features.mean(axis=0)
        self._features_scale = np.sqrt(np.maximum(features.var(axis=0).sum(), 1e-12))
        self._training = self._inputs(self._architectures)
        self._center = float(self._values.mean())
        self._scale = float(self._values.std()) or max(abs(self._center), 1.0) * 1e-9
        targets = (self._values - self._center) / self._scale

        best = minimize(_negative_log_likelihood, _START, args=(self._training, targets), method="L-BFGS-B", bounds=_BOUNDS)
        self._log_variances = best.x
        covariance = _noisy_covariance(best.x, self._training)
        self._cholesky = np.linalg.cholesky(covariance)
        self._weights = np.linalg.solve(covariance, targets)


def _covariance(log_variances: FloatArray, a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> FloatArray:
    """Covariance of inputs (described a, features b) with inputs (described c, features d)."""
    follow, single, together, _ = np.exp(log_variances)
    distances = np.maximum(np.sum(b**2, axis=1)[:, None] + np.sum(d**2, axis=1) - 2.0 * b @ d.T, 0.0)
    covariance: FloatArray = follow * a @ c.T + single * b @ d.T + together * np.exp(-0.5 * distances)
    return covariance


def _prior_variance(log_variances: FloatArray, described: FloatArray, features: FloatArray) -> FloatArray:
    follow, single, together, _ = np.exp(log_variances)
    variance: FloatArray = follow * np.sum(described**2, axis=1) + single * np.sum(features**2, axis=1) + together
    return variance


def _noisy_covariance(log_variances: FloatArray, training: tuple[FloatArray, FloatArray]) -> FloatArray:
    noise = np.exp(log_variances[3]) + 1e-9
    covariance: FloatArray = _covariance(log_variances, *training, *training) + noise * np.eye(len(training[0]))
    return covariance


def _negative_log_likelihood(log_variances: FloatArray, training: tuple[FloatArray, FloatArray], targets: FloatArray) -> float:
    cholesky = np.linalg.cholesky(_noisy_covariance(log_variances, training))
    half = np.linalg.solve(cholesky, targets)
    return float(0.5 * half @ half + np.log(np.diag(cholesky)).sum())
