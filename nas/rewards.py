"""The published rewards as objectives: MnasNet's and study 2's for a latency limit, study 3's for accuracy and perplexity.

Latencies are in seconds, as everywhere; study 2's formula is in milliseconds and converts them first.
"""

from __future__ import annotations

import numpy as np

from hilnas.errors import InputError
from hilnas.nas.metrics import Budget, FloatArray, Metrics
from hilnas.nas.objective import Objective

MNASNET_EXPONENT = -0.07
ACCURACY_WEIGHT = 0.9
LATENCY_WEIGHT = 0.1
REFERENCE_MS = 17.0
"""Study 2's latency limit T, in milliseconds: where the normalised variant takes its shape from."""
SMALLEST_MS = 2.0
"""At T = 2 ms study 2's latency term is 0 at the limit itself, and below 1 ms its logarithm changes sign."""


def mnasnet(metrics: Metrics, budget: Budget) -> FloatArray:
    """ACC x (LAT / T)^w with w = -0.07 on both sides of T, the soft constraint.

    Source: Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", 2019, eq. 2 and 3.

    Raises:
        InputError: the budget has no latency limit.
    """
    reward: FloatArray = metrics.accuracy.mean * (metrics.latency_s.mean / _limit_s(budget)) ** MNASNET_EXPONENT
    return reward


def log_limit(metrics: Metrics, budget: Budget) -> FloatArray:
    """Study 2's reward: 0.9 ACC + 0.1 R_lat, R_lat = log base T of (1.5 T - LAT) while LAT <= 1.5 T - 1, else 0; T and LAT in ms.

    Its shape depends on T through the base: 0.1 R_lat at the limit is .0755 for T = 17 ms, .085 for 100 ms.

    Raises:
        InputError: the budget has no latency limit, or one of 2 ms or less: use `normalised_log_limit`.
    """
    limit_ms = _limit_s(budget) * 1e3
    if limit_ms <= SMALLEST_MS:
        raise InputError(
            f"study 2's reward has no meaning for a latency limit of {limit_ms:g} ms: its logarithm needs more than {SMALLEST_MS:g} ms",
            "Use the normalised reward, log_limit_normalised.",
        )
    return _log_limit(metrics.accuracy.mean, metrics.latency_s.mean * 1e3, limit_ms)


def normalised_log_limit(metrics: Metrics, budget: Budget) -> FloatArray:
    """`log_limit` with time measured in units of T / 17: a function of LAT / T alone, equal to study 2's at T = 17 ms.

    Raises:
        InputError: the budget has no latency limit.
    """
    relative = metrics.latency_s.mean / _limit_s(budget)
    return _log_limit(metrics.accuracy.mean, relative * REFERENCE_MS, REFERENCE_MS)


def cubed_accuracy(metrics: Metrics, budget: Budget) -> FloatArray:
    """Study 3's reward of a convolutional child: its validation accuracy, cubed. The budget is not looked at.

    Source: Zoph and Le, 2017, section 4.1.
    """
    reward: FloatArray = metrics.accuracy.mean**3
    return reward


def squared_inverse_perplexity(metrics: Metrics, budget: Budget) -> FloatArray:
    """Study 3's reward of a recurrent cell: (c / perplexity)^2 with c = 1. The accuracy of a language model is 1 / perplexity.

    The source's c of about 80 is a unit, in which perplexities of words are near 1; the controller's baseline and Adam cancel it.
    Source: Zoph and Le, 2017, section 4.2.
    """
    reward: FloatArray = metrics.accuracy.mean**2
    return reward


REWARDS: dict[str, Objective] = {
    "mnasnet": mnasnet,
    "log_limit": log_limit,
    "log_limit_normalised": normalised_log_limit,
}
"""The rewards by name."""


def log_limit_for(limit_s: float) -> str:
    """Name of the variant of study 2's reward for a latency limit in seconds: the study's own above 2 ms."""
    return "log_limit" if limit_s * 1e3 > SMALLEST_MS else "log_limit_normalised"


def _log_limit(accuracy: FloatArray, latency_ms: FloatArray, limit_ms: float) -> FloatArray:
    left = np.maximum(1.5 * limit_ms - latency_ms, 1.0)  # 1 ms or less left: the logarithm is 0 from there on
    reward: FloatArray = ACCURACY_WEIGHT * accuracy + LATENCY_WEIGHT * np.log(left) / np.log(limit_ms)
    return reward


def _limit_s(budget: Budget) -> float:
    if budget.latency_s is None or budget.latency_s <= 0:
        raise InputError("this reward needs a latency limit", "Add one to the budget, for example latency=0.017.")
    return budget.latency_s
