"""Code that is made for the instruction cache of a board is the quickest there."""

import sys
from pathlib import Path

import pytest

from hilnas.boards.board import AcceleratedFlash, Board, load_board
from hilnas.firmware.build import build_image
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.timing.timed_run import RunOptions, run_image

sys.path.insert(0, str(Path(__file__).parents[2] / "firmware"))
from convolution_cases import Layer, convolution

LINES = (16, 32, 64)


def with_lines(lines: int) -> Board:
    board = load_board("nucleo-l4r5zi")
    flash = board.memories["flash"]
    assert isinstance(flash.timing, AcceleratedFlash)
    changed = flash.model_copy(update={"timing": flash.timing.model_copy(update={"instruction_lines": lines})})
    return board.model_copy(update={"memories": {**board.memories, "flash": changed}})


@pytest.fixture(
    params=[
        pytest.param(Layer((12, 12, 256), filters=16), id="pointwise"),
        pytest.param(Layer((12, 12, 16), (3, 3), filters=16), id="3x3"),
        pytest.param(Layer((20, 20, 16), (3, 3)), id="depthwise"),
    ]
)
def images(request: pytest.FixtureRequest, tmp_path: Path) -> dict[int, FirmwareImage]:
    """One layer, compiled for boards with so many lines of instruction cache."""
    model = tmp_path / "layer.tflite"
    model.write_bytes(convolution(request.param))
    return {lines: build_image(model, with_lines(lines), tmp_path / str(lines)) for lines in LINES}


def cycles(image: FirmwareImage, lines: int) -> int:
    return run_image(image, with_lines(lines), RunOptions()).intervals[0].cycles


def test_the_image_made_for_a_cache_is_the_quickest_there(images: dict[int, FirmwareImage]) -> None:
    """Within a percent; and one made for four times the cache is at least a tenth slower."""
    for lines in LINES:
        taken = {made_for: cycles(image, lines) for made_for, image in images.items()}
        assert taken[lines] <= 1.01 * min(taken.values())
        assert lines > min(LINES) or taken[max(LINES)] > 1.1 * taken[lines]
