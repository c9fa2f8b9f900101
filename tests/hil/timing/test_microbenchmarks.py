"""What is known of the Cortex-M7, against the model: every micro-benchmark within 2 %."""

from pathlib import Path

import pytest

from hilnas.boards.board import load_board
from hilnas.hil.microbenchmarks import TURNS, Microbenchmark, load_suite, markdown_table, measured_cycles, model_cycles

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
    table = markdown_table(SUITE, tuple(modelled[item.name] for item in SUITE))
    assert table in DOCUMENT.read_text(), "run benchmarks/timing_table.py"


def test_cycles_of_one_pass_come_from_the_difference_of_both_loops() -> None:
    item = SUITE[0]
    assert measured_cycles((item,), (100, 100 + TURNS * item.passes)) == (1.0,)
