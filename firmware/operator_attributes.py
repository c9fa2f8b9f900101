"""The typed attributes of operators, from the options of the file and from constants."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from hilnas.firmware.graph import (
    Activated,
    Activation,
    Attributes,
    Convolution,
    LeakyRelu,
    Lstm,
    Pad,
    Padding,
    Permutation,
    Plain,
    Pooling,
    Reduction,
    Resize,
    Softmax,
    Svdf,
    Tensor,
)

ACTIVATIONS: dict[int, Activation] = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}
_SAME, _VALID = 0, 1
_TANH = 4


class Unsupported(ValueError):  # noqa: N818 - not an error of the program: a sentence about one operator
    """Why the attributes of an operator are not supported."""


def _activation(code: int) -> Activation:
    if code not in ACTIVATIONS:
        raise Unsupported(f"fused activation {code} is not supported")
    return ACTIVATIONS[code]


def _sizes(vertical: int, horizontal: int, what: str) -> tuple[int, int]:
    if not (1 <= vertical <= 4096 and 1 <= horizontal <= 4096):
        raise Unsupported(f"{what} {vertical}x{horizontal} is out of range")
    return vertical, horizontal


def _padding(kind: int, image: tuple[int, ...], window: tuple[int, int], strides: tuple[int, int]) -> Padding:
    """TensorFlow's SAME: the output has ceil(size / stride) places, an odd padding has its larger half below and right."""
    if kind == _VALID:
        return Padding()
    if kind != _SAME:
        raise Unsupported(f"padding {kind} is not supported")
    totals = [
        max((-(-size // stride) - 1) * stride + extent - size, 0) for size, extent, stride in zip(image, window, strides, strict=True)
    ]
    return Padding(totals[0] // 2, totals[0] - totals[0] // 2, totals[1] // 2, totals[1] - totals[1] // 2)


def window_outputs(size: int, before: int, after: int, extent: int, stride: int) -> int:
    """How many places a window of `extent` takes along an axis."""
    return (size + before + after - extent) // stride + 1


def dilated(taps: int, dilation: int) -> int:
    """How far a filter of `taps` reaches."""
    return (taps - 1) * dilation + 1


def convolution(options: Any, inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    """Of CONV_2D and DEPTHWISE_CONV_2D."""
    image, weights = cast("Tensor", inputs[0]), cast("Tensor", inputs[1])
    strides = _sizes(options.StrideH(), options.StrideW(), "stride")
    dilations = _sizes(options.DilationHFactor(), options.DilationWFactor(), "dilation")
    extent = (dilated(weights.shape[1], dilations[0]), dilated(weights.shape[2], dilations[1]))
    padding = _padding(options.Padding(), image.shape[1:3], extent, strides)
    return Convolution(strides, padding, dilations, _activation(options.FusedActivationFunction()))


def transposed_convolution(options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Attributes:
    """Of TRANSPOSE_CONV: its padding is that of the convolution that would go back."""
    weights = cast("Tensor", inputs[1])
    strides = _sizes(options.StrideH(), options.StrideW(), "stride")
    padding = _padding(options.Padding(), outputs[0].shape[1:3], (weights.shape[1], weights.shape[2]), strides)
    return Convolution(strides, padding, activation=_activation(options.FusedActivationFunction()))


def pooling(options: Any, inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    """Of AVERAGE_POOL_2D and MAX_POOL_2D."""
    image = cast("Tensor", inputs[0])
    window = _sizes(options.FilterHeight(), options.FilterWidth(), "window")
    strides = _sizes(options.StrideH(), options.StrideW(), "stride")
    padding = _padding(options.Padding(), image.shape[1:3], window, strides)
    return Pooling(window, strides, padding, _activation(options.FusedActivationFunction()))


def activated(options: Any, _inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    """Of an operator with a fused activation and nothing else."""
    return Activated(_activation(options.FusedActivationFunction()))


def fully_connected(options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Attributes:
    """Of FULLY_CONNECTED."""
    if options.WeightsFormat() != 0:
        raise Unsupported("shuffled weights are not supported")
    return activated(options, inputs, outputs)


def reduction(_options: Any, inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    """Of MEAN, REDUCE_MAX and REDUCE_MIN: the axes are a constant."""
    image, axes = cast("Tensor", inputs[0]), cast("Tensor", inputs[1])
    rank = len(image.shape)
    indices = [int(axis) for axis in np.asarray(axes.data).ravel()]
    if not all(-rank <= axis < rank for axis in indices):
        raise Unsupported(f"axes {indices} are not of a tensor of rank {rank}")
    return Reduction(tuple(sorted({axis % rank for axis in indices})))


def pad(_options: Any, inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    """Of PAD: its amounts are a constant."""
    image, amounts = cast("Tensor", inputs[0]), cast("Tensor", inputs[1])
    table = np.asarray(amounts.data)
    if table.shape != (len(image.shape), 2) or table.min(initial=0) < 0 or table.max(initial=0) > 65_535:
        raise Unsupported(f"paddings {table.tolist()} do not fit a tensor of rank {len(image.shape)}")
    return Pad(tuple(int(row[0]) for row in table), tuple(int(row[1]) for row in table))


def permutation(_options: Any, inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    """Of TRANSPOSE: its axes are a constant."""
    image, axes = cast("Tensor", inputs[0]), cast("Tensor", inputs[1])
    order = tuple(int(axis) for axis in np.asarray(axes.data).ravel())
    rank = len(image.shape)
    if len(order) != rank or not all(-rank <= axis < rank for axis in order) or len({axis % rank for axis in order}) != rank:
        raise Unsupported(f"permutation {order} is not one of {rank} axes")
    return Permutation(tuple(axis % rank for axis in order))


def softmax(options: Any, _inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    """Of SOFTMAX."""
    beta = float(options.Beta())
    if not 0 < beta < 1e6:
        raise Unsupported(f"beta {beta} is out of range")
    return Softmax(beta)


def svdf(options: Any, _inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    """Of SVDF."""
    if options.Rank() < 1:
        raise Unsupported(f"rank {options.Rank()} is out of range")
    if _activation(options.FusedActivationFunction()) not in ("NONE", "RELU"):
        raise Unsupported("a fused activation other than RELU is not supported")
    return Svdf(int(options.Rank()))


def lstm(options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Attributes:
    """Of UNIDIRECTIONAL_SEQUENCE_LSTM: the fifth of its intermediate tensors, which follow the output, is the hidden one."""
    image = cast("Tensor", inputs[0])
    if options.FusedActivationFunction() != _TANH:
        raise Unsupported("an activation other than TANH is not supported")
    if len(outputs) != 6 or outputs[5].quantization is None:
        raise Unsupported("its intermediate tensors do not say the scale of the hidden values")
    if image.shape[1 if options.TimeMajor() else 0] != 1:
        raise Unsupported("a batch other than 1 is not supported")
    clip = float(options.CellClip())
    if not 0 <= clip < 2**15:
        raise Unsupported(f"cell clip {clip} is out of range")
    return Lstm(outputs[5].quantization.scale, outputs[5].quantization.zero_point, clip)


def leaky_relu(options: Any, _inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    """Of LEAKY_RELU."""
    alpha = float(options.Alpha())
    if not 0 <= alpha < 2**15:
        raise Unsupported(f"alpha {alpha} is out of range")
    return LeakyRelu(alpha)


def resize(options: Any, _inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    """Of RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR."""
    return Resize(bool(options.AlignCorners()), bool(options.HalfPixelCenters()))


def plain(_options: Any, _inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    """Of an operator that has none."""
    return Plain()
