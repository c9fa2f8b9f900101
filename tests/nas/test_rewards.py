"""The rewards against the published digits, and how they rise and fall."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilnas.errors import InputError
from hilnas.nas.metrics import Budget, Estimate, Metrics
from hilnas.nas.rewards import REWARDS, log_limit, log_limit_for, mnasnet, normalised_log_limit

STUDY = Budget(latency_s=0.017)

accuracies = st.floats(0.0, 1.0)
limits_ms = st.floats(2.1, 2000.0)
fractions = st.floats(0.01, 3.0)
"""Latencies as fractions of the limit, on both sides of it and beyond 1.5 T, where study 2's latency term ends."""


def metrics(accuracy: list[float], latency_ms: list[float]) -> Metrics:
    nothing = Estimate.exact(np.zeros(len(accuracy)))
    return Metrics(Estimate.exact(accuracy), Estimate.exact(np.array(latency_ms) * 1e-3), nothing, nothing)


def reward(name: str, accuracy: float, latency_ms: float, limit_ms: float) -> float:
    return float(REWARDS[name](metrics([accuracy], [latency_ms]), Budget(latency_s=limit_ms * 1e-3))[0])


@pytest.mark.parametrize(
    ("accuracy", "latency_ms", "published"),
    [(0.80, 8, 0.82102), (0.84, 16, 0.83546), (0.80, 12, 0.81186), (0.84, 24, 0.77031), (0.83, 16, 0.82646)],
)
def test_the_studys_reward_has_its_published_digits(accuracy: float, latency_ms: float, published: float) -> None:
    assert float(log_limit(metrics([accuracy], [latency_ms]), STUDY)[0]) == pytest.approx(published, abs=5e-6)


@pytest.mark.parametrize(("accuracy", "latency_ms", "published"), [(0.80, 8, 0.84334), (0.80, 12, 0.81974), (0.84, 24, 0.81996)])
def test_mnasnets_reward_has_its_published_digits(accuracy: float, latency_ms: float, published: float) -> None:
    assert float(mnasnet(metrics([accuracy], [latency_ms]), STUDY)[0]) == pytest.approx(published, abs=1e-5)


@pytest.mark.parametrize("name", REWARDS)
@given(low=accuracies, high=accuracies, fraction=fractions, limit_ms=limits_ms)
def test_rewards_rise_with_accuracy(name: str, low: float, high: float, fraction: float, limit_ms: float) -> None:
    low, high = sorted((low, high))
    assert reward(name, low, fraction * limit_ms, limit_ms) <= reward(name, high, fraction * limit_ms, limit_ms)


@pytest.mark.parametrize("name", REWARDS)
@given(accuracy=accuracies, fast=fractions, slow=fractions, limit_ms=limits_ms)
def test_rewards_fall_with_latency(name: str, accuracy: float, fast: float, slow: float, limit_ms: float) -> None:
    fast, slow = sorted((fast, slow))
    assert reward(name, accuracy, fast * limit_ms, limit_ms) >= reward(name, accuracy, slow * limit_ms, limit_ms) - 1e-12


@given(accuracy=st.floats(0.01, 1.0), start=st.floats(1.0, 1.44), width=st.floats(1e-3, 0.4))
def test_above_the_limit_the_studys_reward_falls_faster_than_mnasnets(accuracy: float, start: float, width: float) -> None:
    near, far = 17.0 * start, 17.0 * min(start + width, 1.5 - 1 / 17)
    study = reward("log_limit", accuracy, near, 17.0) - reward("log_limit", accuracy, far, 17.0)
    other = reward("mnasnet", accuracy, near, 17.0) - reward("mnasnet", accuracy, far, 17.0)
    assert study >= other


@given(accuracy=st.floats(0.5, 1.0), fraction=st.floats(0.01, 0.5))
def test_below_the_limit_the_studys_reward_pays_less_for_speed(accuracy: float, fraction: float) -> None:
    """What a net of half the limit or less gains over one at the limit. Nearer to the limit the two pay about the same."""
    study = reward("log_limit", accuracy, fraction * 17.0, 17.0) - reward("log_limit", accuracy, 17.0, 17.0)
    other = reward("mnasnet", accuracy, fraction * 17.0, 17.0) - reward("mnasnet", accuracy, 17.0, 17.0)
    assert study < other


@given(accuracy=accuracies, fraction=fractions, limit_ms=st.floats(0.01, 2000.0))
def test_the_normalised_variant_depends_on_the_ratio_alone_and_is_the_studys_at_17_ms(
    accuracy: float, fraction: float, limit_ms: float
) -> None:
    value = reward("log_limit_normalised", accuracy, fraction * limit_ms, limit_ms)
    assert value == pytest.approx(reward("log_limit", accuracy, fraction * 17.0, 17.0), abs=1e-9)


def test_small_limits_use_the_normalised_variant() -> None:
    some = metrics([0.8], [1.0])
    with pytest.raises(InputError, match="2 ms"):
        log_limit(some, Budget(latency_s=0.002))
    assert log_limit_for(0.002) == "log_limit_normalised"
    assert log_limit_for(0.0021) == "log_limit"
    assert np.isfinite(normalised_log_limit(some, Budget(latency_s=0.002))).all()


@pytest.mark.parametrize("name", REWARDS)
def test_a_reward_without_a_limit_says_so(name: str) -> None:
    with pytest.raises(InputError, match="latency limit"):
        REWARDS[name](metrics([0.8], [1.0]), Budget(flash_bytes=1.0))
