"""Whole models compared layer by layer, on this computer and on the emulator; what is wrong is found and named."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from hilnas.boards.board import load_board
from hilnas.errors import InputError
from hilnas.firmware.build import build_image, compile_for_board
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.layer_check import check_layers
from hilnas.hil.measure import deploy
from hilnas.hil.targets import create_target
from hilnas.hil.verify import verification_inputs
from hilnas.tflite.reference import ReferenceModel

sys.path.insert(0, str(Path(__file__).parent.parent / "firmware"))
from test_streaming import inverted_residuals

BOARD = load_board("nucleo-h743zi2")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("layers") / "chain.tflite"
    path.write_bytes(inverted_residuals(32, 32, 0))
    return path


@pytest.fixture(scope="module")
def image(model: Path) -> FirmwareImage:
    return build_image(model, BOARD, model.parent / "image")


@pytest.mark.parametrize("target", ["host", "emulator"])
def test_every_layer_is_compared_also_where_rows_stream(image: FirmwareImage, model: Path, target: str) -> None:
    assert "hilnas_step chain_" in (image.folder / "library" / "model.c").read_text()
    check = check_layers(image, BOARD, target, ReferenceModel.load(model), 0)
    assert check.difference is None
    assert len(check.tensors) == len(image.manifest.layers)


@pytest.mark.parametrize("target", ["host", "emulator"])
@pytest.mark.parametrize("layer", [0, 3])
def test_the_first_layer_that_differs_is_named(image: FirmwareImage, model: Path, target: str, layer: int) -> None:
    """The reference has one tensor wrong."""

    class Other(ReferenceModel):
        def tensor(self, index: int) -> np.ndarray:
            values = super().tensor(index)
            return values if index != wrong else values ^ 1

    program = compile_for_board(model.read_bytes(), "model", BOARD).program
    wrong = program.layers[layer].operator.outputs[0]
    check = check_layers(image, BOARD, target, Other.load(model), 0)
    assert check.difference is not None
    named = f"layer {layer} ({program.layers[layer].operator.op} {program.layers[layer].name})"
    assert check.difference.startswith(f"{named} differs first at [0, 0, 0, 0]")


def test_deploy_says_how_many_tensors_agree(model: Path, tmp_path: Path) -> None:
    measurement = deploy(model, BOARD, create_target("host"), tmp_path / "image", verify_layers=True)
    assert measurement.bit_exact
    assert measurement.cycles is None
    assert measurement.tensors_compared == len(measurement.layers)
    assert measurement.first_difference is None


def test_host_and_emulator_give_the_same_digest(image: FirmwareImage, model: Path, tmp_path: Path) -> None:
    inputs = verification_inputs(image.manifest, 3, 4)
    runs = [create_target(name).run(image, BOARD, inputs, take_exits=False) for name in ("host", "emulator")]
    for ours, theirs in zip(*(run.inferences for run in runs), strict=True):
        for one, other in zip(ours.outputs, theirs.outputs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_other_targets_cannot_compare_layers(image: FirmwareImage, model: Path) -> None:
    with pytest.raises(InputError, match="qemu"):
        check_layers(image, BOARD, "qemu", ReferenceModel.load(model), 0)
