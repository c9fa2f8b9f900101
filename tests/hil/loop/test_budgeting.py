"""Budgets that are chosen from random nets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hilnas.hil.loop.budgeting import EXCLUDED, choose_budget
from hilnas.nas.metrics import Budget, Estimate, Metrics


def metrics(latency: list[float], flash: list[float], sram: list[float]) -> Metrics:
    return Metrics(Estimate.exact(np.ones(len(latency))), Estimate.exact(latency), Estimate.exact(flash), Estimate.exact(sram))


@given(
    st.lists(st.tuples(st.floats(1e-5, 1e-1), st.integers(10_000, 90_000), st.sampled_from([2048, 4096, 8192])), min_size=10, max_size=200)
)
def test_every_chosen_limit_excludes_its_share_unless_too_many_are_equal(nets: list[tuple[float, int, int]]) -> None:
    latency, flash, sram = (list(map(float, column)) for column in zip(*nets, strict=True))
    result = choose_budget(metrics(latency, flash, sram), Budget())
    for name, values in (("latency_s", latency), ("flash_bytes", flash), ("sram_bytes", sram)):
        limit = getattr(result.budget, name)
        share = np.mean(np.array(values) > limit)
        assert result.excluded[name] == share
        assert share >= EXCLUDED or np.mean(np.array(values) > min(values)) < EXCLUDED


def test_a_chosen_limit_excludes_no_more_than_it_has_to() -> None:
    """Of ten different nets three are above it: the next larger value would exclude two."""
    result = choose_budget(metrics(*([scale * step for step in range(1, 11)] for scale in (1e-3, 1e4, 1e3))), Budget())
    assert result.budget == Budget(0.007, 7e4, 7e3)
    assert set(result.excluded.values()) == {0.3}


def test_a_limit_of_the_users_is_kept_and_its_share_told() -> None:
    nets = metrics([1e-3, 2e-3, 3e-3, 4e-3], [1e4, 2e4, 3e4, 4e4], [1e3, 2e3, 3e3, 4e3])
    result = choose_budget(nets, Budget(flash_bytes=35_000))
    assert result.budget.flash_bytes == 35_000
    assert result.excluded["flash_bytes"] == 0.25
