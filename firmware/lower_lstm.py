"""How UNIDIRECTIONAL_SEQUENCE_LSTM is compiled."""

from __future__ import annotations

from math import log2
from typing import cast

import numpy as np

from hilnas.firmware.fixed_point import quantize_multiplier
from hilnas.firmware.graph import Graph, Lstm, Operator, Tensor
from hilnas.firmware.kernel import Constants, Kernel, Table
from hilnas.firmware.lowering import Fields, Lowering, data_of, quantization_of
from hilnas.firmware.operator_checks import lstm_state

_GATES = ("input", "forget", "cell", "output")
_WEIGHTS, _RECURRENT, _BIASES = 1, 5, 12
"""Positions of the first gate's tensors among the inputs."""

_PARAMETER_BYTES = 4 * (3 + 4 * 8 + 5)


def _kernel(graph: Graph, operator: Operator) -> Kernel:
    weights = sum(graph.input_of(operator, position).size_bytes for position in range(_WEIGHTS, _WEIGHTS + 8))
    cells = lstm_state(graph, operator)[1].elements
    return Kernel("hilnas_run_lstm", "lstm.c", weights, 4 * 2 * 4 * cells, _PARAMETER_BYTES)


def _scale(tensor: Tensor) -> np.float32:
    return np.float32(quantization_of(tensor).scale)


def _multiplier(source: Tensor, weights: Tensor) -> tuple[int, int]:
    """To Q3.12. In single precision, as the reference computes it."""
    return quantize_multiplier(float(_scale(weights) * _scale(source) / np.float32(2.0**-12)))


def _gate(graph: Graph, operator: Operator, index: int) -> tuple[str, tuple[Table, ...]]:
    """A hilnas_gate, and its tables."""
    name = _GATES[index]
    values, hidden = graph.input_of(operator), lstm_state(graph, operator)[0]
    weights, recurrent, bias = (graph.input_of(operator, first + index) for first in (_WEIGHTS, _RECURRENT, _BIASES))
    folded = [
        -quantization_of(source).zero_point * data_of(matrix).astype(np.int64).sum(axis=1)
        for source, matrix in ((values, weights), (hidden, recurrent))
    ]
    tables = (
        Table(f"{name}_weights", "int8_t", data_of(weights).ravel()),
        Table(f"{name}_hidden", "int8_t", data_of(recurrent).ravel()),
        Table(f"{name}_bias", "int32_t", data_of(bias).ravel() + folded[0]),
        Table(f"{name}_hidden_bias", "int32_t", folded[1]),
    )
    numbers = (*_multiplier(values, weights), *_multiplier(hidden, recurrent))
    return "{" + ", ".join((*(f"@{table.name}" for table in tables), *map(str, numbers))) + "}", tables


def _constants(graph: Graph, operator: Operator) -> Constants:
    values, cells = graph.input_of(operator), lstm_state(graph, operator)[1]
    attributes = cast("Lstm", operator.attributes)
    gates = [_gate(graph, operator, index) for index in range(len(_GATES))]
    integer_bits = 15 + int(log2(quantization_of(cells).scale))
    multiplier, shift = quantize_multiplier(float(np.float32(2.0**-15 / float(np.float32(attributes.hidden_scale)) * 2.0**-15)))
    limit = int(min(np.float32(attributes.cell_clip) / _scale(cells), np.float32(32767))) or 32768
    fields: Fields = (
        ("steps", str(values.elements // values.shape[-1])),
        ("inputs", str(values.shape[-1])),
        ("cells", str(cells.elements)),
        ("gates", "{" + ", ".join(text for text, _ in gates) + "}"),
        ("cell_integer_bits", str(integer_bits)),
        ("cell_limit", str(limit)),
        ("multiplier", str(multiplier)),
        ("shift", str(shift)),
        ("output_zero_point", str(attributes.hidden_zero_point)),
    )
    return Constants("hilnas_lstm", fields, tuple(table for _, tables in gates for table in tables))


LSTM = Lowering(_kernel, _constants)
