"""The microcontroller space: decisions, features, inert decisions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilnas.errors import InputError
from hilnas.nas.network import DIGITS, FULL_SIZE, McuDimensions
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_work import work

SPACES = {size.name: McuSpace(size) for size in (FULL_SIZE, DIGITS)}
seeds = st.integers(0, 2**32 - 1)
names = st.sampled_from(sorted(SPACES))


def draw(space: McuSpace, seed: int, count: int = 20) -> np.ndarray:
    return space.sample(count, np.random.default_rng(seed))


def test_full_size_has_70_decisions_and_198_features() -> None:
    space = SPACES["mcu"]
    assert len(space.decisions) == 70
    assert len(space.feature_names) == 198
    kinds = [name.split("=")[0].rsplit(".", 1)[1] for name in space.feature_names]
    assert kinds == ["kernel"] * 57 + ["expand"] * 57 + ["threshold"] * 48 + ["expand"] * 18 + ["kernel"] * 18


def test_67_decisions_of_the_full_size_are_live_in_the_deepest_network_with_all_exits() -> None:
    space = SPACES["mcu"]
    assert space.live((space.choice_counts - 1)[None]).sum() == 67


def test_smallest_network_has_the_features_of_its_base_blocks_only() -> None:
    space = SPACES["mcu"]
    smallest = np.zeros((1, 70), dtype=np.int64)
    assert space.encode(smallest).sum() == 2 * (1 + 2 + 2 + 2 + 2)


@given(names, seeds)
def test_equal_canonical_rows_are_equal_features_and_vice_versa(name: str, seed: int) -> None:
    space = SPACES[name]
    batch = draw(space, seed)
    inert = np.where(space.live(batch), batch, draw(space, seed + 1))
    assert np.array_equal(space.encode(batch), space.encode(space.canonical(batch)))
    assert np.array_equal(space.canonical(batch), space.canonical(inert))
    canonical = np.unique(space.canonical(np.concatenate([batch, inert])), axis=0)
    assert len(np.unique(space.encode(canonical), axis=0)) == len(canonical)


@given(names, seeds)
def test_canonical_is_idempotent_and_valid(name: str, seed: int) -> None:
    space = SPACES[name]
    canonical = space.canonical(draw(space, seed))
    assert np.array_equal(space.canonical(canonical), canonical)
    assert np.array_equal(space.validate(canonical), canonical)


@given(names, seeds)
def test_changing_a_live_decision_changes_the_network(name: str, seed: int) -> None:
    space = SPACES[name]
    rng = np.random.default_rng(seed)
    network = space.canonical(space.sample(1, rng))
    column = int(rng.choice(np.flatnonzero(space.live(network)[0])))
    changed = network.copy()
    changed[0, column] = (network[0, column] + 1) % space.choice_counts[column]
    assert not np.array_equal(space.canonical(changed), network)


def test_increments_beyond_the_slots_are_one_choice() -> None:
    space = McuSpace(McuDimensions("narrow", 8, 1, 10, 8, 1, 8, widths=(8, 8), strides=(1, 2), base_depths=(1, 1), depth_slots=(2, 1)))
    nets = np.zeros((2, len(space.decisions)), dtype=np.int64)
    nets[:, space.layout.depth.start] = (1, 2)
    assert np.array_equal(*space.canonical(nets))


def test_architectures_of_another_width_or_choice_are_refused() -> None:
    space = SPACES["mcu"]
    with pytest.raises(InputError, match="70 decisions"):
        space.validate(np.zeros((1, 69), dtype=np.int64))
    bad = np.zeros((1, 70), dtype=np.int64)
    bad[0, 0] = 3
    with pytest.raises(InputError, match=r"stage0.block0.kernel = 3"):
        space.validate(bad)


def test_work_of_the_full_size_is_what_the_design_says() -> None:
    """Smallest net 120 M MAC: the stem, the first block and the classifier have 20.9 M of them, the rest is `work`."""
    space = SPACES["mcu"]
    stem_first_classifier = 112**2 * (3 * 9 * 32 + 32 * 9 + 32 * 16) + 320 * 100
    smallest = work(space, np.zeros((1, 70), dtype=np.int64))
    macs = smallest[0, :2].sum()
    assert macs + stem_first_classifier == pytest.approx(120e6, rel=0.005)


@given(names, seeds)
def test_work_grows_with_every_choice(name: str, seed: int) -> None:
    """Choices of kernels, expands, depths and exits are in rising order, so the largest net has the most work."""
    space = SPACES[name]
    assert (work(space, draw(space, seed)) <= work(space, (space.choice_counts - 1)[None])).all()
