"""Models that others made, as firmware: every byte of every output is the reference's, on the emulator and on QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest

from hilnas.boards.board import load_board
from hilnas.firmware.build import build_image
from hilnas.hil.targets import create_target
from hilnas.hil.verify import check_same_edges, first_difference, verification_inputs
from hilnas.tflite.reference import ReferenceModel

MODELS = (
    "mlperf_tiny/ic_resnet8_int8",
    "mlperf_tiny/kws_dscnn_int8",
    "mlperf_tiny/str_ww_ref_model",
    "mlperf_tiny/vww_96_int8",
    "tflm/hello_world_int8",
    "tflm/keyword_scrambled_8bit",
    "tflm/micro_speech_quantized",
    "tflm/person_detect",
    "tinyengine/mcunet-vww1",
)
SMALL = ("tflm/hello_world_int8", "tflm/keyword_scrambled_8bit")
TARGETS = {"emulator": "nucleo-h743zi2", "qemu": "qemu-m7"}
"""Each target with its board."""


def check(path: Path, target: str, folder: Path, count: int) -> None:
    board = load_board(TARGETS[target])
    image, reference = build_image(path, board, folder / "image"), ReferenceModel.load(path)
    check_same_edges(image.manifest, reference)
    inputs = verification_inputs(image.manifest, seed=4, count=count)
    run = create_target(target).run(image, board, inputs, take_exits=False)
    expected = [reference.run(*values) for values in inputs]
    assert first_difference(image.manifest, expected, [inference.outputs for inference in run.inferences]) is None


@pytest.mark.data
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", SMALL)
def test_small_models_are_bit_exact(name: str, target: str, data_folder: Path, tmp_path: Path) -> None:
    check(data_folder / "tflite" / f"{name}.tflite", target, tmp_path, count=6)


@pytest.mark.data
@pytest.mark.acceptance
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_bit_exact_on_sixteen_inputs(name: str, target: str, data_folder: Path, tmp_path: Path) -> None:
    check(data_folder / "tflite" / f"{name}.tflite", target, tmp_path, count=16)


@pytest.mark.data
def test_no_model_is_forgotten(data_folder: Path) -> None:
    folder = data_folder / "tflite"
    assert {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.tflite")} == set(MODELS)
