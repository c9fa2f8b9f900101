"""How operators are compiled that make images of another size: TRANSPOSE_CONV, RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR."""

from __future__ import annotations

from math import floor
from typing import cast

import numpy as np

from hilnas.firmware.graph import Graph, Operator, Resize
from hilnas.firmware.kernel import Constants, Kernel, Table
from hilnas.firmware.lower_convolution import PARAMETER_BYTES, portable_constants
from hilnas.firmware.lowering import CHANNEL_BYTES, Fields, Lowering


def _transposed_kernel(graph: Graph, operator: Operator) -> Kernel:
    weights = graph.input_of(operator, 1)
    channels = weights.shape[0] * CHANNEL_BYTES
    return Kernel("hilnas_convolve_transposed", "transposed_convolution.c", weights.elements, channels, PARAMETER_BYTES)


def nearest(place: int, inputs: int, outputs: int, resize: Resize) -> int:
    """Which row an output row is a copy of. In single precision, as the reference computes it (GetNearestNeighbor)."""
    aligned = resize.align_corners and outputs > 1
    scale = np.float32(inputs - 1) / np.float32(outputs - 1) if aligned else np.float32(inputs) / np.float32(outputs)
    exact = (np.float32(place) + np.float32(0.5 if resize.half_pixel_centers else 0.0)) * scale
    return max(min(floor(float(exact) + 0.5) if resize.align_corners else floor(exact), inputs - 1), 0)


def neighbours(place: int, inputs: int, outputs: int, resize: Resize) -> tuple[int, int, int]:
    """The two rows that an output row lies between, and how far from the first to the second in 1/1024 (ResizeBilinearInteger)."""
    scale = (1024 * inputs + outputs // 2) // outputs
    if resize.align_corners and outputs > 1:
        scale = (1024 * (inputs - 1) + (outputs - 1) // 2) // (outputs - 1)
    exact = place * scale + (scale // 2 - 512 if resize.half_pixel_centers else 0)
    lower = max(_towards_zero(exact, 1024), 0)
    upper = min(_towards_zero(exact + 1023, 1024), inputs - 1)
    return min(lower, inputs - 1), upper, exact - 1024 * lower


def _towards_zero(value: int, divisor: int) -> int:
    return value // divisor if value >= 0 else -(-value // divisor)


def _bilinear(operator: Operator) -> bool:
    return operator.op == "RESIZE_BILINEAR"


def _resize_kernel(graph: Graph, operator: Operator) -> Kernel:
    output = graph.output_of(operator).shape
    name = "bilinear" if _bilinear(operator) else "nearest"
    return Kernel(f"hilnas_resize_{name}", f"resize_{name}.c", table_bytes=24 + (6 if _bilinear(operator) else 2) * (output[1] + output[2]))


def _resize_constants(graph: Graph, operator: Operator) -> Constants:
    image, output = graph.input_of(operator).shape, graph.output_of(operator).shape
    resize = cast("Resize", operator.attributes)
    places = neighbours if _bilinear(operator) else nearest
    tables = [
        Table(
            name,
            "hilnas_neighbours" if _bilinear(operator) else "int16_t",
            np.array([places(i, size, count, resize) for i in range(count)]),
        )
        for name, size, count in (("rows", image[1], output[1]), ("columns", image[2], output[2]))
    ]
    fields: Fields = (
        ("input_width", str(image[2])),
        ("channels", str(image[3])),
        ("output_height", str(output[1])),
        ("output_width", str(output[2])),
        ("rows", "@rows"),
        ("columns", "@columns"),
    )
    return Constants("hilnas_bilinear_resize" if _bilinear(operator) else "hilnas_nearest_resize", fields, tuple(tables))


TRANSPOSED = Lowering(_transposed_kernel, portable_constants)
RESIZE = Lowering(_resize_kernel, _resize_constants)
