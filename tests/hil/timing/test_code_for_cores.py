"""Code whose instructions are ordered for the core of a board is the quickest there."""

import sys
from pathlib import Path

import pytest

from hilnas.boards.board import load_board
from hilnas.boards.core import load_core
from hilnas.firmware import build
from hilnas.hil.timing.timed_run import RunOptions, run_image

sys.path.insert(0, str(Path(__file__).parents[2] / "firmware"))
from convolution_cases import Layer, convolution

BOARDS = {"cortex-m4": "nucleo-l4r5zi", "cortex-m7": "nucleo-h743zi2"}


@pytest.mark.parametrize("core", BOARDS)
@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(Layer((12, 12, 64), filters=16), id="pointwise"),
        pytest.param(Layer((12, 12, 16), (3, 3), filters=16), id="3x3"),
        pytest.param(Layer((20, 20, 16), (3, 3)), id="depthwise"),
    ],
)
def test_an_order_for_the_core_takes_fewer_cycles_than_one_for_another(
    layer: Layer, core: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, board, cycles = tmp_path / "layer.tflite", load_board(BOARDS[core]), {}
    model.write_bytes(convolution(layer))
    for ordered_for in BOARDS:
        monkeypatch.setattr(build, "load_core", lambda _, made_for=ordered_for: load_core(made_for))
        image = build.build_image(model, board, tmp_path / ordered_for)
        cycles[ordered_for] = run_image(image, board, RunOptions()).intervals[0].cycles
    (other,) = BOARDS.keys() - {core}
    assert cycles[core] < 0.98 * cycles[other]
