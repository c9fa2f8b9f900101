"""How convolutions are compiled to the routines in assembly, where their shapes and numbers allow it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hilnas.firmware.assembly.convolve import LONGEST_ROUND, Dot
from hilnas.firmware.assembly.depthwise import Depthwise
from hilnas.firmware.assembly.depthwise_layout import HEADER_BYTES, WORD_STEP, Extent
from hilnas.firmware.assembly.pack import (
    Filters,
    column_order,
    interleaved_order,
    pack_depthwise,
    pack_pairs,
    pairable,
    requantisable,
    simplified,
)
from hilnas.firmware.assembly.spread import Spread
from hilnas.firmware.assembly.widen import MOST_CHANNELS, Widen
from hilnas.firmware.fixed_point import activation_range
from hilnas.firmware.graph import Convolution, Graph, Operator
from hilnas.firmware.kernel import AssemblyRoutine, Constants, Kernel, Order, RowWise, Table
from hilnas.firmware.lowering import (
    Fields,
    KernelSet,
    Lowering,
    biases_of,
    channel_multipliers,
    data_of,
    geometry_field,
    in_sizes,
    quantization_of,
)

PACKED_PARAMETERS = 52
PLANAR_PARAMETERS = 60
"""Sizes of hilnas_packed_convolution and hilnas_planar_convolution."""

CHUNK_BYTES = 4608
"""Of planes that a depthwise convolution may take; it goes over the image in pieces where all of it would take more."""

MOST_CHUNK_ROWS = 16
LARGEST_OFFSET = 4095
"""Of a load."""

MOST_STEPS_IN_A_ROW = 16
"""Of a dot product without a loop."""

LARGEST_PITCH = 1020
"""Bytes between pixels: four of them must fit an immediate."""


@lru_cache(maxsize=4)
def _filters(graph: Graph, operator: Operator) -> Filters:
    weights = data_of(graph.input_of(operator, 1))
    channels = graph.output_of(operator).shape[3]
    rows = weights.reshape(-1, channels).T if operator.op == "DEPTHWISE_CONV_2D" else weights.reshape(channels, -1)
    multipliers = channel_multipliers(graph, operator, channels)
    output = quantization_of(graph.output_of(operator))
    low, high = activation_range(cast("Convolution", operator.attributes).activation, output)
    return simplified(
        Filters(
            weights=rows.astype(np.int8),
            bias=np.array(biases_of(graph, operator, channels), np.int64),
            multipliers=np.array([multiplier for multiplier, _ in multipliers], np.int64),
            shifts=np.array([shift for _, shift in multipliers], np.int64),
            input_zero_point=quantization_of(graph.input_of(operator)).zero_point,
            zero_points=np.full(channels, output.zero_point, np.int64),
            low=low,
            high=high,
        )
    )


def _known(graph: Graph, operator: Operator) -> bool:
    return any(data_of(graph.input_of(operator, 1)).strides)


# CONV_2D


@dataclass(frozen=True)
class _Packed:
    """The routines of a convolution and how its inputs lie: bytes of a column (0 under a filter of one place), order of the places."""

    column_bytes: int
    order: NDArray[np.int64]
    four: Dot
    rest: Dot
    widen: Widen | None
    scratch_bytes: int

    @property
    def routines(self) -> tuple[AssemblyRoutine, ...]:
        widen = () if self.widen is None else (self.widen,)
        return (*dict.fromkeys((self.four, self.rest)), *widen)


def _packed(most_steps: int, graph: Graph, operator: Operator) -> _Packed:
    """The code has at most so many steps of a dot product, be they all or a round of a loop."""
    _, height, width, channels = graph.input_of(operator, 1).shape
    attributes = cast("Convolution", operator.attributes)
    output = graph.output_of(operator).shape
    if height == width == 1:
        order = interleaved_order(channels)
        in_one_row = attributes.strides == (1, 1)
        pixels = output[1] * output[2] if in_one_row else output[2]
        four, rest = (Dot(pixels, None, longest_round=most_steps) for pixels in (4, pixels % 4 or 4))
        return _Packed(0, order, four, rest, None, 8 * len(order) + 16)
    # Pixels' words must lie at multiples of four bytes.
    values = height * channels + (height * channels * attributes.strides[1]) % 2
    order, column = column_order(height, width, channels, values), 2 * values
    pitch = column * attributes.strides[1]
    columns = max((output[2] - 1) * attributes.strides[1], graph.input_of(operator).shape[2]) + width
    steps = len(order) // 2 if len(order) // 2 <= min(most_steps, MOST_STEPS_IN_A_ROW) else None
    four, rest = (Dot(pixels, pitch, steps, most_steps) for pixels in (4, output[2] % 4 or 4))
    return _Packed(column, order, four, rest, Widen(channels, column), column * columns)


def _packed_kernel(most_steps: int, graph: Graph, operator: Operator) -> Kernel:
    packed = _packed(most_steps, graph, operator)
    channels = graph.output_of(operator).shape[3]
    return Kernel(
        "hilnas_convolve_packed",
        "packed_convolution.c",
        weight_bytes=channels * len(packed.order),
        channel_bytes=channels // 2 * 28,
        table_bytes=PACKED_PARAMETERS,
        scratch_bytes=packed.scratch_bytes,
        routines=packed.routines,
        row_wise=_packed_rows(graph, operator, packed),
        loop_bytes=packed.four.loop_bytes,
    )


def _packed_rows(graph: Graph, operator: Operator, packed: _Packed) -> RowWise:
    """Where the image is one long row to the kernel, what is left behind its tiles of four pixels must be left of a row, too. Each row then
    takes a tile more, which costs nearly as much as a whole one."""
    _, rows, width, channels = graph.output_of(operator).shape
    if packed.widen is not None:
        return RowWise(Order.ROWS, "hilnas_convolve_packed_rows", fixed_scratch_bytes=packed.scratch_bytes, call_instructions=40)
    in_one_row = cast("Convolution", operator.attributes).strides == (1, 1)
    tile = graph.input_of(operator).shape[3] * channels * 2 if in_one_row and width % 4 else 0
    return RowWise(
        Order.PIXELS,
        "hilnas_convolve_packed_rows" if not in_one_row or width % 4 == rows * width % 4 else None,
        fixed_scratch_bytes=packed.scratch_bytes,
        call_instructions=40,
        row_instructions=80 + tile if in_one_row else 0,
        whole_rows=in_one_row,
    )


def _packed_suits(graph: Graph, operator: Operator) -> bool:
    _, height, width, channels = graph.input_of(operator, 1).shape
    attributes = cast("Convolution", operator.attributes)
    if attributes.dilations != (1, 1) or graph.output_of(operator).shape[3] % 2 or channels != graph.input_of(operator).shape[3]:
        return False
    padding = attributes.padding
    if height == width == 1:
        if padding.top or padding.bottom or padding.left or padding.right:
            return False
    elif channels > MOST_CHANNELS or (_packed(LONGEST_ROUND, graph, operator).four.pitch or 0) > LARGEST_PITCH:
        return False
    if not _known(graph, operator):
        return True
    filters = _filters(graph, operator)
    return requantisable(filters) and pairable(filters)


def _packed_constants(most_steps: int, graph: Graph, operator: Operator) -> Constants:
    packed = _packed(most_steps, graph, operator)
    filters = _filters(graph, operator)
    stream = np.frombuffer(pack_pairs(filters, packed.order), np.uint32)
    window = graph.input_of(operator, 1).shape[1:3]
    widen = packed.widen.symbol if packed.widen is not None else "0"
    fields: Fields = (
        ("geometry", geometry_field(graph, operator, (window[0], window[1]))),
        ("input_zero_point", str(filters.input_zero_point)),
        ("column_bytes", str(packed.column_bytes)),
        ("widen", widen),
        ("four", packed.four.symbol),
        ("rest", packed.rest.symbol),
        ("stream", "@stream"),
        ("steps", str(len(packed.order) // 2)),
    )
    prototypes = [f"void {dot.symbol}(const hilnas_dot *arguments);" for dot in dict.fromkeys((packed.four, packed.rest))]
    if packed.widen is not None:
        prototypes.append(f"void {widen}(const int8_t *source, int8_t *target, uint32_t pixels);")
    return Constants("hilnas_packed_convolution", fields, (Table("stream", "uint32_t", stream.astype(np.int64)),), tuple(prototypes))


# DEPTHWISE_CONV_2D


@dataclass(frozen=True)
class _Planar:
    """The routine of a depthwise convolution, its geometry as the kernel sees it, and how many rows it does at a time."""

    kernel: Depthwise
    geometry: tuple[int, ...]
    chunk: int

    @property
    def plane_bytes(self) -> int:
        kernel = self.kernel
        if kernel.whole:
            return kernel.input[0] * kernel.pitch
        rows = (self.chunk - 1) * kernel.stride + kernel.filter[0]
        return (rows if kernel.unrolled else min(rows, kernel.input[0])) * kernel.pitch


def _planar(extent: Extent, graph: Graph, operator: Operator) -> _Planar:
    attributes = cast("Convolution", operator.attributes)
    _, height, width, channels = graph.input_of(operator).shape
    _, output_height, output_width, _ = graph.output_of(operator).shape
    window = graph.input_of(operator, 1).shape[1:3]
    stride, padding = attributes.strides[1], (attributes.padding.top, attributes.padding.left)
    if width == output_width == window[1] == 1:
        # One column of pixels lies like one row.
        height, width, output_height, output_width = width, height, output_width, output_height
        window, padding, stride = (window[1], window[0]), (padding[1], padding[0]), attributes.strides[0]
    kernel = Depthwise((window[0], window[1]), stride, padding, (height, width), (output_height, output_width), extent)
    geometry = (height, width, channels, output_height, output_width, channels, *window, stride, stride, 1, 1, *padding)
    chunk = output_height
    if not kernel.whole:
        chunk = max(1, min(chunk, (CHUNK_BYTES // kernel.pitch - window[0]) // stride + 1))
        chunk = chunk if kernel.unrolled else min(chunk, MOST_CHUNK_ROWS)
    return _Planar(kernel, geometry, chunk)


def _planar_kernel(extent: Extent, graph: Graph, operator: Operator) -> Kernel:
    planar = _planar(extent, graph, operator)
    kernel, channels = planar.kernel, graph.output_of(operator).shape[3]
    return Kernel(
        "hilnas_convolve_planar",
        "planar_convolution.c",
        weight_bytes=channels * (kernel.channel_bytes - HEADER_BYTES),
        channel_bytes=channels * HEADER_BYTES,
        table_bytes=PLANAR_PARAMETERS,
        scratch_bytes=planar.plane_bytes,
        routines=(kernel, *kernel.finishes, Spread()),
        row_wise=_planar_rows(graph, operator, planar),
        loop_bytes=kernel.loop_bytes,
    )


def _planar_rows(graph: Graph, operator: Operator, planar: _Planar) -> RowWise:
    """An image that the code covers, or that has one column, is done in a piece."""
    kernel = planar.kernel
    _, height, width, channels = graph.input_of(operator).shape
    rows = graph.output_of(operator).shape[1]
    if kernel.whole or kernel.input != (height, width):
        return RowWise(Order.CHANNELS, chunk=rows)
    overlapping = (kernel.filter[0] - kernel.stride) * kernel.pitch
    return RowWise(
        Order.CHANNELS,
        "hilnas_convolve_planar_rows",
        planar.chunk,
        max(0, overlapping),
        kernel.stride * kernel.pitch,
        call_instructions=70 * channels,
        row_instructions=2 * width * channels,
    )


def _planar_suits(extent: Extent, graph: Graph, operator: Operator) -> bool:
    attributes = cast("Convolution", operator.attributes)
    if attributes.dilations != (1, 1) or graph.output_of(operator).shape[3] != graph.input_of(operator).shape[3]:
        return False
    kernel = _planar(extent, graph, operator).kernel
    if attributes.strides[0] != attributes.strides[1] and kernel.input[0] != 1:
        return False
    rows = kernel.plane_rows if kernel.whole else kernel.filter[0] if kernel.unrolled else 1
    if rows * kernel.pitch > LARGEST_OFFSET or kernel.pitch * kernel.stride > LARGEST_OFFSET:
        return False
    if not _known(graph, operator):
        return True
    return requantisable(_filters(graph, operator))


def _planar_constants(extent: Extent, graph: Graph, operator: Operator) -> Constants:
    planar = _planar(extent, graph, operator)
    kernel = planar.kernel
    filters = _filters(graph, operator)
    stream = np.frombuffer(pack_depthwise(filters, kernel), np.uint32)
    fields: Fields = (
        ("geometry", "{" + ", ".join(map(str, planar.geometry)) + "}"),
        ("input_zero_point", str(filters.input_zero_point)),
        ("chunk", str(planar.chunk)),
        ("first_outputs", str(kernel.segments[0].outputs)),
        ("zeros_above", str(int(kernel.unrolled))),
        ("zeros_beside", str(int(kernel.padded))),
        ("pitch", str(kernel.pitch)),
        ("left_bytes", str(WORD_STEP * kernel.words_before)),
        ("filter_row_bytes", str(kernel.row_bytes)),
        ("channel_bytes", str(kernel.channel_bytes)),
        ("plane_bytes", str(planar.plane_bytes)),
        ("routine", kernel.symbol),
        ("stream", "(const uint8_t *)@stream"),
    )
    prototypes = (f"void {kernel.symbol}(const hilnas_depthwise_group *arguments);",)
    return Constants("hilnas_planar_convolution", fields, (Table("stream", "uint32_t", stream.astype(np.int64)),), prototypes)


def _packed_lowering(most_steps: int) -> Lowering:
    return Lowering(partial(_packed_kernel, most_steps), partial(_packed_constants, most_steps), _packed_suits, KernelSet.ASSEMBLY)


def _planar_lowering(extent: Extent) -> Lowering:
    kernel, constants, suits = partial(_planar_kernel, extent), partial(_planar_constants, extent), partial(_planar_suits, extent)
    return Lowering(kernel, constants, suits, KernelSet.ASSEMBLY)


CONVOLUTION = in_sizes(*map(_packed_lowering, (LONGEST_ROUND, 16, 8, 4)))
DEPTHWISE = in_sizes(*map(_planar_lowering, (Extent.IMAGE, Extent.ROW, Extent.SEGMENT)))
