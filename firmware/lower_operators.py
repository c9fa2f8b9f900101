"""How operators other than convolutions are compiled."""

from __future__ import annotations

from math import prod
from typing import cast

import numpy as np

from hilnas.firmware.fixed_point import quantize_multiplier, softmax_differences, softmax_exponentials, softmax_multiplier, wide_multiplier
from hilnas.firmware.graph import Graph, Operator, Pooling, Reduction, Softmax, Svdf, Tensor
from hilnas.firmware.kernel import Constants, Kernel, Order, RowWise, Table
from hilnas.firmware.lowering import (
    MAX_SHIFT,
    Fields,
    KernelSet,
    Lowering,
    adds_equal_shapes,
    array_field,
    biases_of,
    data_of,
    fixed_kernel,
    geometry_field,
    operand_fields,
    output_field,
    quantization_of,
    real_multipliers,
)
from hilnas.firmware.movement import collapsed, strides_of

ADDITION_HEADROOM = 20
"""Bits that both operands of an addition gain before they are brought to a common scale."""

WIDE_CHANNEL_BYTES = 16
"""Size of hilnas_wide_channel."""


def _connected_kernel(graph: Graph, operator: Operator) -> Kernel:
    weights = graph.input_of(operator, 1)
    return Kernel(
        "hilnas_connect_fully",
        "fully_connected.c",
        weight_bytes=weights.elements,
        channel_bytes=weights.shape[0] * WIDE_CHANNEL_BYTES,
        table_bytes=28,
    )


def _connected_constants(graph: Graph, operator: Operator) -> Constants:
    values, weights = graph.input_of(operator), graph.input_of(operator, 1)
    channels, depth = weights.shape
    rows = []
    for real, bias in zip(real_multipliers(graph, operator, channels), biases_of(graph, operator, channels), strict=True):
        multiplier, shift = wide_multiplier(real)
        rows.append((bias, multiplier & 0xFFFF_FFFF, multiplier >> 32, shift))
    fields: Fields = (
        ("rows", str(values.elements // depth)),
        ("depth", str(depth)),
        ("channels", str(channels)),
        ("input_zero_point", str(quantization_of(values).zero_point)),
        ("output", output_field(graph, operator)),
        ("weights", "@weights"),
        ("scales", "@channels"),
    )
    tables = (Table("weights", "int8_t", data_of(weights).ravel()), Table("channels", "hilnas_wide_channel", np.array(rows, np.int64)))
    return Constants("hilnas_fully_connected", fields, tables)


def addition_multipliers(graph: Graph, operator: Operator) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Multiplier and shift of both operands to their common scale, twice the larger one with headroom, and from there to the output."""
    scales = [quantization_of(graph.input_of(operator, position)).scale for position in (0, 1)]
    common = 2.0 * max(scales)
    result = quantize_multiplier(common / (2.0**ADDITION_HEADROOM * quantization_of(graph.output_of(operator)).scale))
    return quantize_multiplier(scales[0] / common), quantize_multiplier(scales[1] / common), result


def _addition_is_bounded(graph: Graph, operator: Operator) -> bool:
    """Whether kernels/add_dsp.c is exact. The sum stays below 2^28."""
    if not adds_equal_shapes(graph, operator):
        return False
    first, second, result = addition_multipliers(graph, operator)
    return first[1] <= 0 and second[1] <= 0 and 1 <= -result[1] <= MAX_SHIFT


def _addition_constants(graph: Graph, operator: Operator) -> Constants:
    *operands, (multiplier, shift) = addition_multipliers(graph, operator)
    first, second = operand_fields(graph, operator, operands)
    fields: Fields = (
        ("elements", str(graph.output_of(operator).elements)),
        ("first", first),
        ("second", second),
        ("multiplier", str(multiplier)),
        ("shift", str(shift)),
        ("output", output_field(graph, operator)),
    )
    return Constants("hilnas_addition", fields)


def _pooling_kernel(graph: Graph, operator: Operator) -> Kernel:
    average = operator.op == "AVERAGE_POOL_2D"
    return Kernel(
        "hilnas_pool_average" if average else "hilnas_pool_maximum", "average_pool.c" if average else "maximum_pool.c", table_bytes=34
    )


def _pooling_constants(graph: Graph, operator: Operator) -> Constants:
    window = cast("Pooling", operator.attributes).window
    return Constants("hilnas_pooling", (("geometry", geometry_field(graph, operator, window)), ("output", output_field(graph, operator))))


def _averages_lanes(graph: Graph, operator: Operator) -> bool:
    """Whether kernels/average_pool_dsp.c is exact: four channels at a time, sums within int16."""
    window = cast("Pooling", operator.attributes).window
    return operator.op == "AVERAGE_POOL_2D" and graph.input_of(operator).shape[3] % 4 == 0 and prod(window) <= 255


def _reduction_kernel(_graph: Graph, operator: Operator) -> Kernel:
    function = {"MEAN": "hilnas_reduce_mean", "REDUCE_MAX": "hilnas_reduce_maximum", "REDUCE_MIN": "hilnas_reduce_minimum"}[operator.op]
    return Kernel(function, "reduce.c", table_bytes=68)


def _reduction_constants(graph: Graph, operator: Operator) -> Constants:
    image, output = graph.input_of(operator), graph.output_of(operator)
    axes = cast("Reduction", operator.attributes).axes
    strides = strides_of(image.shape)
    others = [axis for axis in range(len(strides)) if axis not in axes]
    kept = collapsed([image.shape[axis] for axis in others], [strides[axis] for axis in others])
    reduced = collapsed([image.shape[axis] for axis in axes], [strides[axis] for axis in axes])
    count = prod(image.shape[axis] for axis in axes)
    multiplier, shift = quantize_multiplier(quantization_of(image).scale / quantization_of(output).scale)
    # The division by the number of elements goes into the multiplier, cut off to an integer (QuantizedMeanOrSum).
    bits = max(min(count.bit_length() - 1, 32, 31 + shift), 0)
    fields: Fields = (
        ("kept", array_field(kept[0], 3, 1)),
        ("kept_strides", array_field(kept[1], 3, 0)),
        ("reduced", array_field(reduced[0], 3, 1)),
        ("reduced_strides", array_field(reduced[1], 3, 0)),
        ("bias", str(-count * quantization_of(image).zero_point)),
        ("multiplier", str((multiplier << bits) // count)),
        ("shift", str(shift - bits)),
        ("output", output_field(graph, operator)),
    )
    return Constants("hilnas_reduction", fields)


def _softmax_table(graph: Graph, operator: Operator) -> tuple[int, ...]:
    beta = operator.attributes.beta if isinstance(operator.attributes, Softmax) else 1.0
    return softmax_exponentials(quantization_of(graph.input_of(operator)).scale, beta)


def _softmax_kernel(graph: Graph, operator: Operator) -> Kernel:
    dtype = graph.output_of(operator).dtype
    return Kernel(f"hilnas_softmax_{dtype}", f"softmax_{dtype}.c", table_bytes=16 + 4 * len(_softmax_table(graph, operator)))


def _softmax_constants(graph: Graph, operator: Operator) -> Constants:
    fields = _softmax_fields(graph.input_of(operator), len(_softmax_table(graph, operator)))
    return Constants("hilnas_softmax", fields, (_softmax_exponentials(graph, operator),))


def _softmax_fields(values: Tensor, count: int) -> Fields:
    return (
        ("rows", str(prod(values.shape[:-1]))),
        ("classes", str(values.shape[-1])),
        ("exponential_count", str(count)),
        ("exponentials", "@exponentials"),
    )


def _softmax_exponentials(graph: Graph, operator: Operator) -> Table:
    return Table("exponentials", "int32_t", np.array(_softmax_table(graph, operator)))


def _log_softmax_kernel(graph: Graph, operator: Operator) -> Kernel:
    return Kernel("hilnas_log_softmax", "log_softmax.c", table_bytes=36 + 4 * len(_softmax_table(graph, operator)))


def _log_softmax_constants(graph: Graph, operator: Operator) -> Constants:
    values = graph.input_of(operator)
    multiplier, shift = softmax_multiplier(quantization_of(values).scale, 1.0)
    inverse, inverse_shift = quantize_multiplier(2.0 ** (31 - shift) / multiplier)
    softmax = _softmax_fields(values, len(_softmax_table(graph, operator)))
    fields: Fields = (
        *((f"softmax.{name}", text) for name, text in softmax),
        ("differences", str(softmax_differences(shift))),
        ("multiplier", str(multiplier)),
        ("shift", str(shift)),
        ("inverse_multiplier", str(inverse)),
        ("inverse_shift", str(inverse_shift)),
    )
    return Constants("hilnas_logarithmic_softmax", fields, (_softmax_exponentials(graph, operator),))


def _rescaling_kernel(graph: Graph, operator: Operator) -> Kernel:
    source, result = graph.input_of(operator).dtype, graph.output_of(operator).dtype
    return Kernel("hilnas_rescale_int8" if source == "int8" else f"hilnas_rescale_{source}_to_{result}", "rescale.c", table_bytes=20)


def _rescaling_constants(graph: Graph, operator: Operator) -> Constants:
    source, result = quantization_of(graph.input_of(operator)), quantization_of(graph.output_of(operator))
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
    weights = features.size_bytes + times.size_bytes
    biases = 4 * bias.elements if bias else 0
    state = graph.input_of(operator, 4).dtype
    return Kernel(f"hilnas_filter_svdf_{state}", "svdf.c", weights, biases, 52, defines=(f"HILNAS_STATE={state}",))


def _svdf_constants(graph: Graph, operator: Operator) -> Constants:
    values, features, times, state = (graph.input_of(operator, position) for position in (0, 1, 2, 4))
    bias = graph.argument(operator, 3)
    output = quantization_of(graph.output_of(operator))
    scales = [np.float32(quantization_of(tensor).scale) for tensor in (values, features, state, times)]
    # In single precision, as the reference computes them.
    first = quantize_multiplier(float(scales[0] * scales[1] / scales[2]))
    second = quantize_multiplier(float(scales[2] * scales[3] / np.float32(output.scale)))
    tables = [Table("features", "int8_t", data_of(features).ravel()), Table("times", f"{times.dtype}_t", data_of(times).ravel())]
    if bias is not None:
        tables.append(Table("bias", "int32_t", data_of(bias).ravel()))
    fields: Fields = (
        ("inputs", str(features.shape[1])),
        ("filters", str(features.shape[0])),
        ("rank", str(cast("Svdf", operator.attributes).rank)),
        ("steps", str(times.shape[1])),
        ("input_zero_point", str(quantization_of(values).zero_point)),
        ("state_zero_point", str(quantization_of(state).zero_point)),
        ("output_zero_point", str(output.zero_point)),
        ("feature_multiplier", str(first[0])),
        ("feature_shift", str(first[1])),
        ("multiplier", str(second[0])),
        ("shift", str(second[1])),
        ("features", "@features"),
        ("times", "@times"),
        ("bias", "@bias" if bias is not None else "0"),
    )
    return Constants("hilnas_svdf", fields, tuple(tables))


FULLY_CONNECTED = Lowering(_connected_kernel, _connected_constants)
ADD = Lowering(fixed_kernel("hilnas_add", "add.c", 44, RowWise(Order.PIXELS, "hilnas_add_rows")), _addition_constants, adds_equal_shapes)
ADD_DSP = Lowering(
    fixed_kernel("hilnas_add_dsp", "add_dsp.c", 44, RowWise(Order.PIXELS)),
    _addition_constants,
    _addition_is_bounded,
    kernel_set=KernelSet.DSP,
)
POOLING = Lowering(_pooling_kernel, _pooling_constants)
AVERAGE_POOLING_DSP = Lowering(
    fixed_kernel("hilnas_pool_average_dsp", "average_pool_dsp.c", 34), _pooling_constants, _averages_lanes, kernel_set=KernelSet.DSP
)
REDUCTION = Lowering(_reduction_kernel, _reduction_constants)
LOG_SOFTMAX = Lowering(_log_softmax_kernel, _log_softmax_constants)
SOFTMAX = Lowering(_softmax_kernel, _softmax_constants)
QUANTIZE = Lowering(_rescaling_kernel, _rescaling_constants)
SVDF = Lowering(_svdf_kernel, _svdf_constants)
