"""Which nets a round takes from a search."""

from __future__ import annotations

import numpy as np
import pytest

from hilnas.errors import BudgetError
from hilnas.hil.loop.proposals import MARGIN, propose
from hilnas.nas.metrics import Budget, Estimate, Metrics
from hilnas.nas.network import DIGITS
from hilnas.nas.space import Architectures
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_work import work

SPACE = McuSpace(DIGITS)
NONE = np.zeros((0, len(SPACE.decisions)), dtype=np.int64)


class Work:
    """Predicts from multiply-accumulates: more of them are more accurate, slower and larger; latency is not quite certain."""

    def predict(self, architectures: Architectures) -> Metrics:
        macs = work(SPACE, architectures)[:, :2].sum(axis=1)
        latency = Estimate(macs * 1e-9, np.full(len(macs), 2e-5))
        return Metrics(Estimate.exact(1 - np.exp(-macs / 5e5)), latency, Estimate.exact(macs / 10), Estimate.exact(macs / 100))

    def update(self, architectures: Architectures, metrics: Metrics) -> None:
        raise AssertionError("a search teaches its predictor nothing")


def test_proposals_meet_the_budget_with_a_margin_and_come_close_to_it() -> None:
    budget = Budget(latency_s=5e-4)
    nets, metrics = propose(SPACE, Work(), budget, NONE, 4, 1000, seed=0)
    assert len(np.unique(nets, axis=0)) == len(nets) == 4
    assert np.all(metrics.latency_s.mean + MARGIN * metrics.latency_s.std <= 5e-4)
    assert np.all(metrics.latency_s.mean > 4e-4)


def test_known_nets_are_not_proposed_again() -> None:
    budget = Budget(latency_s=5e-4)
    first, _ = propose(SPACE, Work(), budget, NONE, 4, 1000, seed=0)
    second, _ = propose(SPACE, Work(), budget, first, 4, 1000, seed=0)
    assert not {net.tobytes() for net in first} & {net.tobytes() for net in second}


def test_the_same_seed_proposes_the_same() -> None:
    one, two = (propose(SPACE, Work(), Budget(flash_bytes=4e4), NONE, 4, 500, seed=3)[0] for _ in range(2))
    assert np.array_equal(one, two)


def test_a_budget_that_nothing_meets_names_the_nearest_net() -> None:
    with pytest.raises(BudgetError, match=r"nearest is predicted at latency \S+ us \(limit 0\.001 us\)"):
        propose(SPACE, Work(), Budget(latency_s=1e-9), NONE, 4, 300, seed=0)
