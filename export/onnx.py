"""ONNX files through torch's exporter, checked in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hilnas.errors import BuildError
from hilnas.export.quiet import quiet

INPUT_NAME = "image"
MAXIMUM_ERROR = 1e-3
"""Largest difference of an output between torch and ONNX Runtime, relative to the output's largest value."""
_EXAMPLE_IMAGES = 4


def to_onnx(module: nn.Module, images: NDArray[np.float32], output_names: Sequence[str]) -> bytes:
    """The module as an ONNX file: input `image` (batch, C, H, W) float32, outputs by name.

    Raises:
        BuildError: torch cannot export the module.
    """
    # The exporter takes a batch of one for a constant: it needs an example of several images.
    example = torch.from_numpy(np.resize(images, (_EXAMPLE_IMAGES, *images.shape[1:])).transpose(0, 3, 1, 2).copy())
    shapes = ({0: torch.export.Dim("batch")},)
    with quiet():
        try:
            program = torch.onnx.export(
                module.eval(),
                (example,),
                dynamo=True,
                input_names=[INPUT_NAME],
                output_names=list(output_names),
                dynamic_shapes=shapes,
                verbose=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            raise BuildError(f"torch cannot export the network to ONNX: {error}", "The .tflite does not need ONNX.") from error
    assert program is not None
    model: Any = program.model_proto
    _strip(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def onnx_error(content: bytes, module: nn.Module, images: NDArray[np.float32]) -> float:
    """The largest difference between ONNX Runtime and torch on images (N, H, W, C), relative to each output's largest value."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    batch = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(batch))
    expected = expected if isinstance(expected, tuple) else (expected,)
    actual = session.run(None, {INPUT_NAME: batch})
    return max(_relative_error(left.numpy(), right) for left, right in zip(expected, actual, strict=True))


def _relative_error(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    return float(np.abs(expected - actual).max() / max(float(np.abs(expected).max()), 1e-12))


def _strip(model: Any) -> None:
    """Removes how torch came to each node: stack traces that name files of this computer."""
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
