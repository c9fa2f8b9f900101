"""Runs a .tflite model in pieces: most operators on TensorFlow Lite's interpreter, some by a substitute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hilnas.tflite.svdf import IntegerSvdf

Array = NDArray[np.generic]
_STATE = 4
"""Position of the state among the inputs of an SVDF."""


def overrunning(operators: Sequence[dict[str, Any]], details: Mapping[int, Any]) -> frozenset[int]:
    """The positions of operators that the reference kernels compute wrongly, outside of their memory: SVDF with a state of int8."""
    return frozenset(
        position
        for position, operator in enumerate(operators)
        if operator["op_name"] == "SVDF" and details[int(operator["inputs"][_STATE])]["dtype"] is np.int8
    )


class PiecewiseInterpreter:
    """Has the methods of an interpreter that running a model takes. `create` makes an interpreter of a .tflite file, `whole` is that of
    the file `content` and is never run; the operators at the positions `substituted`, all of them SVDF, are computed without it."""

    def __init__(self, create: Callable[[bytes], Any], whole: Any, content: bytes, substituted: frozenset[int]) -> None:
        self._details = {detail["index"]: detail for detail in whole.get_tensor_details()}
        self._operators = whole._get_ops_details()
        self._values: dict[int, Array] = {}
        self._steps: list[Callable[[], None]] = []
        self._resets: list[Callable[[], None]] = []
        first = 0
        for position in (*sorted(substituted), len(self._operators)):
            if position > first:
                self._steps.append(self._piece(create, content, range(first, position)))
            if position < len(self._operators):
                self._steps.append(self._svdf(whole, content, position))
            first = position + 1

    def set_tensor(self, index: int, value: Array) -> None:
        """Gives an input."""
        self._values[index] = value

    def get_tensor(self, index: int) -> Array:
        """The value of a tensor."""
        return self._values[index].reshape(self._details[index]["shape"])

    def invoke(self) -> None:
        """One inference."""
        for step in self._steps:
            step()

    def reset_all_variables(self) -> None:
        """Forgets all earlier inputs."""
        for reset in self._resets:
            reset()

    def _piece(self, create: Callable[[bytes], Any], content: bytes, span: range) -> Callable[[], None]:
        """Consecutive operators as a model of their own; tensors keep their indices."""
        results = [int(index) for position in span for index in self._operators[position]["outputs"]]
        read = [int(index) for position in span for index in self._operators[position]["inputs"] if index >= 0]
        constants = _constants(content)
        entries = [index for index in dict.fromkeys(read) if index not in results and index not in constants]
        interpreter = create(_part(content, span, entries, results))
        self._resets.append(interpreter.reset_all_variables)

        def run() -> None:
            for index in entries:
                interpreter.set_tensor(index, self.get_tensor(index))
            interpreter.invoke()
            self._values.update((index, interpreter.get_tensor(index)) for index in results)

        return run

    def _svdf(self, whole: Any, content: bytes, position: int) -> Callable[[], None]:
        operator = self._operators[position]
        values, features, times, bias, state = (int(index) for index in operator["inputs"])
        output = int(operator["outputs"][0])
        scales, points = zip(*(self._quantisation(index) for index in (values, features, times, state, output)), strict=True)
        filters, steps = self._details[times]["shape"]
        svdf = IntegerSvdf(
            features=whole.get_tensor(features),
            times=whole.get_tensor(times),
            bias=None if bias < 0 else whole.get_tensor(bias),
            state=np.zeros((filters, steps), self._details[state]["dtype"]),
            rank=_rank(content, position),
            scales=scales,
            input_zero_point=points[0],
            state_zero_point=points[3],
            output_zero_point=points[4],
        )
        svdf.reset()
        self._resets.append(svdf.reset)

        def run() -> None:
            self._values[output] = svdf.run(cast("NDArray[np.int8]", self._values[values]))
            self._values[state] = svdf.state

        return run

    def _quantisation(self, index: int) -> tuple[float, int]:
        parameters = self._details[index]["quantization_parameters"]
        return float(parameters["scales"][0]), int(parameters["zero_points"][0])


def _model(content: bytes) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(content)


def _constants(content: bytes) -> frozenset[int]:
    model = _model(content)
    tensors = enumerate(model.subgraphs[0].tensors)
    return frozenset(index for index, tensor in tensors if tensor.buffer and model.buffers[tensor.buffer].data is not None)


def _rank(content: bytes, position: int) -> int:
    return int(_model(content).subgraphs[0].operators[position].builtinOptions.rank)


def _part(content: bytes, span: range, entries: Sequence[int], results: Sequence[int]) -> bytes:
    import flatbuffers

    model = _model(content)
    graph = model.subgraphs[0]
    graph.operators = [graph.operators[position] for position in span]
    graph.inputs, graph.outputs = np.array(entries, np.int32), np.array(results, np.int32)
    model.signatureDefs = model.metadata = None
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
