"""What is known of the Cortex-M7, against the model: every micro-benchmark within 2 %."""

from pathlib import Path

import pytest

from hilnas.boards.board import load_board
from hilnas.hil.elf import read_elf
from hilnas.hil.emulator.machine import Machine
from hilnas.hil.microbenchmarks import (
    DONE_SYMBOL,
    TURNS,
    Microbenchmark,
    build_suite,
    load_suite,
    markdown_table,
    measured_cycles,
    model_cycles,
    read_results,
    reported_results,
)

TOLERANCE = 0.02
SUITE = load_suite()
DOCUMENT = Path(__file__).parents[3] / "docs" / "timing.md"


@pytest.fixture(scope="module")
def modelled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    cycles = model_cycles(SUITE, load_board("nucleo-h743zi2"), tmp_path_factory.mktemp("suite"))
    return {item.name: value for item, value in zip(SUITE, cycles, strict=True)}


def test_suite_is_large_enough() -> None:
    assert len(SUITE) >= 60
    assert len({item.name for item in SUITE}) == len(SUITE)


@pytest.mark.parametrize("item", SUITE, ids=lambda item: item.name)
def test_model_agrees_with_the_source(item: Microbenchmark, modelled: dict[str, float]) -> None:
    assert modelled[item.name] == pytest.approx(item.cycles, rel=TOLERANCE), item.source


def test_loops_are_long_enough() -> None:
    assert all(item.passes * item.cycles >= 20 for item in SUITE)


def test_document_has_the_table(modelled: dict[str, float]) -> None:
    tables = DOCUMENT.read_text().split("<!-- micro-benchmarks begin -->")[1]
    rows = [line.strip("| ").split(" | ") for line in tables.splitlines() if line.startswith("| `")]
    assert len(rows) == len(SUITE), "run benchmarks/timing_table.py"
    for item, (body, expected, cycles, source) in zip(SUITE, rows, strict=True):
        assert (body, float(expected), source) == (f"`{item.body}`", item.cycles, item.source), "run benchmarks/timing_table.py"
        assert float(cycles) == pytest.approx(modelled[item.name], rel=TOLERANCE), "run benchmarks/timing_table.py"


def test_table_has_a_row_for_each_benchmark() -> None:
    table = markdown_table(SUITE, tuple(item.cycles for item in SUITE))
    assert sum(line.startswith("| `") for line in table.splitlines()) == len(SUITE)


def test_image_reports_its_table_over_the_uart(tmp_path: Path) -> None:
    suite, board = SUITE[:3], load_board("nucleo-h743zi2")
    build_suite(suite, board, tmp_path / "suite.elf")
    with Machine(board, read_elf(tmp_path / "suite.elf")) as machine:
        machine.stop_at(DONE_SYMBOL)
        machine.run(10_000_000)
        assert reported_results(suite, machine.receive()) is None
        machine.run(100_000)
        assert reported_results(suite, machine.receive()) == read_results(machine, suite)


def test_cycles_of_one_pass_come_from_the_difference_of_both_loops() -> None:
    item = SUITE[0]
    assert measured_cycles((item,), (100, 100 + TURNS * item.passes)) == (1.0,)
