"""How operators on single elements are compiled: on two tensors, and as tables of all outputs."""

from __future__ import annotations

import numpy as np

from hilnas.firmware.activations import table_of
from hilnas.firmware.fixed_point import quantize_multiplier
from hilnas.firmware.graph import Graph, Operator
from hilnas.firmware.kernel import Constants, Kernel, Order, RowWise, Table
from hilnas.firmware.lower_operators import addition_multipliers
from hilnas.firmware.lowering import (
    Fields,
    Lowering,
    array_field,
    constant_operands,
    operand_bytes,
    operand_fields,
    operand_tables,
    output_field,
    quantization_of,
)
from hilnas.firmware.operator_checks import broadcast_axes

_FUNCTIONS = {
    "ADD": "hilnas_add_broadcast",
    "SUB": "hilnas_subtract",
    "MUL": "hilnas_multiply",
    "MAXIMUM": "hilnas_maximum",
    "MINIMUM": "hilnas_minimum",
}
_BYTES = 88


def _kernel(graph: Graph, operator: Operator) -> Kernel:
    constants = constant_operands(graph, operator)
    weights = operand_bytes(graph, operator, constants)
    return Kernel(_FUNCTIONS[operator.op], "elementwise.c", weights, table_bytes=_BYTES, constant_operands=constants)


def _multipliers(graph: Graph, operator: Operator) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Multiplier and shift of both operands, and of what comes out."""
    if operator.op in ("ADD", "SUB"):
        return addition_multipliers(graph, operator)
    if operator.op == "MUL":
        first, second, output = (
            np.float32(quantization_of(tensor).scale)
            for tensor in (graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator))
        )
        return (0, 0), (0, 0), quantize_multiplier(float(first * second / output))
    return (0, 0), (0, 0), (0, 0)


def _constants(graph: Graph, operator: Operator) -> Constants:
    *operands, (multiplier, shift) = _multipliers(graph, operator)
    first, second = operand_fields(graph, operator, operands)
    shapes = (graph.output_of(operator).shape, graph.input_of(operator).shape, graph.input_of(operator, 1).shape)
    sizes, first_strides, second_strides = broadcast_axes(*shapes)
    fields: Fields = (
        ("sizes", array_field(sizes, 4, 1)),
        ("first_strides", array_field(first_strides, 4, 0)),
        ("second_strides", array_field(second_strides, 4, 0)),
        ("first", first),
        ("second", second),
        ("multiplier", str(multiplier)),
        ("shift", str(shift)),
        ("output", output_field(graph, operator)),
    )
    return Constants("hilnas_elementwise", fields, operand_tables(graph, operator, constant_operands(graph, operator)))


def _lookup_kernel(_graph: Graph, _operator: Operator) -> Kernel:
    return Kernel("hilnas_look_up", "lookup.c", table_bytes=256 + 8, row_wise=RowWise(Order.PIXELS, "hilnas_look_up_rows"))


def _lookup_constants(graph: Graph, operator: Operator) -> Constants:
    fields: Fields = (("elements", str(graph.output_of(operator).elements)), ("outputs", "@outputs"))
    return Constants("hilnas_lookup", fields, (Table("outputs", "int8_t", table_of(graph, operator)),))


ELEMENTWISE = Lowering(_kernel, _constants)
LOOKUP = Lowering(_lookup_kernel, _lookup_constants)
