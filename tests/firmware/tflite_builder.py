"""Writes small .tflite files straight through the flatbuffer schema, so that tests need no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

_TYPES = {"bool": 6, "int8": 9, "uint8": 3, "int16": 7, "int32": 2, "int64": 4, "float32": 0}
_OPTIONS = {
    "ADD": schema.AddOptionsT,
    "AVERAGE_POOL_2D": schema.Pool2DOptionsT,
    "CONCATENATION": schema.ConcatenationOptionsT,
    "CONV_2D": schema.Conv2DOptionsT,
    "DEPTHWISE_CONV_2D": schema.DepthwiseConv2DOptionsT,
    "DEPTH_TO_SPACE": schema.DepthToSpaceOptionsT,
    "FULLY_CONNECTED": schema.FullyConnectedOptionsT,
    "LEAKY_RELU": schema.LeakyReluOptionsT,
    "MAX_POOL_2D": schema.Pool2DOptionsT,
    "MEAN": schema.ReducerOptionsT,
    "MUL": schema.MulOptionsT,
    "PACK": schema.PackOptionsT,
    "PAD": schema.PadOptionsT,
    "REDUCE_MAX": schema.ReducerOptionsT,
    "REDUCE_MIN": schema.ReducerOptionsT,
    "RESHAPE": schema.ReshapeOptionsT,
    "SHAPE": schema.ShapeOptionsT,
    "RESIZE_BILINEAR": schema.ResizeBilinearOptionsT,
    "RESIZE_NEAREST_NEIGHBOR": schema.ResizeNearestNeighborOptionsT,
    "SOFTMAX": schema.SoftmaxOptionsT,
    "SPACE_TO_DEPTH": schema.SpaceToDepthOptionsT,
    "SPLIT": schema.SplitOptionsT,
    "SPLIT_V": schema.SplitVOptionsT,
    "SQUEEZE": schema.SqueezeOptionsT,
    "STRIDED_SLICE": schema.StridedSliceOptionsT,
    "SUB": schema.SubOptionsT,
    "SVDF": schema.SVDFOptionsT,
    "TRANSPOSE": schema.TransposeOptionsT,
    "TRANSPOSE_CONV": schema.TransposeConvOptionsT,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": schema.UnidirectionalSequenceLSTMOptionsT,
    "UNPACK": schema.UnpackOptionsT,
}
_VERSIONS = {"BROADCAST_TO": 2, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4}


class ModelBuilder:
    """Collects tensors and operators; `build` packs them."""

    def __init__(self) -> None:
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [schema.BufferT()]
        self.codes: list[Any] = []
        self.operators: list[Any] = []

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str = "int8",
        scale: float | Sequence[float] | None = None,
        zero_point: int = 0,
        data: NDArray[Any] | None = None,
        axis: int = 0,
        name: str = "",
        variable: bool = False,
    ) -> int:
        """Adds a tensor and returns its index; with `data` it is a constant, a `variable` keeps its value between runs."""
        tensor = schema.TensorT()
        tensor.shape = np.array(shape, np.int32)
        tensor.type = _TYPES[dtype]
        tensor.name = name or f"t{len(self.tensors)}"
        if scale is not None:
            scales = np.atleast_1d(np.array(scale, np.float32))
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = scales
            tensor.quantization.zeroPoint = np.full(len(scales), zero_point, np.int64)
            tensor.quantization.quantizedDimension = axis
        tensor.buffer = 0
        tensor.isVariable = variable
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            self.buffers.append(buffer)
            tensor.buffer = len(self.buffers) - 1
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, values: Sequence[Any] | NDArray[Any], dtype: str = "int32") -> int:
        """Adds an unquantised constant."""
        data = np.array(values, dtype)
        return self.tensor(data.shape, dtype, data=data)

    def operator(self, name: str, inputs: Sequence[int], outputs: Sequence[int], intermediates: Sequence[int] = (), **options: Any) -> None:
        """Adds an operator; options by their schema names (strideH, padding ...)."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = _VERSIONS.get(name, 1)
        self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.codes) - 1
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        if intermediates:
            operator.intermediates = np.array(intermediates, np.int32)
        if name in _OPTIONS:
            table = _OPTIONS[name]()
            for key, value in options.items():
                setattr(table, key, value)
            operator.builtinOptions = table
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, _OPTIONS[name].__name__[:-1])
        self.operators.append(operator)

    def build(
        self, inputs: Sequence[int], outputs: Sequence[int], output_names: Sequence[str] = (), metadata: dict[str, bytes] | None = None
    ) -> bytes:
        """The .tflite file."""
        subgraph = schema.SubGraphT()
        subgraph.tensors, subgraph.operators = self.tensors, self.operators
        subgraph.inputs, subgraph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        model = schema.ModelT()
        model.version = 3
        model.subgraphs, model.operatorCodes, model.buffers = [subgraph], self.codes, list(self.buffers)
        if output_names:
            model.signatureDefs = [self._signature(inputs, outputs, output_names)]
        model.metadata = []
        for name, content in (metadata or {}).items():
            buffer, entry = schema.BufferT(), schema.MetadataT()
            buffer.data = np.frombuffer(content, np.uint8)
            entry.name, entry.buffer = name, len(model.buffers)
            model.buffers.append(buffer)
            model.metadata.append(entry)
        builder = flatbuffers.Builder(4096)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _signature(self, inputs: Sequence[int], outputs: Sequence[int], names: Sequence[str]) -> Any:
        def entry(name: str, tensor: int) -> Any:
            item = schema.TensorMapT()
            item.name, item.tensorIndex = name, tensor
            return item

        signature = schema.SignatureDefT()
        signature.signatureKey = "serving_default"
        signature.inputs = [entry(f"input_{i}", tensor) for i, tensor in enumerate(inputs)]
        signature.outputs = [entry(name, tensor) for name, tensor in zip(names, outputs, strict=True)]
        return signature
