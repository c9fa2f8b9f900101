"""What must hold of any timing: more waiting is never faster, a better cache never misses more, time is the same every time."""

import ctypes as c
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilnas.boards.board import Board, BusTiming
from hilnas.hil.emulator.native import library
from hilnas.hil.timing.model import TimingMode, memory_cycles
from hilnas.hil.timing.timed_run import RunOptions, TimedRun, run_elf

SlicedCycles = Callable[[Path, Board, int], int]


def with_timing(board: Board, memory: str, **changes: int) -> Board:
    timing = board.memories[memory].timing
    assert isinstance(timing, BusTiming)
    changed = board.memories[memory].model_copy(update={"timing": timing.model_copy(update=changes)})
    return board.model_copy(update={"memories": {**board.memories, memory: changed}})


def run(elf: Path, board: Board, timing: TimingMode = TimingMode.FULL) -> TimedRun:
    return run_elf(elf, board, RunOptions(mark="mark", timing=timing, profile=timing is not TimingMode.OFF), lambda text: None)


@pytest.mark.parametrize(
    ("memory", "name"), [("flash", "wait_states"), ("flash", "bus_cycles"), ("axi", "bus_cycles"), ("axi", "core_cycles")]
)
def test_slower_memory_never_makes_code_faster(convolution: Path, board: Board, memory: str, name: str) -> None:
    cycles = [run(convolution, with_timing(board, memory, **{name: value})).cycles for value in range(1, 13)]
    assert cycles == sorted(cycles)
    assert cycles[0] < cycles[-1]


def test_doubling_the_clock_never_more_than_doubles_speed(convolution: Path, board: Board) -> None:
    for clock_hz in (60_000_000, 120_000_000, 240_000_000):
        slow = run(convolution, board.model_copy(update={"clock_hz": clock_hz})).cycles
        fast = run(convolution, board.model_copy(update={"clock_hz": 2 * clock_hz})).cycles
        assert slow <= fast <= 2 * slow


@given(
    timing=st.builds(
        BusTiming,
        bus_hz=st.integers(10_000_000, 500_000_000),
        core_cycles=st.integers(0, 8),
        bus_cycles=st.integers(1, 20),
        wait_states=st.integers(0, 15),
        width_bytes=st.sampled_from([4, 8, 16, 32]),
        source=st.just("test"),
    ),
    clock_hz=st.integers(10_000_000, 600_000_000),
)
def test_a_wait_state_more_never_shortens_a_fill(timing: BusTiming, clock_hz: int) -> None:
    slower = timing.model_copy(update={"wait_states": timing.wait_states + 1})
    pairs = zip(memory_cycles(timing, clock_hz, 32), memory_cycles(slower, clock_hz, 32), strict=True)
    assert all(shorter <= longer for shorter, longer in pairs)


class CacheLine(c.Structure):
    """`struct cache_line` of cache.h."""

    _fields_ = (("used", c.c_uint64), ("line", c.c_uint32), ("valid", c.c_bool), ("dirty", c.c_bool))


class NativeCache:
    """The model's cache of tags, alone."""

    def __init__(self, sets: int, ways: int) -> None:
        self.native = library()
        self.native.cache_find.restype = c.c_void_p
        self.native.cache_allocate.restype = CacheLine
        self.state = c.create_string_buffer(256)
        assert self.native.cache_create(self.state, c.c_uint32(sets * ways * 32), c.c_uint32(ways), c.c_uint32(32), c.c_bool(False)) == 0

    def misses(self, lines: list[int]) -> list[bool]:
        missed = []
        for line in lines:
            miss = self.native.cache_find(self.state, c.c_uint32(line * 32)) is None
            if miss:
                self.native.cache_allocate(self.state, c.c_uint32(line * 32))
            missed.append(miss)
        self.native.cache_destroy(self.state)
        return missed


@settings(max_examples=60)
@given(lines=st.lists(st.integers(0, 40), max_size=200), sets=st.sampled_from([1, 2, 4]), ways=st.sampled_from([1, 2, 3, 4]))
def test_more_ways_never_add_misses(lines: list[int], sets: int, ways: int) -> None:
    few, many = NativeCache(sets, ways).misses(lines), NativeCache(sets, ways + 1).misses(lines)
    assert all(few_missed or not many_missed for few_missed, many_missed in zip(few, many, strict=True))


def reference_misses(lines: list[int], sets: int, ways: int) -> list[bool]:
    held: dict[int, list[int]] = {number: [] for number in range(sets)}
    missed = []
    for line in lines:
        order = held[line % sets]
        missed.append(line not in order)
        if line in order:
            order.remove(line)
        order.append(line)
        del order[:-ways]
    return missed


@settings(max_examples=60)
@given(lines=st.lists(st.integers(0, 40), max_size=200), sets=st.sampled_from([1, 2, 4]), ways=st.sampled_from([1, 2, 4]))
def test_cache_replaces_the_least_recently_used_line(lines: list[int], sets: int, ways: int) -> None:
    assert NativeCache(sets, ways).misses(lines) == reference_misses(lines, sets, ways)


@pytest.mark.parametrize("timing", [TimingMode.FULL, TimingMode.FAST])
def test_cycles_are_the_same_in_two_runs(convolution: Path, board: Board, timing: TimingMode) -> None:
    assert run(convolution, board, timing) == run(convolution, board, timing)


def test_instructions_do_not_depend_on_the_timing_mode(convolution: Path, board: Board) -> None:
    assert len({run(convolution, board, timing).instructions for timing in TimingMode}) == 1


@pytest.mark.parametrize("slice_instructions", [97, 997, 100_000])
def test_cycles_do_not_depend_on_how_often_the_machine_is_stopped(
    convolution: Path, board: Board, sliced_cycles: SlicedCycles, slice_instructions: int
) -> None:
    assert sliced_cycles(convolution, board, slice_instructions) == run(convolution, board).cycles


def test_causes_sum_to_the_total_exactly(convolution: Path, board: Board) -> None:
    result = run(convolution, board)
    assert result.profile is not None
    assert result.profile.cycles == result.cycles
    assert sum(result.profile.causes.values()) == result.cycles
    assert sum(function.cycles for function in result.profile.functions) == result.cycles
    assert all(sum(function.causes.values()) == function.cycles for function in result.profile.functions)
    assert sum(function.instructions for function in result.profile.functions) == result.instructions


def test_fast_mode_leaves_out_what_depends_on_addresses(convolution: Path, board: Board) -> None:
    full, fast = run(convolution, board), run(convolution, board, TimingMode.FAST)
    assert full.profile is not None and fast.profile is not None
    assert fast.cycles < full.cycles
    assert "data_miss_flash" in full.profile.causes
    assert not [cause for cause in fast.profile.causes if cause.startswith("data_miss") or cause == "instruction_miss"]
