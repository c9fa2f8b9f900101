"""The operators that the engine knows: one table that says what each supports, from which the reader, its errors and the
documentation are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np

from hilnas.firmware.graph import (
    Activated,
    Activation,
    Attributes,
    Convolution,
    Graph,
    Operator,
    Pad,
    Padding,
    Permutation,
    Plain,
    Pooling,
    Reduction,
    Softmax,
    Svdf,
    Tensor,
)

ACTIVATIONS: dict[int, Activation] = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}
_SAME, _VALID = 0, 1


@dataclass(frozen=True)
class Argument:
    """What an operator takes at one position. `ranks` empty: any rank."""

    role: str
    dtypes: tuple[str, ...] = ("int8",)
    constant: bool = False
    optional: bool = False
    ranks: tuple[int, ...] = ()
    per_channel: bool = False


@dataclass(frozen=True)
class OperatorSpec:
    """What the engine supports of a TFLite operator.

    `attributes` makes the typed attributes from the file's options (None where the file has none) and the tensors;
    `problems` says in words what is wrong with an operator whose arguments are right.
    """

    name: str
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    options: str | None
    attributes: Callable[[Any, list[Tensor | None], list[Tensor]], Attributes]
    problems: Callable[[Graph, Operator], Iterator[str]]
    note: str = ""


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


def _convolution(options: Any, inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    image, weights = cast("Tensor", inputs[0]), cast("Tensor", inputs[1])
    strides = _sizes(options.StrideH(), options.StrideW(), "stride")
    dilations = _sizes(options.DilationHFactor(), options.DilationWFactor(), "dilation")
    extent = (dilated(weights.shape[1], dilations[0]), dilated(weights.shape[2], dilations[1]))
    padding = _padding(options.Padding(), image.shape[1:3], extent, strides)
    return Convolution(strides, padding, dilations, _activation(options.FusedActivationFunction()))


def _pooling(options: Any, inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    image = cast("Tensor", inputs[0])
    window = _sizes(options.FilterHeight(), options.FilterWidth(), "window")
    strides = _sizes(options.StrideH(), options.StrideW(), "stride")
    padding = _padding(options.Padding(), image.shape[1:3], window, strides)
    return Pooling(window, strides, padding, _activation(options.FusedActivationFunction()))


def _activated(options: Any, _inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    return Activated(_activation(options.FusedActivationFunction()))


def _fully_connected(options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Attributes:
    if options.WeightsFormat() != 0:
        raise Unsupported("shuffled weights are not supported")
    return _activated(options, inputs, outputs)


def _reduction(_options: Any, inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    image, axes = cast("Tensor", inputs[0]), cast("Tensor", inputs[1])
    rank = len(image.shape)
    indices = [int(axis) for axis in np.asarray(axes.data).ravel()]
    if not all(-rank <= axis < rank for axis in indices):
        raise Unsupported(f"axes {indices} are not of a tensor of rank {rank}")
    return Reduction(tuple(sorted({axis % rank for axis in indices})))


def _pad(_options: Any, inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    image, amounts = cast("Tensor", inputs[0]), cast("Tensor", inputs[1])
    table = np.asarray(amounts.data)
    if table.shape != (len(image.shape), 2) or table.min(initial=0) < 0 or table.max(initial=0) > 65_535:
        raise Unsupported(f"paddings {table.tolist()} do not fit a tensor of rank {len(image.shape)}")
    return Pad(tuple(int(row[0]) for row in table), tuple(int(row[1]) for row in table))


def _permutation(_options: Any, inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    image, axes = cast("Tensor", inputs[0]), cast("Tensor", inputs[1])
    order = tuple(int(axis) for axis in np.asarray(axes.data).ravel())
    rank = len(image.shape)
    if len(order) != rank or not all(-rank <= axis < rank for axis in order) or len({axis % rank for axis in order}) != rank:
        raise Unsupported(f"permutation {order} is not one of {rank} axes")
    return Permutation(tuple(axis % rank for axis in order))


def _softmax(options: Any, _inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    beta = float(options.Beta())
    if not 0 < beta < 1e6:
        raise Unsupported(f"beta {beta} is out of range")
    return Softmax(beta)


def _svdf(options: Any, _inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    if options.Rank() < 1:
        raise Unsupported(f"rank {options.Rank()} is out of range")
    return Svdf(int(options.Rank()), _activation(options.FusedActivationFunction()))


def _plain(_options: Any, _inputs: list[Tensor | None], _outputs: list[Tensor]) -> Attributes:
    return Plain()


def _no_problems(_graph: Graph, _operator: Operator) -> Iterator[str]:
    return iter(())


def _shape_is(tensor: Tensor, expected: tuple[int, ...], what: str = "output") -> Iterator[str]:
    if tensor.shape != expected:
        yield f"{what} {tensor.name!r} has shape {list(tensor.shape)}, it should be {list(expected)}"


def _weights_are_symmetric(weights: Tensor, channels: int) -> Iterator[str]:
    quantization = weights.quantization
    assert quantization is not None
    if any(quantization.zero_points):
        yield "weights with a zero point other than 0 are not supported"
    if len(quantization.scales) not in (1, channels):
        yield f"weights have {len(quantization.scales)} scales for {channels} channels"
    if quantization.per_channel and quantization.axis != weights.shape.index(channels) and weights.shape[quantization.axis] != channels:
        yield f"weights are quantised along axis {quantization.axis}, which is not the output channel"


def _bias_fits(graph: Graph, operator: Operator, channels: int) -> Iterator[str]:
    bias = graph.argument(operator, 2)
    if bias is not None and bias.elements != channels:
        yield f"bias has {bias.elements} values for {channels} channels"


def _image_windows(image: Tensor, padding: Padding, extent: tuple[int, int], strides: tuple[int, int]) -> tuple[int, int]:
    return (
        window_outputs(image.shape[1], padding.top, padding.bottom, extent[0], strides[0]),
        window_outputs(image.shape[2], padding.left, padding.right, extent[1], strides[1]),
    )


def _convolution_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    image, weights, output = graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator)
    attributes = cast("Convolution", operator.attributes)
    depthwise = operator.op == "DEPTHWISE_CONV_2D"
    channels = weights.shape[3] if depthwise else weights.shape[0]
    if image.shape[0] != 1:
        yield "a batch other than 1 is not supported"
    if depthwise and (weights.shape[0] != 1 or channels % image.shape[3]):
        yield f"weights {list(weights.shape)} do not fit {image.shape[3]} input channels"
    if not depthwise and weights.shape[3] != image.shape[3]:
        yield f"weights for {weights.shape[3]} input channels on {image.shape[3]} (grouped convolution is not supported)"
    extent = (dilated(weights.shape[1], attributes.dilations[0]), dilated(weights.shape[2], attributes.dilations[1]))
    rows, columns = _image_windows(image, attributes.padding, extent, attributes.strides)
    yield from _shape_is(output, (image.shape[0], rows, columns, channels))
    yield from _weights_are_symmetric(weights, channels)
    yield from _bias_fits(graph, operator, channels)


def _pooling_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    image, output = graph.input_of(operator), graph.output_of(operator)
    attributes = cast("Pooling", operator.attributes)
    if image.shape[0] != 1:
        yield "a batch other than 1 is not supported"
    rows, columns = _image_windows(image, attributes.padding, attributes.window, attributes.strides)
    yield from _shape_is(output, (image.shape[0], rows, columns, image.shape[3]))
    yield from _same_quantization(graph, operator)


def _fully_connected_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    values, weights, output = graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator)
    channels, depth = weights.shape
    if values.elements % depth or output.elements != values.elements // depth * channels:
        yield f"weights {list(weights.shape)} do not fit input {list(values.shape)} and output {list(output.shape)}"
    yield from _weights_are_symmetric(weights, channels)
    yield from _bias_fits(graph, operator, channels)


def _add_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    first, second, output = graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator)
    if not first.shape == second.shape == output.shape:
        yield f"shapes {list(first.shape)} and {list(second.shape)} differ (broadcasting is not supported)"


def _reduction_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    image, output = graph.input_of(operator), graph.output_of(operator)
    axes = cast("Reduction", operator.attributes).axes
    kept = [size for axis, size in enumerate(image.shape) if axis not in axes]
    if output.elements != prod(kept):
        yield f"output {list(output.shape)} is not input {list(image.shape)} without axes {list(axes)}"
    if not axes or axes != tuple(range(axes[0], axes[-1] + 1)):
        yield f"axes {list(axes)} are not neighbours"
    elif prod(image.shape[axis] for axis in axes) > 2**20:
        yield "a mean over more than 2^20 elements is not supported"


def _pad_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    image, output = graph.input_of(operator), graph.output_of(operator)
    pad = cast("Pad", operator.attributes)
    shape = tuple(size + before + after for size, before, after in zip(image.shape, pad.before, pad.after, strict=True))
    yield from _shape_is(output, shape)
    yield from _same_quantization(graph, operator)


def _permutation_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    image, output = graph.input_of(operator), graph.output_of(operator)
    yield from _shape_is(output, tuple(image.shape[axis] for axis in cast("Permutation", operator.attributes).axes))
    yield from _same_quantization(graph, operator)


def _same_elements(graph: Graph, operator: Operator) -> Iterator[str]:
    if graph.input_of(operator).elements != graph.output_of(operator).elements:
        yield f"input {list(graph.input_of(operator).shape)} and output {list(graph.output_of(operator).shape)} differ in size"


def _same_quantization(graph: Graph, operator: Operator) -> Iterator[str]:
    if graph.input_of(operator).quantization != graph.output_of(operator).quantization:
        yield "input and output have different scales or zero points"


def _reshape_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    yield from _same_elements(graph, operator)
    if graph.input_of(operator).dtype != graph.output_of(operator).dtype:
        yield "input and output have different types"


def _softmax_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    values, output = graph.input_of(operator), graph.output_of(operator)
    yield from _shape_is(output, values.shape)
    scale, zero_point = (1 / 256, -128) if output.dtype == "int8" else (1 / 65536, -32768)
    assert output.quantization is not None
    if abs(output.quantization.scale / scale - 1) > 1e-3 or output.quantization.zero_point != zero_point:
        yield f"output must have scale {scale} and zero point {zero_point}"
    if values.shape and values.shape[-1] > 4096:
        yield "more than 4096 classes are not supported"


def _svdf_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    values, features, times, state = (graph.input_of(operator, position) for position in (0, 1, 2, 4))
    output = graph.output_of(operator)
    rank = cast("Svdf", operator.attributes).rank
    filters = features.shape[0]
    if not state.variable:
        yield "its state must be a variable tensor"
    if values.shape[0] != 1:
        yield "a batch other than 1 is not supported"
    if features.shape[1] != values.shape[-1] or times.shape[0] != filters or filters % rank or output.elements != filters // rank:
        sizes = [list(tensor.shape) for tensor in (features, times, values, output)]
        yield f"weights {sizes[0]} and {sizes[1]} do not fit input {sizes[2]} and output {sizes[3]}"
    if state.elements != filters * times.shape[1]:
        yield f"state {list(state.shape)} does not hold {filters} filters of {times.shape[1]} steps"
    bias = graph.argument(operator, 3)
    if bias is not None and bias.elements != filters // rank:
        yield f"bias has {bias.elements} values for {filters // rank} units"
    for tensor in (features, times):
        if tensor.quantization is not None and any(tensor.quantization.zero_points):
            yield "weights with a zero point other than 0 are not supported"


_IMAGE = Argument("image", ranks=(4,))
_ANY = Argument("values")
_BIAS = Argument("bias", ("int32",), constant=True, optional=True, per_channel=True)


def _constant(role: str, dtypes: tuple[str, ...] = ("int32", "int64")) -> Argument:
    return Argument(role, dtypes, constant=True)


def _weights(rank: int, per_channel: bool = True) -> Argument:
    return Argument("weights", constant=True, ranks=(rank,), per_channel=per_channel)


_CONVOLUTION = (_IMAGE, _weights(4), _BIAS)

TABLE: dict[str, OperatorSpec] = {
    spec.name: spec
    for spec in (
        OperatorSpec("ADD", (_ANY, _ANY), (_ANY,), "AddOptions", _activated, _add_problems, "equal shapes"),
        OperatorSpec("AVERAGE_POOL_2D", (_IMAGE,), (_IMAGE,), "Pool2DOptions", _pooling, _pooling_problems),
        OperatorSpec("CONV_2D", _CONVOLUTION, (_IMAGE,), "Conv2DOptions", _convolution, _convolution_problems, "no groups"),
        OperatorSpec("DEPTHWISE_CONV_2D", _CONVOLUTION, (_IMAGE,), "DepthwiseConv2DOptions", _convolution, _convolution_problems),
        OperatorSpec(
            "DEQUANTIZE",
            (_ANY,),
            (Argument("values", ("float32",)),),
            None,
            _plain,
            _same_elements,
            "at an output of the model",
        ),
        OperatorSpec(
            "FULLY_CONNECTED",
            (_ANY, _weights(2), _BIAS),
            (_ANY,),
            "FullyConnectedOptions",
            _fully_connected,
            _fully_connected_problems,
        ),
        OperatorSpec("MAX_POOL_2D", (_IMAGE,), (_IMAGE,), "Pool2DOptions", _pooling, _pooling_problems),
        OperatorSpec("MEAN", (_ANY, _constant("axes")), (_ANY,), None, _reduction, _reduction_problems, "neighbouring axes"),
        OperatorSpec("PAD", (Argument("values", ranks=(1, 2, 3, 4)), _constant("paddings")), (_ANY,), None, _pad, _pad_problems),
        OperatorSpec(
            "QUANTIZE",
            (Argument("values", ("int8", "int16", "uint8", "float32")),),
            (Argument("values", ("int8", "int32", "uint8")),),
            None,
            _plain,
            _same_elements,
            "float32 and uint8 at the edges of the model; int8 to int8, int16 to int8 and int16 to int32",
        ),
        OperatorSpec("RESHAPE", (_ANY, Argument("shape", ("int32",), optional=True)), (_ANY,), None, _plain, _reshape_problems),
        OperatorSpec("SOFTMAX", (_ANY,), (Argument("values", ("int8", "int16")),), "SoftmaxOptions", _softmax, _softmax_problems),
        OperatorSpec(
            "SVDF",
            (
                Argument("values", ranks=(2,)),
                _weights(2, per_channel=False),
                Argument("time weights", ("int8",), constant=True, ranks=(2,)),
                Argument("bias", ("int32",), constant=True, optional=True),
                Argument("state", ("int8",)),
            ),
            (_ANY,),
            "SVDFOptions",
            _svdf,
            _svdf_problems,
        ),
        OperatorSpec(
            "TRANSPOSE",
            (Argument("values", ranks=(1, 2, 3, 4)), _constant("permutation")),
            (_ANY,),
            None,
            _permutation,
            _permutation_problems,
        ),
    )
}
"""Every supported operator by its TFLite name."""


def argument_problems(spec: OperatorSpec, inputs: list[Tensor | None], outputs: list[Tensor]) -> Iterator[str]:
    """What is wrong with the number, types and ranks of an operator's arguments."""
    if len(inputs) > len(spec.inputs) or len(outputs) != len(spec.outputs):
        yield f"{len(inputs)} inputs and {len(outputs)} outputs, at most {len(spec.inputs)} and exactly {len(spec.outputs)} are supported"
        return
    padded = inputs + [None] * (len(spec.inputs) - len(inputs))
    for argument, tensor in (*zip(spec.inputs, padded, strict=True), *zip(spec.outputs, outputs, strict=True)):
        if tensor is None:
            if not argument.optional:
                yield f"its {argument.role} is missing"
            continue
        where = f"{argument.role} {tensor.name!r}"
        if tensor.dtype not in argument.dtypes:
            yield f"{where} is {tensor.dtype}, supported: {', '.join(argument.dtypes)}"
            continue
        if argument.ranks and len(tensor.shape) not in argument.ranks:
            yield f"{where} has {len(tensor.shape)} dimensions, supported: {', '.join(map(str, argument.ranks))}"
        if argument.constant and tensor.data is None:
            yield f"{where} is not a constant"
        if tensor.dtype in ("int8", "int16", "uint8") and tensor.quantization is None:
            yield f"{where} has no scale"
        if tensor.quantization is not None and tensor.quantization.per_channel and not argument.per_channel:
            yield f"{where} has a scale for each channel"
