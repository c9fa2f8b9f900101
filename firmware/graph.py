"""The int8 graph that the engine compiles: immutable tensors and operators, as a .tflite file says or as fusion leaves them."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hilnas.tflite.exits import Exits

Activation = Literal["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]

ITEM_SIZES = {"int8": 1, "uint8": 1, "bool": 1, "int16": 2, "float16": 2, "int32": 4, "float32": 4, "int64": 8, "float64": 8}
"""Bytes of one element, by the dtype names that `Tensor` uses (numpy's)."""


@dataclass(frozen=True)
class Quantization:
    """real = scale * (value - zero_point). One scale a tensor, or one for each index along `axis`; scales are float32 values."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0

    @property
    def scale(self) -> float:
        """The scale of a tensor that has one."""
        return self.scales[0]

    @property
    def zero_point(self) -> int:
        """The zero point of a tensor that has one."""
        return self.zero_points[0]

    @property
    def per_channel(self) -> bool:
        """Whether each channel has its own scale."""
        return len(self.scales) > 1


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor: `data` is set for constants; a `variable` keeps its value between runs.

    Where only shapes are known, `placeholder` stands for a constant.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None
    data: NDArray[np.generic] | None = None
    variable: bool = False

    @property
    def elements(self) -> int:
        """How many elements it has."""
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """How many bytes it takes."""
        return prod(self.shape) * ITEM_SIZES[self.dtype]


def placeholder(shape: tuple[int, ...], dtype: str = "int8") -> NDArray[np.generic]:
    """Stands for constant data of which only the shape matters: all zeros, one element of memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)


@dataclass(frozen=True)
class Padding:
    """Rows and columns added around an image; they hold the zero point, so they mean 0."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


@dataclass(frozen=True)
class Convolution:
    """CONV_2D and DEPTHWISE_CONV_2D. Strides and dilations are (vertical, horizontal); padding is explicit."""

    strides: tuple[int, int]
    padding: Padding
    dilations: tuple[int, int] = (1, 1)
    activation: Activation = "NONE"


@dataclass(frozen=True)
class Pooling:
    """AVERAGE_POOL_2D and MAX_POOL_2D: window and strides are (vertical, horizontal); padded places do not count."""

    window: tuple[int, int]
    strides: tuple[int, int]
    padding: Padding
    activation: Activation = "NONE"


@dataclass(frozen=True)
class Activated:
    """An operator with a fused activation and nothing else: FULLY_CONNECTED, ADD, SUB, MUL."""

    activation: Activation = "NONE"


@dataclass(frozen=True)
class Reduction:
    """MEAN, REDUCE_MAX and REDUCE_MIN over `axes` (not negative, ascending)."""

    axes: tuple[int, ...]


@dataclass(frozen=True)
class Pad:
    """PAD: elements added before and after, for each axis."""

    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True)
class Permutation:
    """TRANSPOSE: output axis i is input axis `axes[i]`."""

    axes: tuple[int, ...]


@dataclass(frozen=True)
class Softmax:
    """SOFTMAX along the last axis, of beta times the input."""

    beta: float


@dataclass(frozen=True)
class Svdf:
    """SVDF: a rank-decomposed filter over time. What its activation, if any, cuts off is what int8 has no values for."""

    rank: int


@dataclass(frozen=True)
class Lstm:
    """UNIDIRECTIONAL_SEQUENCE_LSTM: the scale of its hidden values, their zero point, and the largest value of a cell, 0 for any."""

    hidden_scale: float
    hidden_zero_point: int
    cell_clip: float


@dataclass(frozen=True)
class LeakyRelu:
    """LEAKY_RELU: what is negative is multiplied by `alpha`."""

    alpha: float


@dataclass(frozen=True)
class Resize:
    """RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR; the output's shape says to which size."""

    align_corners: bool
    half_pixel_centers: bool


@dataclass(frozen=True)
class Block:
    """Elements of one input that go to one output: over all indices i of `sizes`, the element at source_offset + i * source_strides
    goes to target_offset + i * target_strides. `source` and `target` are positions among inputs and outputs."""

    source: int
    target: int
    sizes: tuple[int, ...]
    source_offset: int
    source_strides: tuple[int, ...]
    target_offset: int
    target_strides: tuple[int, ...]


@dataclass(frozen=True)
class Movement:
    """An operator that only moves elements: CONCATENATION, SPLIT, SLICE and their like."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Plain:
    """An operator without attributes: RESHAPE, QUANTIZE, DEQUANTIZE, MAXIMUM, LOGISTIC ..."""


Attributes = (
    Convolution | Pooling | Activated | Reduction | Pad | Permutation | Softmax | Svdf | Lstm | LeakyRelu | Resize | Movement | Plain
)


@dataclass(frozen=True)
class Operator:
    """An operator by its TFLite name; `inputs` and `outputs` are tensor indices, None for an optional input that is absent."""

    op: str
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    attributes: Attributes


@dataclass(frozen=True, eq=False)
class Graph:
    """Tensors, and operators in execution order.

    `input_names` and `output_names` are the signature's, else the tensors'. `same_bytes[t]` is the tensor in whose bytes tensor
    t lives when it is another view of them (a RESHAPE that fusion removed). `exits` orders the outputs that are early exits.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    exits: Exits | None = None
    same_bytes: dict[int, int] = field(default_factory=dict)

    def storage(self, tensor: int) -> int:
        """The tensor that owns the bytes of `tensor`."""
        while tensor in self.same_bytes:
            tensor = self.same_bytes[tensor]
        return tensor

    def argument(self, operator: Operator, position: int) -> Tensor | None:
        """The input of `operator` at `position`, None where it is absent."""
        if position >= len(operator.inputs):
            return None
        index = operator.inputs[position]
        return None if index is None else self.tensors[index]

    def input_of(self, operator: Operator, position: int = 0) -> Tensor:
        """The input of `operator` at `position`, which must be there."""
        tensor = self.argument(operator, position)
        assert tensor is not None
        return tensor

    def output_of(self, operator: Operator) -> Tensor:
        """The first output of `operator`."""
        return self.tensors[operator.outputs[0]]
