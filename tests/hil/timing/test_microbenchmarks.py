"""What is known of each core, against the model: every micro-benchmark within 2 %."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hilnas.boards.board import board_names, load_board
from hilnas.cli.measure import command
from hilnas.errors import InputError, ProtocolError, TargetTimeoutError
from hilnas.hil.timing.microbenchmarks import (
    SUITES,
    TURNS,
    Microbenchmark,
    load_suite,
    markdown_table,
    measured_cycles,
    receive_results,
    suite_for,
)
from hilnas.hil.timing.model import has_timing
from hilnas.hil.timing.suite import measure_suite

sys.path.insert(0, str(Path(__file__).parents[1]))
from virtual_boards import selection, virtual_board

TOLERANCE = 0.02
SUITE = load_suite()
BOARDS = {"cortex-m7": "nucleo-h743zi2", "cortex-m4": "nucleo-l4r5zi"}
EVERY = [pytest.param(core, item, id=f"{core}-{item.name}") for core in SUITES for item in load_suite(core)]
DOCUMENT = Path(__file__).parents[3] / "docs" / "timing.md"
FEW = frozenset(item.name for item in SUITE[:3])


@pytest.fixture(scope="module")
def modelled() -> dict[tuple[str, str], float]:
    """Cycles by core and benchmark."""
    runs = {core: measure_suite(load_board(BOARDS[core]), "emulator") for core in SUITES}
    return {(core, item.name): cycles for core, run in runs.items() for item, cycles in zip(run.suite, run.cycles, strict=True)}


@pytest.mark.parametrize("core", SUITES)
def test_suite_is_large_enough(core: str) -> None:
    suite = load_suite(core)
    assert len(suite) >= 60
    assert len({item.name for item in suite}) == len(suite)


@pytest.mark.parametrize(("core", "item"), EVERY)
def test_model_agrees_with_the_source(core: str, item: Microbenchmark, modelled: dict[tuple[str, str], float]) -> None:
    assert modelled[core, item.name] == pytest.approx(item.cycles, rel=TOLERANCE), item.source


@pytest.mark.parametrize("core", SUITES)
def test_loops_are_long_enough(core: str) -> None:
    assert all(item.passes * item.cycles >= 20 for item in load_suite(core))


@pytest.mark.parametrize("core", SUITES)
def test_document_has_the_table(core: str, modelled: dict[tuple[str, str], float]) -> None:
    tables = DOCUMENT.read_text().split(f"<!-- micro-benchmarks of {core} begin -->")[1].split("<!--")[0]
    rows = [line.strip("| ").split(" | ") for line in tables.splitlines() if line.startswith("| `")]
    suite = load_suite(core)
    assert len(rows) == len(suite), "run benchmarks/timing_table.py"
    for item, (body, expected, cycles, source) in zip(suite, rows, strict=True):
        assert (body, float(expected), source) == (f"`{item.body}`", item.cycles, item.source), "run benchmarks/timing_table.py"
        assert float(cycles) == pytest.approx(modelled[core, item.name], rel=TOLERANCE), "run benchmarks/timing_table.py"


def test_table_has_a_row_for_each_benchmark() -> None:
    table = markdown_table(SUITE, tuple(item.cycles for item in SUITE))
    assert sum(line.startswith("| `") for line in table.splitlines()) == len(SUITE)


@pytest.mark.parametrize("board", [name for name in board_names() if has_timing(load_board(name))])
def test_every_board_with_a_timing_model_measures_what_holds_for_it(board: str) -> None:
    run = measure_suite(load_board(board), "emulator")
    assert run.suite == suite_for(load_board(board))
    assert max(map(abs, run.errors)) <= 2 * TOLERANCE  # where the code lies, branches may share a place in the predictor
    assert sum(abs(error) > TOLERANCE for error in run.errors) <= 1
    assert run.cycles_source == "modelled"


def test_cycles_of_one_pass_come_from_the_difference_of_both_loops() -> None:
    item = SUITE[0]
    assert measured_cycles((item,), (100, 100 + TURNS * item.passes)) == (1.0,)


def test_the_same_image_on_a_board() -> None:
    """A virtual one: flashed, and read over its serial port; its cycle counter is the model's."""
    board = load_board("nucleo-h743zi2")
    with virtual_board() as served:
        on_board = measure_suite(board, "serial", selection(served), FEW)
    on_emulator = measure_suite(board, "emulator", only=FEW)
    assert (on_board.build_id, on_board.cycles) == (on_emulator.build_id, on_emulator.cycles)
    assert on_board.target_version.startswith("virtual board")


class Speech:
    """A line on which something was said, and nothing more is."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, timeout_s: float) -> bytes:
        data, self._data = self._data, b""
        return data

    def write(self, data: bytes) -> None:
        raise AssertionError("the suite asks for nothing")


def said(build: str, *indices: int) -> bytes:
    from hilnas.firmware.protocol import encode

    return b"".join(encode("benchmark", seq=0, build=build, index=index, cycles=100 + index) for index in indices)


def test_results_come_in_any_order_twice_and_between_noise() -> None:
    speech = b"\xff\x00noise\n" + said("right", 1) + b"half a li\n" + said("right", 1, 0)
    assert receive_results(SUITE[:1], "right", Speech(speech), 1.0) == (100, 101)


def test_another_firmware_is_not_taken_for_the_suite() -> None:
    with pytest.raises(ProtocolError, match="not of build right"):
        receive_results(SUITE[:1], "right", Speech(said("stale", 0, 1)), 1.0)


def test_results_that_do_not_come_are_counted() -> None:
    with pytest.raises(TargetTimeoutError, match="1 of 2 results"):
        receive_results(SUITE[:1], "right", Speech(said("right", 0)), 0.01)


def test_a_target_without_a_clock_is_refused() -> None:
    with pytest.raises(InputError, match=r"It runs on: emulator, serial"):
        measure_suite(load_board("qemu-m7"), "qemu")


def test_the_verb_prints_expected_and_counted_cycles() -> None:
    arguments = ["--suite", "timing", "--board", "nucleo-h743zi2"]
    document = json.loads(CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert document["worst_error"] <= TOLERANCE
    assert {"name", "expected_cycles", "cycles", "error", "source"} <= set(document["benchmarks"][0])
    assert len(document["benchmarks"]) == len(SUITE)
    table = CliRunner().invoke(command, arguments, catch_exceptions=False).stdout
    assert SUITE[0].name in table


@pytest.mark.parametrize("arguments", [[], ["--suite", "timing"], ["image", "--suite", "timing", "--board", "nucleo-h743zi2"]])
def test_a_suite_takes_a_board_and_an_image_none(arguments: list[str]) -> None:
    assert CliRunner().invoke(command, arguments).exit_code == 2
