"""How CONV_2D and DEPTHWISE_CONV_2D are compiled: in portable C, or for the DSP extension where their numbers allow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hilnas.firmware.alignment import round_up
from hilnas.firmware.fixed_point import activation_range, scale_accumulator
from hilnas.firmware.graph import Convolution, Graph, Operator, Tensor
from hilnas.firmware.kernel import Constants, Kernel, Order, RowWise, Table
from hilnas.firmware.lowering import (
    CHANNEL_BYTES,
    MAX_SHIFT,
    Fields,
    KernelSet,
    Lowering,
    biases_of,
    channel_multipliers,
    data_of,
    geometry_field,
    output_field,
    quantization_of,
)

PARAMETER_BYTES = 48
"""Size of hilnas_convolution."""

GROUP = 4
"""Channels that the DSP kernels compute at a time."""

ACCUMULATOR_LIMIT = 2**30
PACKED_LIMIT = 2**16
"""Bounds within which the DSP kernels are exact; see kernels/dsp.h and kernels/convolution_dsp.c."""

DEPTHWISE_TAPS = (3, 5, 7, 9, 11, 13, 15)


def _depthwise(operator: Operator) -> bool:
    return operator.op == "DEPTHWISE_CONV_2D"


def _portable_kernel(graph: Graph, operator: Operator) -> Kernel:
    weights, channels = graph.input_of(operator, 1), graph.output_of(operator).shape[3]
    function, source = (
        ("hilnas_convolve_depthwise", "depthwise_convolution.c") if _depthwise(operator) else ("hilnas_convolve", "convolution.c")
    )
    rows = RowWise(Order.LATE, f"{function}_rows")
    return Kernel(function, source, weights.elements, channels * CHANNEL_BYTES, PARAMETER_BYTES, row_wise=rows)


def portable_constants(graph: Graph, operator: Operator) -> Constants:
    """Of the portable kernels: weights as they are in the file."""
    weights, channels = graph.input_of(operator, 1), graph.output_of(operator).shape[3]
    multipliers = channel_multipliers(graph, operator, channels)
    rows = [(bias, *multiplier) for bias, multiplier in zip(biases_of(graph, operator, channels), multipliers, strict=True)]
    return _constants(graph, operator, Table("weights", "int8_t", data_of(weights).ravel()), rows)


def _constants(graph: Graph, operator: Operator, weights: Table, channels: Sequence[tuple[int, ...]]) -> Constants:
    window = graph.input_of(operator, 1).shape[1:3]
    dilations = cast("Convolution", operator.attributes).dilations
    fields: Fields = (
        ("geometry", geometry_field(graph, operator, (window[0], window[1]), dilations)),
        ("groups", "1" if _depthwise(operator) else str(_groups(graph, operator))),
        ("input_zero_point", str(quantization_of(graph.input_of(operator)).zero_point)),
        ("output", output_field(graph, operator)),
        ("weights", "@weights"),
        ("channels", "@channels"),
    )
    return Constants("hilnas_convolution", fields, (weights, Table("channels", "hilnas_channel", np.array(channels, np.int64))))


def _groups(graph: Graph, operator: Operator) -> int:
    """Into how many groups a CONV_2D divides its channels."""
    return graph.input_of(operator).shape[3] // graph.input_of(operator, 1).shape[3]


def _is_placeholder(tensor: Tensor) -> bool:
    return not any(data_of(tensor).strides)


def _filters(graph: Graph, operator: Operator) -> NDArray[np.int64]:
    """The weights as one row an output channel."""
    weights = data_of(graph.input_of(operator, 1)).astype(np.int64)
    channels = graph.output_of(operator).shape[3]
    return weights.reshape(-1, channels).T if _depthwise(operator) else weights.reshape(channels, -1)


@dataclass(frozen=True, eq=False)
class _BoundedFilters:
    """What the DSP kernels need of a convolution: filters as one row a channel, and its channels' (bias, multiplier, shift).

    The zero point is folded into the bias, the shift is to the right. A channel whose output is the same for every input has no
    weights, and a bias that gives that output.
    """

    filters: NDArray[np.int64]
    channels: list[tuple[int, int, int]]


def _bounded_filters(graph: Graph, operator: Operator) -> _BoundedFilters | None:
    """None where an accumulator or a multiplier leaves the bounds within which the DSP kernels are exact."""
    filters = _filters(graph, operator).copy()
    count = len(filters)
    biases = np.array(biases_of(graph, operator, count), np.int64)
    zero_point = quantization_of(graph.input_of(operator)).zero_point
    output_point = quantization_of(graph.output_of(operator)).zero_point
    positive, negative = np.maximum(filters, 0).sum(axis=1), np.minimum(filters, 0).sum(axis=1)
    # Inputs less their zero point; a padded place counts as 0, which lies between.
    low, high = -128 - zero_point, 127 - zero_point
    lowest = biases + positive * low + negative * high
    highest = biases + positive * high + negative * low
    folded = biases - zero_point * filters.sum(axis=1)
    extents = np.abs(folded) + 128 * (positive - negative)
    channels = []
    for index, (multiplier, shift) in enumerate(channel_multipliers(graph, operator, count)):
        outputs = [_output_of(graph, operator, int(value), multiplier, shift) for value in (lowest[index], highest[index])]
        if outputs[0] == outputs[1]:
            filters[index] = 0
            # Scaled by 1/4 without rounding.
            channels.append((4 * (outputs[0] - output_point), 2**30, 1))
        elif 1 <= -shift <= MAX_SHIFT and extents[index] < ACCUMULATOR_LIMIT:
            channels.append((int(folded[index]), multiplier, -shift))
        else:
            return None
    return _BoundedFilters(filters, channels)


def _output_of(graph: Graph, operator: Operator, accumulator: int, multiplier: int, shift: int) -> int:
    """The int8 output of an accumulator within 32 bits; outside, none is right."""
    if not -(2**31) <= accumulator << max(shift, 0) < 2**31:
        return accumulator
    output = quantization_of(graph.output_of(operator))
    low, high = activation_range(cast("Convolution", operator.attributes).activation, output)
    return max(low, min(high, scale_accumulator(accumulator, multiplier, shift) + output.zero_point))


def _packed_shape(graph: Graph, operator: Operator) -> tuple[int, int, int]:
    """Output channels, window rows, and bytes of a run of inputs, as the packed weights hold them."""
    filters, rows, columns, inputs = graph.input_of(operator, 1).shape
    return round_up(filters, GROUP), rows, round_up(columns * inputs, 4)


def _packed_kernel(graph: Graph, operator: Operator) -> Kernel:
    filters, rows, run = _packed_shape(graph, operator)
    size = filters * rows * run
    return Kernel(
        "hilnas_convolve_dsp",
        "convolution_dsp.c",
        weight_bytes=size,
        channel_bytes=filters * CHANNEL_BYTES,
        table_bytes=PARAMETER_BYTES,
        scratch_bytes=4 * rows * run + run,
    )


def _packed_suits(graph: Graph, operator: Operator) -> bool:
    if _groups(graph, operator) != 1:
        return False
    if _is_placeholder(graph.input_of(operator, 1)):
        return True
    bounded = _bounded_filters(graph, operator)
    if bounded is None:
        return False
    doubles, singles = bounded.filters[0::2], bounded.filters[1::2]
    if (np.abs(doubles).sum(axis=1) >= PACKED_LIMIT).any():
        return False
    return not ((doubles[: len(singles)] == -128) & (singles < 0)).any()


def _packed_constants(graph: Graph, operator: Operator) -> Constants:
    """Weights by group of four channels, then by pair of inputs (0 2, 1 3 of each four): two halfwords for channels 0 and 1, two for
    channels 2 and 3."""
    channels, height, run = _packed_shape(graph, operator)
    bounded = _bounded_filters(graph, operator)
    assert bounded is not None
    filters = bounded.filters.reshape(len(bounded.filters), height, -1)
    padded = np.zeros((channels, height, run), np.int64)
    padded[: len(filters), :, : filters.shape[2]] = filters
    # Axes: group, half of the group, channel of the half, four inputs, odd or even, pair member.
    lanes = padded.reshape(channels // GROUP, 2, 2, -1, 2, 2)
    halfwords = 256 * lanes[:, :, 0] + lanes[:, :, 1]
    # Now: group, half, four inputs, pair member, odd or even. To: group, four inputs, odd or even, half, pair member.
    packed = halfwords.transpose(0, 2, 4, 1, 3).ravel()
    padding = [(0, 0, 1)] * (channels - len(filters))
    return _constants(graph, operator, Table("weights", "int16_t", packed), [*bounded.channels, *padding])


def _lane_taps(graph: Graph, operator: Operator) -> int:
    return max(graph.input_of(operator, 1).shape[2] | 1, DEPTHWISE_TAPS[0])


def _lane_kernel(graph: Graph, operator: Operator) -> Kernel:
    weights, output = graph.input_of(operator, 1), graph.output_of(operator)
    taps, stride = _lane_taps(graph, operator), cast("Convolution", operator.attributes).strides[1]
    rows = weights.shape[1]
    lanes = (round_up(output.shape[2], 4) * stride + taps + 1) & ~1
    return Kernel(
        f"hilnas_convolve_depthwise_{taps}_{stride}",
        "depthwise_convolution_dsp.c",
        weight_bytes=weights.elements,
        channel_bytes=output.shape[3] * CHANNEL_BYTES,
        table_bytes=PARAMETER_BYTES,
        scratch_bytes=GROUP * rows * (taps - 1) * 4 + GROUP * rows * lanes * 2,
        defines=(f"HILNAS_TAPS={taps}", f"HILNAS_STRIDE={stride}"),
    )


def _lane_suits(graph: Graph, operator: Operator) -> bool:
    attributes = cast("Convolution", operator.attributes)
    channels = graph.output_of(operator).shape[3]
    return (
        attributes.strides[1] in (1, 2)
        and attributes.dilations == (1, 1)
        and channels == graph.input_of(operator).shape[3] >= GROUP
        and _lane_taps(graph, operator) in DEPTHWISE_TAPS
        and (_is_placeholder(graph.input_of(operator, 1)) or _bounded_filters(graph, operator) is not None)
    )


def _lane_constants(graph: Graph, operator: Operator) -> Constants:
    bounded = _bounded_filters(graph, operator)
    assert bounded is not None
    return _constants(graph, operator, Table("weights", "int8_t", bounded.filters.T.ravel()), bounded.channels)


PORTABLE = Lowering(_portable_kernel, portable_constants)
PACKED = Lowering(_packed_kernel, _packed_constants, _packed_suits, kernel_set=KernelSet.DSP)
LANES = Lowering(_lane_kernel, _lane_constants, _lane_suits, kernel_set=KernelSet.DSP)
