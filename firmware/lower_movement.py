"""How operators that only move elements are compiled: all by one kernel, as blocks of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import cast

import numpy as np

from hilnas.firmware.graph import ITEM_SIZES, Block, Graph, Movement, Operator, Pad, Permutation
from hilnas.firmware.kernel import Constants, Kernel, Table
from hilnas.firmware.lowering import Fields, Lowering, constant_operands, operand_bytes, operand_tables, quantization_of
from hilnas.firmware.movement import collapsed, padded, permuted

_AXES = 4
_BLOCK_BYTES = 4 * (4 + 3 * _AXES)


def _movement(graph: Graph, operator: Operator) -> Movement:
    image = graph.input_of(operator).shape
    if operator.op == "TRANSPOSE":
        return permuted(image, cast("Permutation", operator.attributes).axes)
    if operator.op == "PAD":
        return padded(image, cast("Pad", operator.attributes).before, graph.output_of(operator).shape)
    return cast("Movement", operator.attributes)


def _moved_inputs(movement: Movement) -> list[int]:
    """Positions of the inputs that elements come from, in the order in which the kernel gets them."""
    return sorted({block.source for block in movement.blocks})


def _rows(graph: Graph, operator: Operator) -> list[tuple[tuple[int, ...], ...]]:
    """The blocks as the kernel has them, a hilnas_block each: in bytes, over four axes."""
    movement = _movement(graph, operator)
    inputs = _moved_inputs(movement)
    item = ITEM_SIZES[graph.output_of(operator).dtype]
    return [
        ((inputs.index(block.source), block.target, source, target), sizes, source_strides, target_strides)
        for block in movement.blocks
        for source, target, sizes, source_strides, target_strides in _split(block, item)
    ]


_Piece = tuple[int, int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def _split(block: Block, item: int) -> Iterator[_Piece]:
    """A block in pieces of four axes at most."""
    sources = (*(stride * item for stride in block.source_strides), 1)
    targets = (*(stride * item for stride in block.target_strides), 1)
    sizes, sources, targets = collapsed((*block.sizes, item), sources, targets)
    outer = max(len(sizes) - _AXES, 0)
    fill = _AXES - len(sizes) + outer
    for index in product(*(range(size) for size in sizes[:outer])):
        yield (
            block.source_offset * item + sum(i * stride for i, stride in zip(index, sources, strict=False)),
            block.target_offset * item + sum(i * stride for i, stride in zip(index, targets, strict=False)),
            (1,) * fill + sizes[outer:],
            (0,) * fill + sources[outer:],
            (0,) * fill + targets[outer:],
        )


def _passed_constants(graph: Graph, operator: Operator) -> tuple[int, ...]:
    moved = _moved_inputs(_movement(graph, operator))
    return tuple(position for position in constant_operands(graph, operator) if position in moved)


def _kernel(graph: Graph, operator: Operator) -> Kernel:
    constants = _passed_constants(graph, operator)
    weights = operand_bytes(graph, operator, constants)
    tables = len(_rows(graph, operator)) * _BLOCK_BYTES + 16
    return Kernel("hilnas_move", "move.c", weights, table_bytes=tables, constant_operands=constants, takes_lists=True)


def _constants(graph: Graph, operator: Operator) -> Constants:
    rows, output = _rows(graph, operator), graph.output_of(operator)
    moved = sum(prod(row[1]) for row in rows)
    fields: Fields = (
        ("block_count", str(len(rows))),
        ("blocks", "@blocks"),
        ("filled_bytes", str(output.size_bytes if operator.op == "PAD" and moved < output.size_bytes else 0)),
        ("fill", str(quantization_of(output).zero_point if operator.op == "PAD" else 0)),
    )
    tables = operand_tables(graph, operator, _passed_constants(graph, operator))
    return Constants("hilnas_movement", fields, (*tables, Table("blocks", "hilnas_block", np.array(rows, np.int64))))


MOVEMENT = Lowering(_kernel, _constants)
