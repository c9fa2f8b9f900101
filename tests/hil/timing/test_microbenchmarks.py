"""What is known of the Cortex-M7, against the model: every micro-benchmark within 2 %."""

from pathlib import Path

import pytest

from hilnas.boards.board import load_board
from hilnas.hil.elf import read_elf
from hilnas.hil.emulator.machine import Machine
from hilnas.hil.microbenchmarks import DONE_SYMBOL, TURNS, Microbenchmark, build_suite, load_suite, measured_cycles, read_results
from hilnas.hil.timing import TimingModel

TOLERANCE = 0.02
SUITE = load_suite()


@pytest.fixture(scope="module")
def modelled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    board = load_board("nucleo-h743zi2")
    path: Path = tmp_path_factory.mktemp("suite") / "suite.elf"
    build_suite(SUITE, board, path)
    with Machine(board, read_elf(path)) as machine, TimingModel(board) as model:
        machine.set_timing(model.machine_timing())
        machine.stop_at(DONE_SYMBOL)
        machine.run(100_000_000)
        results = read_results(machine, SUITE)
        assert model.warnings() == ()
    return {item.name: cycles for item, cycles in zip(SUITE, measured_cycles(SUITE, results), strict=True)}


def test_suite_is_large_enough() -> None:
    assert len(SUITE) >= 60
    assert len({item.name for item in SUITE}) == len(SUITE)


@pytest.mark.parametrize("item", SUITE, ids=lambda item: item.name)
def test_model_agrees_with_the_source(item: Microbenchmark, modelled: dict[str, float]) -> None:
    assert modelled[item.name] == pytest.approx(item.cycles, rel=TOLERANCE), item.source


def test_loops_are_long_enough() -> None:
    assert all(item.passes * item.cycles >= 20 for item in SUITE)


def test_cycles_of_one_pass_come_from_the_difference_of_both_loops() -> None:
    item = SUITE[0]
    assert measured_cycles((item,), (100, 100 + TURNS * item.passes)) == (1.0,)
