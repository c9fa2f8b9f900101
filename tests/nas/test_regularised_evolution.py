"""Regularised evolution: the oldest dies, one decision mutates, and it climbs."""

from __future__ import annotations

import numpy as np
import pytest

from hilnas.nas.metrics import Budget, Estimate, Metrics
from hilnas.nas.searches.regularised_evolution import RegularisedEvolution
from hilnas.nas.space import Architectures, SearchSpace
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.nasbench201 import NasBench201Space


def matches(architectures: Architectures, target: np.ndarray) -> Metrics:
    rest = Estimate.exact(np.ones(len(architectures)))
    return Metrics(Estimate.exact((architectures == target).mean(axis=1)), rest, rest, rest)


def test_a_child_differs_from_a_member_in_exactly_one_decision() -> None:
    space = NasBench201Space()
    search = RegularisedEvolution(space, Budget(), seed=0, population=20, sample=5)
    members = search.ask(20)
    search.tell(members, matches(members, np.zeros(6)))
    children = search.ask(50)
    distance = (children[:, None] != members[None]).sum(axis=2)
    assert (distance.min(axis=1) <= 1).all()
    assert (distance.min(axis=1) == 1).any()


def test_the_oldest_member_dies_even_if_it_is_the_best() -> None:
    space = NasBench201Space()
    search = RegularisedEvolution(space, Budget(), seed=0, population=3, sample=100)
    best = np.full((1, 6), 4)
    others = np.zeros((3, 6), dtype=np.int64)
    search.tell(best, matches(best, np.full(6, 4)))
    search.tell(others, matches(others, np.full(6, 4)))
    assert ((search.ask(40) == 4).sum(axis=1) <= 1).all()


@pytest.mark.parametrize("space", [NasBench201Space(), McuSpace()], ids=lambda space: space.name)
def test_it_climbs_on_any_space(space: SearchSpace) -> None:
    target = space.choice_counts - 1
    search = RegularisedEvolution(space, Budget(), seed=1, population=50, sample=10)
    scores = []
    for _ in range(60):
        rows = search.ask(50)
        space.validate(rows)
        metrics = matches(rows, target)
        search.tell(rows, metrics)
        scores.append(metrics.accuracy.mean.mean())
    assert np.mean(scores[-5:]) > scores[0] + 0.2


def test_it_goes_on_from_its_state_as_if_never_stopped() -> None:
    space = NasBench201Space()
    first, second = (RegularisedEvolution(space, Budget(), seed=seed, population=10, sample=3) for seed in (0, 5))
    for _ in range(4):
        rows = first.ask(5)
        first.tell(rows, matches(rows, np.zeros(6)))
    second.restore(first.state())
    np.testing.assert_array_equal(first.ask(20), second.ask(20))
