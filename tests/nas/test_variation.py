"""Children of parents: what they inherit, and what comes to life."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hilnas.nas.network import DIGITS
from hilnas.nas.searches.variation import crossover, mutate
from hilnas.nas.spaces.mcu import McuSpace

SPACE = McuSpace(DIGITS)
seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_a_child_has_every_decision_from_a_parent_in_which_it_lives_if_it_lives_in_any(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mothers, fathers = SPACE.canonical(SPACE.sample(8, rng)), SPACE.canonical(SPACE.sample(8, rng))
    children = crossover(SPACE, mothers, fathers, rng)
    in_mother, in_father = SPACE.live(mothers), SPACE.live(fathers)
    np.testing.assert_array_equal(children[in_mother & ~in_father], mothers[in_mother & ~in_father])
    np.testing.assert_array_equal(children[in_father & ~in_mother], fathers[in_father & ~in_mother])
    assert np.all((children == mothers) | (children == fathers))


@given(seeds)
def test_without_mutation_nothing_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parents = SPACE.canonical(SPACE.sample(8, rng))
    np.testing.assert_array_equal(mutate(SPACE, parents, 0.0, rng), parents)


def test_an_exit_that_mutation_adds_comes_with_every_choice() -> None:
    """From a network without exits: were the inert zeros kept, the exit would nearly always have its first threshold."""
    rng = np.random.default_rng(0)
    active, threshold = SPACE.layout.exit_active, SPACE.layout.exit_threshold
    children = mutate(SPACE, np.zeros((4000, len(SPACE.decisions)), dtype=np.int64), 0.05, rng)
    added = children[:, active] == 1
    thresholds = children[:, threshold][added]
    count = SPACE.choice_counts[threshold][0]
    assert added.sum() > 100
    np.testing.assert_allclose(np.bincount(thresholds, minlength=count) / len(thresholds), 1.0 / count, atol=0.07)


def test_mutation_draws_its_share_of_decisions_anew() -> None:
    rng = np.random.default_rng(0)
    parents = SPACE.canonical(SPACE.sample(3000, rng))
    kernels = SPACE.layout.kernel
    lived = SPACE.live(parents)[:, kernels]
    changed = (mutate(SPACE, parents, 0.3, rng) != parents)[:, kernels][lived].mean()
    expected = 0.3 * (1.0 - 1.0 / SPACE.choice_counts[kernels][0])
    np.testing.assert_allclose(changed, expected, atol=0.02)
