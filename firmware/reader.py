"""Reads an int8 .tflite file into a `Graph`. Files come from anywhere: whatever is wrong with one is said, and nothing worse happens."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from math import isfinite, prod
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from hilnas.errors import ModelError
from hilnas.firmware.folding import folded
from hilnas.firmware.graph import ITEM_SIZES, Graph, Operator, Quantization, Tensor
from hilnas.firmware.operator_attributes import Unsupported
from hilnas.firmware.operators import TABLE, argument_problems
from hilnas.tflite.exits import Exits, read_exits

IDENTIFIER = b"TFL3"
MAX_TENSORS = 20_000
MAX_OPERATORS = 10_000
MAX_OPERANDS = 256
MAX_TENSOR_BYTES = 2**28
MAX_RANK = 6
MAX_PROBLEMS = 40

_OPERATOR_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_DTYPES = {
    schema.TensorType.FLOAT32: "float32",
    schema.TensorType.FLOAT16: "float16",
    schema.TensorType.FLOAT64: "float64",
    schema.TensorType.INT8: "int8",
    schema.TensorType.UINT8: "uint8",
    schema.TensorType.INT16: "int16",
    schema.TensorType.INT32: "int32",
    schema.TensorType.INT64: "int64",
    schema.TensorType.BOOL: "bool",
}
_DAMAGE = (struct.error, ValueError, IndexError, TypeError, OverflowError, AttributeError, KeyError)
"""What the flatbuffer accessors raise when an offset or a length points outside the file."""
_HINT = "Check that the file is whole, and that it is a fully quantised int8 model."
_CONVERT = (
    "Convert it to int8: with tf.lite.TFLiteConverter set optimizations = [tf.lite.Optimize.DEFAULT], a representative_dataset, and "
    "target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]."
)
_FLOATS = ("float16", "float32", "float64")
_QUANTISED = ("int8", "uint8", "int16")


def read_model(content: bytes, name: str = "the model") -> Graph:
    """The graph of the .tflite file `content`; `name` is what messages call it.

    Raises:
        ModelError: not a .tflite file, a damaged one, or one with operators that the engine does not support (all are listed).
    """
    if len(content) < 8:
        raise ModelError(f"{name} is {'empty' if not content else f'only {len(content)} bytes long'}", _HINT)
    if content[4:8] != IDENTIFIER:
        raise ModelError(f"{name} is not a .tflite file: the identifier TFL3 is missing", _HINT)
    try:
        return _Reader(content, name).graph()
    except Unsupported as error:
        raise ModelError(f"{name}: {error}", _HINT) from error
    except _DAMAGE as error:
        raise ModelError(f"{name} is damaged: it ends too early, or names what it does not have", _HINT) from error


class _Entry(NamedTuple):
    """An operator as the file has it."""

    table: Any
    name: str
    inputs: list[int | None]
    results: list[int]


class _Reader:
    def __init__(self, content: bytes, name: str) -> None:
        self.content = content
        self.name = name
        self.model = schema.Model.GetRootAs(content, 0)
        if self.model.SubgraphsLength() != 1:
            raise Unsupported(f"{self.model.SubgraphsLength()} subgraphs, exactly one is supported")
        self.subgraph = self.model.Subgraphs(0)

    def graph(self) -> Graph:
        """The whole model, checked."""
        tensors = list(self._tensors())
        exits = read_exits(self.content)
        inputs = self._edges(self.subgraph.Inputs, self.subgraph.InputsLength(), len(tensors), "input")
        outputs = self._edges(self.subgraph.Outputs, self.subgraph.OutputsLength(), len(tensors), "output")
        names = self._signature_names()
        input_names = tuple(names[0].get(index, tensors[index].name) for index in inputs)
        if len(exits):
            outputs, output_names = self._exit_outputs(exits, names[2], outputs)
        else:
            output_names = tuple(names[1].get(index, tensors[index].name) for index in outputs)
        operators, problems = self._operators(tensors, outputs)
        graph = Graph(tuple(tensors), operators, inputs, outputs, input_names, output_names, exits if len(exits) else None)
        if not problems:
            problems = [*_operator_problems(graph), *_order_problems(graph)]
        if problems:
            self._refuse_floats(tensors)
            shown = problems[:MAX_PROBLEMS] + ([f"and {len(problems) - MAX_PROBLEMS} more"] if len(problems) > MAX_PROBLEMS else [])
            lines = "\n".join(f"  {problem}" for problem in shown)
            raise ModelError(f"{self.name} cannot be compiled:\n{lines}", self._advice())
        return graph

    def _refuse_floats(self, tensors: list[Tensor]) -> None:
        """What is wrong with every operator of a float model is one thing."""
        computed = {tensor.dtype for tensor in tensors if tensor.data is None}
        if computed.isdisjoint(_FLOATS) or not computed.isdisjoint(_QUANTISED):
            return
        only_weights = any(tensor.dtype in _QUANTISED for tensor in tensors)
        kind = "has int8 weights, but computes in float (dynamic-range quantisation)" if only_weights else "is a float model"
        raise ModelError(f"{self.name} {kind}", _CONVERT)

    def _advice(self) -> str:
        names = {self._operator_name(self.subgraph.Operators(index)) for index in range(self._operator_count())}
        if names <= TABLE.keys():
            return "docs/operators.md says what the engine takes of each operator."
        return f"Supported operators: {', '.join(sorted(TABLE))}."

    def _count(self, length: int, limit: int, what: str) -> int:
        # Each entry of a vector takes at least four bytes of the file.
        if length > min(limit, len(self.content) // 4):
            raise Unsupported(f"{length} {what}, which is more than {limit} or than the file can hold")
        return length

    def _tensors(self) -> Iterator[Tensor]:
        count = self._count(self.subgraph.TensorsLength(), MAX_TENSORS, "tensors")
        for index in range(count):
            yield self._tensor(self.subgraph.Tensors(index), index)

    def _tensor(self, entry: Any, index: int) -> Tensor:
        name = _text(entry.Name()) or f"tensor {index}"
        dtype = _DTYPES.get(entry.Type())
        if dtype is None:
            raise Unsupported(f"tensor {name!r} has type {entry.Type()}, which is not supported")
        rank = entry.ShapeLength()
        if rank > MAX_RANK:
            raise Unsupported(f"tensor {name!r} has {rank} dimensions")
        shape = tuple(int(entry.Shape(axis)) for axis in range(rank))
        if any(size < 0 for size in shape):
            raise Unsupported(f"tensor {name!r} has shape {list(shape)}: every size must be known")
        if prod(shape) * ITEM_SIZES[dtype] > MAX_TENSOR_BYTES:
            raise Unsupported(f"tensor {name!r} with shape {list(shape)} is larger than {MAX_TENSOR_BYTES} bytes")
        if entry.Sparsity() is not None:
            raise Unsupported(f"tensor {name!r} is sparse, which is not supported")
        data = self._constant(entry.Buffer(), shape, dtype, name)
        return Tensor(name, shape, dtype, _quantization(entry.Quantization(), shape, dtype, name), data, bool(entry.IsVariable()))

    def _constant(self, buffer: int, shape: tuple[int, ...], dtype: str, name: str) -> Any:
        if buffer >= self.model.BuffersLength():
            raise Unsupported(f"tensor {name!r} names buffer {buffer}, which the file does not have")
        entry = self.model.Buffers(buffer) if buffer else None
        if entry is None or entry.DataIsNone() or entry.DataLength() == 0:
            return None
        raw = entry.DataAsNumpy().tobytes()
        if len(raw) != prod(shape) * ITEM_SIZES[dtype]:
            raise Unsupported(f"tensor {name!r} with shape {list(shape)} and type {dtype} has {len(raw)} bytes of data")
        return np.frombuffer(raw, dtype).reshape(shape)

    def _edges(self, entry: Any, length: int, tensors: int, what: str) -> tuple[int, ...]:
        count = self._count(length, MAX_OPERANDS, f"{what}s")
        indices = tuple(int(entry(position)) for position in range(count))
        if not indices or len(set(indices)) != len(indices) or not all(0 <= index < tensors for index in indices):
            raise Unsupported(f"{what}s {list(indices)} are not tensors of the model")
        return indices

    def _signature_names(self) -> tuple[dict[int, str], dict[int, str], dict[str, int]]:
        """Names of inputs and of outputs by tensor, and outputs by name, as the only signature has them."""
        if self.model.SignatureDefsLength() != 1:
            return {}, {}, {}
        signature = self.model.SignatureDefs(0)
        inputs = [signature.Inputs(i) for i in range(self._count(signature.InputsLength(), MAX_OPERANDS, "signature inputs"))]
        outputs = [signature.Outputs(i) for i in range(self._count(signature.OutputsLength(), MAX_OPERANDS, "signature outputs"))]
        return (
            {int(entry.TensorIndex()): _text(entry.Name()) for entry in inputs},
            {int(entry.TensorIndex()): _text(entry.Name()) for entry in outputs},
            {_text(entry.Name()): int(entry.TensorIndex()) for entry in outputs},
        )

    def _exit_outputs(self, exits: Exits, by_name: dict[str, int], outputs: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[str, ...]]:
        missing = [name for name in exits.output_names if name not in by_name]
        if missing:
            raise Unsupported(f"it declares exits, but its signature has no output {', '.join(missing)}")
        ordered = tuple(by_name[name] for name in exits.output_names)
        if sorted(ordered) != sorted(outputs):
            raise Unsupported("its exits and its outputs are not the same tensors")
        return ordered, exits.output_names

    def _operators(self, tensors: list[Tensor], outputs: tuple[int, ...]) -> tuple[tuple[Operator, ...], list[str]]:
        """The operators that the outputs depend on. Results that follow from shapes and constants become constants of `tensors`."""
        operators: list[Operator] = []
        problems: list[str] = []
        for entry, name, inputs, results in self._needed(len(tensors), outputs):
            where = f"{name} that writes {', '.join(repr(tensors[result].name) for result in results) or 'nothing'}"
            try:
                operator = self._operator(entry, name, inputs, results, tensors)
                values = folded(operator, tensors)
            except Unsupported as error:
                problems.append(f"{where}: {error}")
                continue
            if values is None:
                operators.append(operator)
            else:
                for result, value in zip(results, values, strict=True):
                    tensors[result] = replace(tensors[result], data=value)
        return tuple(operators), problems

    def _needed(self, tensors: int, outputs: tuple[int, ...]) -> list[_Entry]:
        """Operators whose results are needed; those that only say an output's shape are not."""
        entries = [self._entry(self.subgraph.Operators(index), tensors) for index in range(self._operator_count())]
        needed = set(outputs)
        kept = []
        for item in reversed(entries):
            if needed.isdisjoint(item.results):
                continue
            implied = TABLE[item.name].implied if item.name in TABLE else frozenset()
            kept.append(item)
            needed.update(index for position, index in enumerate(item.inputs) if index is not None and position not in implied)
        return kept[::-1]

    def _operator_count(self) -> int:
        return self._count(self.subgraph.OperatorsLength(), MAX_OPERATORS, "operators")

    def _entry(self, entry: Any, tensors: int) -> _Entry:
        inputs = [_index(entry.Inputs(i), tensors) for i in range(self._count(entry.InputsLength(), MAX_OPERANDS, "operands"))]
        results = [_index(entry.Outputs(i), tensors) for i in range(self._count(entry.OutputsLength(), MAX_OPERANDS, "results"))]
        return _Entry(entry, self._operator_name(entry), inputs, [result for result in results if result is not None])

    def _operator(self, entry: Any, name: str, inputs: list[int | None], outputs: list[int], tensors: list[Tensor]) -> Operator:
        spec = TABLE.get(name)
        if spec is None:
            raise Unsupported("this operator is not supported")
        operands = [None if index is None else tensors[index] for index in inputs]
        results = [tensors[index] for index in outputs]
        problems = list(argument_problems(spec, operands, results))
        if problems:
            raise Unsupported("; ".join(problems))
        inputs = [None if position in spec.implied else index for position, index in enumerate(inputs)]
        intermediates = self._intermediates(entry, tensors) if spec.has_intermediates else []
        attributes = spec.attributes(_options(entry, spec.options), operands, results + intermediates)
        if spec.order:
            inputs = [inputs[position] for position in spec.order if position < len(inputs)]
        return Operator(name, tuple(inputs), tuple(outputs), attributes)

    def _intermediates(self, entry: Any, tensors: list[Tensor]) -> list[Tensor]:
        count = self._count(entry.IntermediatesLength(), MAX_OPERANDS, "intermediate tensors")
        indices = [_index(int(entry.Intermediates(i)), len(tensors)) for i in range(count)]
        intermediates = [tensors[index] for index in indices if index is not None]
        if any(tensor.variable for tensor in intermediates):
            raise Unsupported("an intermediate tensor is a state")
        return intermediates

    def _operator_name(self, entry: Any) -> str:
        index = entry.OpcodeIndex()
        if index >= self.model.OperatorCodesLength():
            raise Unsupported(f"operator code {index} is not in the file")
        code = self.model.OperatorCodes(index)
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == schema.BuiltinOperator.CUSTOM:
            return f"CUSTOM {_text(code.CustomCode())}"
        return str(_OPERATOR_NAMES.get(number, f"operator {number}"))


def _options(entry: Any, kind: str | None) -> Any:
    """The options of an operator that has some."""
    if kind is None:
        return None
    table = entry.BuiltinOptions()
    if table is None or entry.BuiltinOptionsType() != getattr(schema.BuiltinOptions, kind):
        raise Unsupported("its options are missing")
    options = getattr(schema, kind)()
    options.Init(table.Bytes, table.Pos)
    return options


def _text(value: bytes | None) -> str:
    """A name as it may be shown and written into a comment: printable ASCII."""
    text = (value or b"")[:200].decode("ascii", errors="replace")
    return "".join(character if character.isprintable() and character.isascii() else "?" for character in text)


def _index(value: int, tensors: int) -> int | None:
    if not -1 <= value < tensors:
        raise Unsupported(f"an operator names tensor {value}, which the file does not have")
    return None if value == -1 else int(value)


def _quantization(entry: Any, shape: tuple[int, ...], dtype: str, name: str) -> Quantization | None:
    if entry is None or entry.ScaleLength() == 0 or dtype.startswith("float"):
        return None
    count = entry.ScaleLength()
    axis = int(entry.QuantizedDimension())
    if not 0 <= axis < len(shape):
        # Some published files name a dimension that the tensor does not have; the number of scales tells which one is meant.
        axis = shape.index(count) if count in shape else 0
    channels = shape[axis] if shape else 1
    if count not in (1, channels) or entry.ZeroPointLength() not in (0, 1, count):
        raise Unsupported(f"tensor {name!r} with shape {list(shape)} has {count} scales and {entry.ZeroPointLength()} zero points")
    scales = tuple(float(scale) for scale in entry.ScaleAsNumpy())
    zero_points = tuple(int(point) for point in entry.ZeroPointAsNumpy()) if entry.ZeroPointLength() else (0,)
    if not all(isfinite(scale) and scale > 0 for scale in scales):
        raise Unsupported(f"tensor {name!r} has a scale that is not a positive number")
    if dtype in ("int8", "uint8", "int16"):
        limits = np.iinfo(dtype)
        if not all(limits.min <= point <= limits.max for point in zero_points):
            raise Unsupported(f"tensor {name!r} has a zero point outside {dtype}")
    return Quantization(scales, zero_points * (count // len(zero_points)), axis)


def _operator_problems(graph: Graph) -> Iterator[str]:
    for operator in graph.operators:
        for problem in TABLE[operator.op].problems(graph, operator):
            yield f"{operator.op} that writes {graph.output_of(operator).name!r}: {problem}"


def _order_problems(graph: Graph) -> Iterator[str]:
    """Every tensor is written once, and before it is read."""
    known = {index for index, tensor in enumerate(graph.tensors) if tensor.data is not None or tensor.variable} | set(graph.inputs)
    states = {index for operator in graph.operators for index in operator.inputs if index is not None and graph.tensors[index].variable}
    for operator in graph.operators:
        for index in operator.inputs:
            if index is not None and index not in known:
                yield f"{operator.op} reads {graph.tensors[index].name!r} before it is written"
        for index in operator.outputs:
            if index in known:
                yield f"{operator.op} writes {graph.tensors[index].name!r}, which is already given"
            known.add(index)
    for index in (*graph.inputs, *graph.outputs):
        if graph.tensors[index].elements == 0:
            yield f"{graph.tensors[index].name!r} has shape {list(graph.tensors[index].shape)}: nothing is in it"
    for index in graph.outputs:
        if index not in known or (graph.tensors[index].variable and index not in states):
            yield f"output {graph.tensors[index].name!r} is never written"
        if graph.tensors[index].data is not None:
            yield f"output {graph.tensors[index].name!r} is a constant"
    for index in graph.inputs:
        if graph.tensors[index].data is not None or graph.tensors[index].variable:
            yield f"input {graph.tensors[index].name!r} is a constant or a state"
