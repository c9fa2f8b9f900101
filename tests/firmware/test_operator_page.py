"""The page of operators, and that everything on it can be compiled."""

from __future__ import annotations

from pathlib import Path

from hilnas.firmware.folding import VIEWS
from hilnas.firmware.lower import LOWERINGS
from hilnas.firmware.operator_page import page
from hilnas.firmware.operators import TABLE

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_page_is_made_from_the_table() -> None:
    assert PAGE.read_text() == page(), "python -m hilnas.firmware.operator_page > docs/operators.md"


def test_every_operator_is_compiled_or_taken_away_before() -> None:
    assert set(TABLE) == set(LOWERINGS) | {*VIEWS, "SHAPE", "DEQUANTIZE"}
