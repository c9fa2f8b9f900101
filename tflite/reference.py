"""The reference: what TensorFlow Lite's own portable kernels (BUILTIN_REF) compute for a model, bit by bit."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import InputError, ModelError
from hilnas.files import read_input
from hilnas.tflite.exits import Exits, read_exits
from hilnas.tflite.pieces import Array, PiecewiseInterpreter, overrunning

KERNELS = "BUILTIN_REF of ai-edge-litert"

_QUANTISED_DIMENSION_FIELD = 16
"""Position of `quantized_dimension` in the vtable of QuantizationParameters: 4 + 2 x its index in the schema."""


@dataclass(frozen=True)
class Edge:
    """An input or output as an engine sees it: the int8 tensor behind a float32 or uint8 edge, else the edge itself."""

    name: str
    tensor: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    def dequantise(self, values: Array) -> NDArray[np.float64]:
        """The real values of a tensor of this edge."""
        steps = np.asarray(values, dtype=np.float64)
        return (steps - self.zero_point) * self.scale if self.scale else steps

    def quantise(self, values: Array) -> Array:
        """Real values as a tensor of this edge: rounded to nearest, saturated."""
        if not self.scale:
            return np.asarray(values, dtype=self.dtype)
        limits = np.iinfo(self.dtype)
        steps = np.rint(np.asarray(values, dtype=np.float64) / self.scale) + self.zero_point
        quantised: Array = np.clip(steps, limits.min, limits.max).astype(self.dtype)
        return quantised


class ReferenceModel:
    """A .tflite model on the reference kernels, no XNNPACK. Stateful models keep their state between runs.

    `kernels` names what computes it: the reference kernels, and the substitutes for those that cannot (see tflite/svdf.py).
    Outputs are in signature order where the model has exits (exit_0 .. exit_n, logits), else in the file's order.
    """

    def __init__(self, content: bytes, name: str = "the model") -> None:
        """Loads the bytes of a .tflite file; `name` is what messages call it.

        Raises:
            ModelError: the interpreter refuses the model.
        """
        if not content:
            raise ModelError(f"{name} is empty", "Give an int8 .tflite file.")
        self._name = name
        with self._refused():
            interpreter, content = _interpreter(content)
            self.exits: Exits = read_exits(content)
            self._details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
            operators = interpreter._get_ops_details()
            substituted = overrunning(operators, self._details)
            self._interpreter = PiecewiseInterpreter(_create, interpreter, content, substituted) if substituted else interpreter
            self.kernels = KERNELS + (f", {len(substituted)} SVDF with a state of int8 by tflite/svdf.py" if substituted else "")
            self._entries = [detail["index"] for detail in interpreter.get_input_details()]
            self.inputs = tuple(self._edge(_behind_input(index, operators, self._details)) for index in self._entries)
            self.outputs = tuple(
                self._edge(_behind_output(index, operators, self._details), name)
                for index, name in _ordered_outputs(interpreter, content, self.exits)
            )

    @classmethod
    def load(cls, path: Path) -> ReferenceModel:
        """Loads a file.

        Raises:
            InputError: the file cannot be read.
            ModelError: the interpreter refuses it.
        """
        return cls(read_input(path), str(path))

    def run(self, *inputs: Array) -> tuple[Array, ...]:
        """One inference: tensors of `inputs` in, tensors of `outputs` out.

        Raises:
            InputError: a tensor has another dtype or shape than its edge.
            ModelError: the interpreter refuses the model only now.
        """
        if len(inputs) != len(self.inputs):
            raise InputError(f"the model has {len(self.inputs)} inputs, got {len(inputs)}")
        for edge, values in zip(self.inputs, inputs, strict=True):
            if values.dtype != edge.dtype or values.size != np.prod(edge.shape, dtype=np.int64):
                raise InputError(f"input {edge.name} is {edge.dtype} {edge.shape}, got {values.dtype} {values.shape}")
        with self._refused():
            for entry, edge, values in zip(self._entries, self.inputs, inputs, strict=True):
                outer = values if entry == edge.tensor else self._edge(entry).quantise(edge.dequantise(values).astype(np.float32))
                self._interpreter.set_tensor(entry, outer.reshape(self._edge(entry).shape))
            self._interpreter.invoke()
            for edge, values in zip(self.inputs, inputs, strict=True):
                if not np.array_equal(self.tensor(edge.tensor).ravel(), values.ravel()):
                    raise ModelError(f"input {edge.name} cannot be given exactly through the model's own edge")
            return tuple(self.tensor(edge.tensor) for edge in self.outputs)

    def reset(self) -> None:
        """Forgets all earlier inputs, as if the model had just been loaded."""
        self._interpreter.reset_all_variables()

    def run_batch(self, batch: Array) -> tuple[Array, ...]:
        """Runs a model of one input N times, batch (N, ...) -> outputs each (N, ...)."""
        runs = [self.run(values.reshape(self.inputs[0].shape)) for values in batch]
        return tuple(np.concatenate(column) for column in zip(*runs, strict=True))

    def dequantise(self, outputs: Sequence[Array]) -> tuple[NDArray[np.float64], ...]:
        """The real values of what `run` or `run_batch` returned."""
        return tuple(edge.dequantise(values) for edge, values in zip(self.outputs, outputs, strict=True))

    def exit_taken(self, outputs: Sequence[Array]) -> NDArray[np.int64]:
        """Which exit each inference leaves by, from what `run` or `run_batch` returned; see `Exits.taken`."""
        return self.exits.taken(self.dequantise(outputs))

    def tensor(self, index: int) -> Array:
        """The value of any tensor of the file after a run, by its index in the first subgraph."""
        value: Array = self._interpreter.get_tensor(index)
        return value

    def has(self, index: int, dtype: str, elements: int) -> bool:
        """Whether the file has a tensor of that index, type and number of elements."""
        detail = self._details.get(index)
        return detail is not None and np.dtype(detail["dtype"]) == dtype and int(np.prod(detail["shape"], dtype=np.int64)) == elements

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """What the interpreter raises, as an error of the model."""
        try:
            yield
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"the reference interpreter refuses {self._name}: {error}", "Check that the file is whole.") from error

    def _edge(self, index: int, name: str = "") -> Edge:
        detail = self._details[index]
        scales, zero_points = detail["quantization_parameters"]["scales"], detail["quantization_parameters"]["zero_points"]
        return Edge(
            name=name or detail["name"],
            tensor=index,
            shape=tuple(int(size) for size in detail["shape"]),
            dtype=np.dtype(detail["dtype"]),
            scale=float(scales[0]) if len(scales) else 0.0,
            zero_point=int(zero_points[0]) if len(zero_points) else 0,
        )


def _create(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    return interpreter


def _interpreter(content: bytes) -> tuple[Any, bytes]:
    """An interpreter, and the file that it was made from: some published ones name a quantised dimension that the tensor does not have."""
    try:
        return _create(content), content
    except (ValueError, RuntimeError) as error:
        if "quantized_dimension" not in str(error):
            raise
    content = _with_valid_quantised_dimensions(content)
    return _create(content), content


def _with_valid_quantised_dimensions(content: bytes) -> bytes:
    """The same file, where every quantised dimension that its tensor does not have gives way to the one that fits the scales."""
    from ai_edge_litert import schema_py_generated as schema

    patched = bytearray(content)
    model = schema.Model.GetRootAs(patched, 0)
    for graph in (model.Subgraphs(index) for index in range(model.SubgraphsLength())):
        for tensor in (graph.Tensors(index) for index in range(graph.TensorsLength())):
            quantisation = tensor.Quantization()
            if quantisation is None or quantisation.ScaleLength() == 0 or 0 <= quantisation.QuantizedDimension() < tensor.ShapeLength():
                continue
            offset = quantisation._tab.Offset(_QUANTISED_DIMENSION_FIELD)
            if not offset:
                continue  # not written, as in tensors of one value: it is 0
            shape = [tensor.Shape(axis) for axis in range(tensor.ShapeLength())]
            dimension = shape.index(quantisation.ScaleLength()) if quantisation.ScaleLength() in shape else 0
            struct.pack_into("<i", patched, quantisation._tab.Pos + offset, dimension)
    return bytes(patched)


def _behind_input(index: int, operators: list[dict[str, Any]], details: dict[int, Any]) -> int:
    """The int8 tensor behind a float32 or uint8 input that only a QUANTIZE reads, else the input itself."""
    readers = [operator for operator in operators if index in operator["inputs"]]
    if len(readers) == 1 and readers[0]["op_name"] == "QUANTIZE":
        return _int8_side(index, int(readers[0]["outputs"][0]), details)
    return index


def _behind_output(index: int, operators: list[dict[str, Any]], details: dict[int, Any]) -> int:
    """The int8 tensor behind a float32 or uint8 output that a DEQUANTIZE or QUANTIZE writes, else the output itself."""
    writers = [operator for operator in operators if index in operator["outputs"]]
    if len(writers) == 1 and writers[0]["op_name"] in ("DEQUANTIZE", "QUANTIZE"):
        return _int8_side(index, int(writers[0]["inputs"][0]), details)
    return index


def _int8_side(edge: int, behind: int, details: dict[int, Any]) -> int:
    is_seam = details[edge]["dtype"] in (np.float32, np.uint8) and details[behind]["dtype"] is np.int8
    return behind if is_seam else edge


def _ordered_outputs(interpreter: Any, content: bytes, exits: Exits) -> list[tuple[int, str]]:
    """Tensor index and name of each output: by signature where the model has exits, else in the file's order."""
    from ai_edge_litert import schema_py_generated as schema

    in_file = [(int(detail["index"]), str(detail["name"])) for detail in interpreter.get_output_details()]
    if not len(exits):
        return in_file
    model = schema.Model.GetRootAs(content, 0)
    if model.SignatureDefsLength() != 1:
        raise ModelError(f"a model with exits needs one signature that names its outputs, this one has {model.SignatureDefsLength()}")
    signature = model.SignatureDefs(0)
    named = {entry.Name().decode(): int(entry.TensorIndex()) for entry in (signature.Outputs(i) for i in range(signature.OutputsLength()))}
    missing = [name for name in exits.output_names if name not in named]
    if missing:
        raise ModelError(f"the signature has no output {', '.join(missing)}; it names {', '.join(named)}")
    return [(named[name], name) for name in exits.output_names]
