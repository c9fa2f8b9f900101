"""How ADD is compiled to the routine in assembly, where one plane covers all pairs of operands."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hilnas.firmware.assembly.add import AddFours, Plane, fit_plane
from hilnas.firmware.assembly.requantise import scaled
from hilnas.firmware.fixed_point import activation_range, quantize_multiplier
from hilnas.firmware.graph import Activation, Graph, Operator, Quantization
from hilnas.firmware.kernel import Constants, Kernel, Order, RowWise
from hilnas.firmware.lowering import KernelSet, Lowering, adds_equal_shapes, quantization_of

_ROWS = RowWise(Order.PIXELS, "hilnas_add_fitted_rows", call_instructions=60)
_HEADROOM = 20
"""Bits that both operands gain before they are brought to a common scale."""


@lru_cache(maxsize=256)
def _plane(first: tuple[float, int], second: tuple[float, int], output: tuple[float, int], activation: Activation) -> Plane | None:
    """The plane for operands and output of some (scale, zero point)."""
    common = 2.0 * max(first[0], second[0])
    values = np.arange(-128, 128, dtype=np.int64)

    def operand(scale: float, zero_point: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        multiplier, shift = quantize_multiplier(scale / common)
        return scaled((values - zero_point) << _HEADROOM, multiplier, -shift)

    sums = operand(*first)[:, None] + operand(*second)
    multiplier, shift = quantize_multiplier(common / (2.0**_HEADROOM * output[0]))
    low, high = activation_range(activation, Quantization((output[0],), (output[1],)))
    outputs = np.clip(scaled(sums, multiplier, -shift) + output[1], low, high)
    return fit_plane(outputs, first[0] / output[0], second[0] / output[0])


def _fitted(graph: Graph, operator: Operator) -> Plane | None:
    tensors = (graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator))
    first, second, output = ((quantization.scale, quantization.zero_point) for quantization in map(quantization_of, tensors))
    return _plane(first, second, output, getattr(operator.attributes, "activation", "NONE"))


def _suits(graph: Graph, operator: Operator) -> bool:
    return adds_equal_shapes(graph, operator) and _fitted(graph, operator) is not None


def _kernel(_graph: Graph, _operator: Operator) -> Kernel:
    return Kernel("hilnas_add_fitted", "add_fitted.c", table_bytes=16, routines=(AddFours(),), row_wise=_ROWS)


def _constants(graph: Graph, operator: Operator) -> Constants:
    plane = _fitted(graph, operator)
    assert plane is not None
    elements = graph.output_of(operator).elements
    return Constants("hilnas_fitted_addition", (("elements", str(elements)), ("a", str(plane.a)), ("b", str(plane.b)), ("c", str(plane.c))))


ADD = Lowering(_kernel, _constants, _suits, kernel_set=KernelSet.ASSEMBLY)
