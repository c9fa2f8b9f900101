"""A torch module becomes files for devices: int8 .tflite and ONNX, both compared with the module before they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hilnas.errors import BuildError
from hilnas.export.onnx import MAXIMUM_ERROR, onnx_error, to_onnx
from hilnas.export.quantise import to_int8_tflite
from hilnas.export.verify import Verification, verify
from hilnas.files import write_atomically
from hilnas.tflite.exits import named_exits
from hilnas.tflite.reference import ReferenceModel

TFLITE_NAME = "model.tflite"
ONNX_NAME = "model.onnx"
_IMAGES_TO_VERIFY = 64


@dataclass(frozen=True)
class ExportedModel:
    """The files of an exported network and how close they are to it. `onnx_error` is the largest relative difference."""

    tflite: Path
    onnx: Path
    verification: Verification
    onnx_error: float


def export_tflite(
    module: nn.Module, calibration: NDArray[np.float32], path: Path, thresholds: Sequence[float] = ()
) -> tuple[Path, Verification]:
    """Writes the int8 .tflite of a module, verified on up to 64 of the calibration images (N, H, W, C).

    Raises:
        InputError: the module has layers that cannot be exported.
        BuildError: the converter failed, or the file is too far from the module.
        StoreError: the disk refused.
    """
    content = to_int8_tflite(module, calibration, thresholds)
    verification = verify(ReferenceModel(content, path.name), module, calibration[:_IMAGES_TO_VERIFY], thresholds)
    verification.check()
    write_atomically(path, content)
    return path, verification


def export_subnet(module: nn.Module, calibration: NDArray[np.float32], folder: Path, thresholds: Sequence[float]) -> ExportedModel:
    """Writes `model.onnx` and the int8 `model.tflite` of a module into a folder; nothing if either fails its check.

    `calibration` (N, H, W, C) are real images; `thresholds` the entropies in nats of its exits: every output but the last.

    Raises:
        InputError: the module has layers that cannot be exported.
        BuildError: an exporter failed, or a file is too far from the module.
        StoreError: the disk refused.
    """
    images = calibration[:_IMAGES_TO_VERIFY]
    content = to_onnx(module, images, named_exits(thresholds).output_names)
    error = onnx_error(content, module, images)
    if not error <= MAXIMUM_ERROR:
        raise BuildError(f"ONNX Runtime and torch differ by {error:.2g} of the largest logit (at most {MAXIMUM_ERROR})")
    tflite, verification = export_tflite(module, calibration, folder / TFLITE_NAME, thresholds)
    write_atomically(folder / ONNX_NAME, content)
    return ExportedModel(tflite, folder / ONNX_NAME, verification, error)
