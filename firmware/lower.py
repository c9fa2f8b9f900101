"""Chooses the kernel of every operator and computes its constants.

Choosing needs shapes only; computing the constants needs the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import cast

import numpy as np
from hilnas.errors import ModelError
from hilnas.firmware.fixed_point import activation_range, quantize_multiplier, softmax_exponentials, wide_multiplier
from hilnas.firmware.graph import (
    Activated,
    Convolution,
    Graph,
    Operator,
    Pad,
    Permutation,
    Pooling,
    Quantization,
    Reduction,
    Softmax,
    Svdf,
    Tensor,
)
from hilnas.firmware.kernel import Constants, Kernel, Table
from numpy.typing import NDArray

CHANNEL_BYTES = 12
WIDE_CHANNEL_BYTES = 16
Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Lowering:
    """How one TFLite operator is compiled: which kernel, how many multiply-accumulates, which constants."""

    kernel: Callable[[Graph, Operator], Kernel]
    constants: Callable[[Graph, Operator], Constants]
    macs: Callable[[Graph, Operator], int] = lambda _graph, _operator: 0


def _quantization(tensor: Tensor) -> Quantization:
    assert tensor.quantization is not None
    return tensor.quantization


def _output(graph: Graph, operator: Operator) -> str:
    quantization = _quantization(graph.output_of(operator))
    activation = getattr(operator.attributes, "activation", "NONE")
    low, high = activation_range(activation, quantization)
    return f"{{{quantization.zero_point}, {low}, {high}}}"


def _biases(graph: Graph, operator: Operator, channels: int) -> list[int]:
    bias = graph.argument(operator, 2)
    return [0] * channels if bias is None else [int(value) for value in _data(bias).ravel()]


def _channels(graph: Graph, operator: Operator, channels: int) -> Table:
    multipliers = channel_multipliers(graph, operator, channels)
    rows = [(bias, *multiplier) for bias, multiplier in zip(_biases(graph, operator, channels), multipliers, strict=True)]
    return Table("channels", "hilnas_channel", np.array(rows, np.int64))


def channel_multipliers(graph: Graph, operator: Operator, channels: int) -> list[tuple[int, int]]:
    """Multiplier and shift of each output channel: input scale * weight scale / output scale, in double precision."""
    image, weights, output = (_quantization(tensor) for tensor in (graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator)))
    scales = weights.scales * (channels // len(weights.scales))
    return [quantize_multiplier(image.scale * scale / output.scale) for scale in scales]


def _geometry(graph: Graph, operator: Operator, window: tuple[int, int], dilations: tuple[int, int] = (1, 1)) -> str:
    attributes = cast("Convolution | Pooling", operator.attributes)
    image, output = graph.input_of(operator).shape, graph.output_of(operator).shape
    values = (*image[1:], *output[1:], *window, *attributes.strides, *dilations, attributes.padding.top, attributes.padding.left)
    return "{" + ", ".join(map(str, values)) + "}"


def _convolution_kernel(graph: Graph, operator: Operator) -> Kernel:
    weights = graph.input_of(operator, 1)
    channels = graph.output_of(operator).shape[3]
    depthwise = operator.op == "DEPTHWISE_CONV_2D"
    function, source = ("hilnas_convolve_depthwise", "depthwise_convolution.c") if depthwise else ("hilnas_convolve", "convolution.c")
    return Kernel(function, source, weight_bytes=weights.elements, table_bytes=channels * CHANNEL_BYTES + 44)


def _convolution_constants(graph: Graph, operator: Operator) -> Constants:
    weights = graph.input_of(operator, 1)
    attributes = cast("Convolution", operator.attributes)
    channels = graph.output_of(operator).shape[3]
    fields: Fields = (
        ("geometry", _geometry(graph, operator, weights.shape[1:3], attributes.dilations)),
        ("input_zero_point", str(_quantization(graph.input_of(operator)).zero_point)),
        ("output", _output(graph, operator)),
        ("weights", "@weights"),
        ("channels", "@channels"),
    )
    tables = (
        Table("weights", "int8_t", _data(weights).ravel()),
        _channels(graph, operator, channels),
    )
    return Constants("hilnas_convolution", fields, tables)


def _data(tensor: Tensor) -> NDArray[np.integer]:
    assert tensor.data is not None
    return cast("NDArray[np.integer]", tensor.data)


def _convolution_macs(graph: Graph, operator: Operator) -> int:
    weights, output = graph.input_of(operator, 1), graph.output_of(operator)
    return output.elements * prod(weights.shape[1:3] if operator.op == "DEPTHWISE_CONV_2D" else weights.shape[1:])


def _connected_kernel(graph: Graph, operator: Operator) -> Kernel:
    weights = graph.input_of(operator, 1)
    return Kernel("hilnas_connect_fully", "fully_connected.c", weights.elements, weights.shape[0] * WIDE_CHANNEL_BYTES + 32)


def _connected_constants(graph: Graph, operator: Operator) -> Constants:
    values, weights, output = graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator)
    channels, depth = weights.shape
    scales = _quantization(weights).scales * (channels // len(_quantization(weights).scales))
    rows = []
    for scale, bias in zip(scales, _biases(graph, operator, channels), strict=True):
        multiplier, shift = wide_multiplier(_quantization(values).scale * scale / _quantization(output).scale)
        rows.append((bias, multiplier & 0xFFFF_FFFF, multiplier >> 32, shift))
    fields: Fields = (
        ("rows", str(values.elements // depth)),
        ("depth", str(depth)),
        ("channels", str(channels)),
        ("input_zero_point", str(_quantization(values).zero_point)),
        ("output", _output(graph, operator)),
        ("weights", "@weights"),
        ("scales", "@channels"),
    )
    tables = (Table("weights", "int8_t", _data(weights).ravel()), Table("channels", "hilnas_wide_channel", np.array(rows, np.int64)))
    return Constants("hilnas_fully_connected", fields, tables)


def _connected_macs(graph: Graph, operator: Operator) -> int:
    return graph.output_of(operator).elements * graph.input_of(operator, 1).shape[1]


def _addition_constants(graph: Graph, operator: Operator) -> Constants:
    headroom = 20
    operands = [_quantization(graph.input_of(operator, position)) for position in (0, 1)]
    output = _quantization(graph.output_of(operator))
    common = 2.0 * max(operand.scale for operand in operands)
    texts = []
    for operand in operands:
        multiplier, shift = quantize_multiplier(operand.scale / common)
        texts.append(f"{{{operand.zero_point}, {multiplier}, {shift}}}")
    multiplier, shift = quantize_multiplier(common / (2.0**headroom * output.scale))
    fields: Fields = (
        ("elements", str(graph.output_of(operator).elements)),
        ("first", texts[0]),
        ("second", texts[1]),
        ("multiplier", str(multiplier)),
        ("shift", str(shift)),
        ("output", _output(graph, operator)),
    )
    return Constants("hilnas_addition", fields)


def _pooling_kernel(graph: Graph, operator: Operator) -> Kernel:
    average = operator.op == "AVERAGE_POOL_2D"
    return Kernel("hilnas_pool_average" if average else "hilnas_pool_maximum", "average_pool.c" if average else "maximum_pool.c", table_bytes=36)


def _pooling_constants(graph: Graph, operator: Operator) -> Constants:
    window = cast("Pooling", operator.attributes).window
    return Constants("hilnas_pooling", (("geometry", _geometry(graph, operator, window)), ("output", _output(graph, operator))))


def _reduction_constants(graph: Graph, operator: Operator) -> Constants:
    image, output = graph.input_of(operator), _quantization(graph.output_of(operator))
    axes = cast("Reduction", operator.attributes).axes
    count = prod(image.shape[axis] for axis in axes)
    multiplier, shift = quantize_multiplier(_quantization(image).scale / output.scale)
    # The division by the number of elements goes into the multiplier, cut off to an integer (QuantizedMeanOrSum).
    bits = max(min(count.bit_length() - 1, 32, 31 + shift), 0)
    fields: Fields = (
        ("outer", str(prod(image.shape[: axes[0]]))),
        ("reduced", str(count)),
        ("inner", str(prod(image.shape[axes[-1] + 1 :]))),
        ("bias", str(-count * _quantization(image).zero_point)),
        ("multiplier", str((multiplier << bits) // count)),
        ("shift", str(shift - bits)),
        ("output", _output(graph, operator)),
    )
    return Constants("hilnas_reduction", fields)


def _four(values: tuple[int, ...], fill: int) -> str:
    return "{" + ", ".join(map(str, (fill,) * (4 - len(values)) + values)) + "}"


def _permutation_constants(graph: Graph, operator: Operator) -> Constants:
    image = graph.input_of(operator)
    axes = cast("Permutation", operator.attributes).axes
    strides = [prod(image.shape[axis + 1 :]) for axis in range(len(image.shape))]
    sizes = tuple(image.shape[axis] for axis in axes)
    fields: Fields = (("sizes", _four(sizes, 1)), ("strides", _four(tuple(strides[axis] for axis in axes), 0)))
    return Constants("hilnas_permutation", fields)


def _padding_constants(graph: Graph, operator: Operator) -> Constants:
    image, output = graph.input_of(operator), graph.output_of(operator)
    fields: Fields = (
        ("sizes", _four(image.shape, 1)),
        ("output_sizes", _four(output.shape, 1)),
        ("before", _four(cast("Pad", operator.attributes).before, 0)),
        ("value", str(_quantization(output).zero_point)),
    )
    return Constants("hilnas_padding", fields)


def _softmax_table(graph: Graph, operator: Operator) -> tuple[int, ...]:
    return softmax_exponentials(_quantization(graph.input_of(operator)).scale, cast("Softmax", operator.attributes).beta)


def _softmax_kernel(graph: Graph, operator: Operator) -> Kernel:
    dtype = graph.output_of(operator).dtype
    return Kernel(f"hilnas_softmax_{dtype}", f"softmax_{dtype}.c", table_bytes=16 + 4 * len(_softmax_table(graph, operator)))


def _softmax_constants(graph: Graph, operator: Operator) -> Constants:
    values = graph.input_of(operator)
    exponentials = np.array(_softmax_table(graph, operator))
    fields: Fields = (
        ("rows", str(prod(values.shape[:-1]))),
        ("classes", str(values.shape[-1])),
        ("exponential_count", str(len(exponentials))),
        ("exponentials", "@exponentials"),
    )
    return Constants("hilnas_softmax", fields, (Table("exponentials", "int32_t", exponentials),))


def _rescaling_kernel(graph: Graph, operator: Operator) -> Kernel:
    source, result = graph.input_of(operator).dtype, graph.output_of(operator).dtype
    return Kernel("hilnas_rescale_int8" if source == "int8" else f"hilnas_rescale_{source}_to_{result}", "rescale.c", table_bytes=20)


def _rescaling_constants(graph: Graph, operator: Operator) -> Constants:
    source, result = _quantization(graph.input_of(operator)), _quantization(graph.output_of(operator))
    multiplier, shift = quantize_multiplier(source.scale / result.scale)
    fields: Fields = (
        ("elements", str(graph.output_of(operator).elements)),
        ("input_zero_point", str(source.zero_point)),
        ("multiplier", str(multiplier)),
        ("shift", str(shift)),
        ("zero_point", str(result.zero_point)),
    )
    return Constants("hilnas_rescaling", fields)


def _svdf_kernel(graph: Graph, operator: Operator) -> Kernel:
    features, times, bias = graph.input_of(operator, 1), graph.input_of(operator, 2), graph.argument(operator, 3)
    weights = features.elements + times.elements + (4 * bias.elements if bias else 0)
    return Kernel("hilnas_filter_svdf", "svdf.c", weights, table_bytes=56)


def _svdf_constants(graph: Graph, operator: Operator) -> Constants:
    values, features, times, state = (graph.input_of(operator, position) for position in (0, 1, 2, 4))
    bias = graph.argument(operator, 3)
    output = _quantization(graph.output_of(operator))
    first = quantize_multiplier(_quantization(values).scale * _quantization(features).scale / _quantization(state).scale)
    second = quantize_multiplier(_quantization(state).scale * _quantization(times).scale / output.scale)
    tables = [Table("features", "int8_t", _data(features).ravel()), Table("times", "int8_t", _data(times).ravel())]
    if bias is not None:
        tables.append(Table("bias", "int32_t", _data(bias).ravel()))
    fields: Fields = (
        ("inputs", str(features.shape[1])),
        ("filters", str(features.shape[0])),
        ("rank", str(cast("Svdf", operator.attributes).rank)),
        ("steps", str(times.shape[1])),
        ("input_zero_point", str(_quantization(values).zero_point)),
        ("state_zero_point", str(_quantization(state).zero_point)),
        ("feature_multiplier", str(first[0])),
        ("feature_shift", str(first[1])),
        ("multiplier", str(second[0])),
        ("shift", str(second[1])),
        ("output", _output(graph, operator)),
        ("features", "@features"),
        ("times", "@times"),
        ("bias", "@bias" if bias is not None else "0"),
    )
    return Constants("hilnas_svdf", fields, tuple(tables))


def _svdf_macs(graph: Graph, operator: Operator) -> int:
    return graph.input_of(operator, 1).elements + graph.input_of(operator, 2).elements


def _fixed(function: str, source: str, table_bytes: int) -> Callable[[Graph, Operator], Kernel]:
    kernel = Kernel(function, source, table_bytes=table_bytes)
    return lambda _graph, _operator: kernel


_CONVOLUTION = Lowering(_convolution_kernel, _convolution_constants, _convolution_macs)
_POOLING = Lowering(_pooling_kernel, _pooling_constants)

LOWERINGS: dict[str, Lowering] = {
    "ADD": Lowering(_fixed("hilnas_add", "add.c", 44), _addition_constants),
    "AVERAGE_POOL_2D": _POOLING,
    "CONV_2D": _CONVOLUTION,
    "DEPTHWISE_CONV_2D": _CONVOLUTION,
    "FULLY_CONNECTED": Lowering(_connected_kernel, _connected_constants, _connected_macs),
    "MAX_POOL_2D": _POOLING,
    "MEAN": Lowering(_fixed("hilnas_reduce_mean", "mean.c", 32), _reduction_constants),
    "PAD": Lowering(_fixed("hilnas_pad", "pad.c", 52), _padding_constants),
    "QUANTIZE": Lowering(_rescaling_kernel, _rescaling_constants),
    "SOFTMAX": Lowering(_softmax_kernel, _softmax_constants),
    "SVDF": Lowering(_svdf_kernel, _svdf_constants, _svdf_macs),
    "TRANSPOSE": Lowering(_fixed("hilnas_transpose", "transpose.c", 32), _permutation_constants),
}
"""How each operator that fusion leaves is compiled."""


@dataclass(frozen=True)
class Layer:
    """An operator with its kernel, in execution order; `exit` is the exit that is decided after it."""

    name: str
    operator: Operator
    kernel: Kernel
    macs: int
    exit: int | None = None


@dataclass(frozen=True, eq=False)
class Program:
    """A fused graph and the layers that compute it."""

    graph: Graph
    layers: tuple[Layer, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, no exit taken."""
        return sum(layer.macs for layer in self.layers)

    @property
    def constant_bytes(self) -> int:
        """Weights, tables and parameters of all layers in flash."""
        return sum(layer.kernel.constant_bytes for layer in self.layers)


def lower(graph: Graph) -> Program:
    """The layers of a fused graph. Needs shapes only.

    Raises:
        ModelError: the model computes nothing, or two exits leave at one place.
    """
    if not graph.operators:
        raise ModelError("the model computes nothing", "Its outputs do not depend on any operator.")
    exits = _exits_by_tensor(graph)
    layers = []
    for operator in graph.operators:
        lowering = LOWERINGS[operator.op]
        # TensorFlow names a fused operator after all that went into it.
        name = graph.output_of(operator).name.split(";")[0]
        exit_index = exits.pop(graph.storage(operator.outputs[0]), None)
        layers.append(Layer(name, operator, lowering.kernel(graph, operator), lowering.macs(graph, operator), exit_index))
    if exits:
        raise ModelError("an exit of the model is not computed by any operator of its own")
    return Program(graph, tuple(layers))


def _exits_by_tensor(graph: Graph) -> dict[int, int]:
    count = len(graph.exits) if graph.exits else 0
    by_tensor = {graph.storage(tensor): index for index, tensor in enumerate(graph.outputs[:count])}
    if len(by_tensor) != count:
        raise ModelError("two exits of the model are the same tensor")
    return by_tensor
