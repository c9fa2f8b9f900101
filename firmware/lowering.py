"""What every way of compiling an operator shares: reading a graph, and writing the fields of a kernel's parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import reduce
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hilnas.firmware.fixed_point import activation_range, quantize_multiplier
from hilnas.firmware.graph import Activation, Convolution, Graph, Operator, Pooling, Quantization, Tensor
from hilnas.firmware.kernel import Constants, Kernel, RowWise, Table

Fields = tuple[tuple[str, str], ...]
CHANNEL_BYTES = 12
"""Size of hilnas_channel."""

MAX_SHIFT = 22
"""The largest shift with which the DSP kernels scale; see kernels/dsp.h."""


class KernelSet(IntEnum):
    """What a target can run: each set has the kernels of those before it."""

    PORTABLE = 0
    """C for any core."""
    DSP = 1
    """C with the instructions of the DSP extension, be it by emulation."""
    ASSEMBLY = 2
    """Routines in assembly, for a core that has the extension."""


def _always(_graph: Graph, _operator: Operator) -> bool:
    return True


@dataclass(frozen=True)
class Lowering:
    """One way to compile an operator: the kernel (from shapes alone), its constants, which operators it suits, and the smallest set that
    has the kernel. `smaller` is the same with less code in its loop, for caches that do not hold it: slower where they do."""

    kernel: Callable[[Graph, Operator], Kernel]
    constants: Callable[[Graph, Operator], Constants]
    suits: Callable[[Graph, Operator], bool] = _always
    kernel_set: KernelSet = KernelSet.PORTABLE
    smaller: Lowering | None = None


def in_sizes(*sizes: Lowering) -> Lowering:
    """One way to compile an operator in several sizes of its loop, the largest first."""
    return reduce(lambda smaller, larger: replace(larger, smaller=smaller), reversed(sizes))


def fixed_kernel(function: str, source: str, table_bytes: int, row_wise: RowWise | None = None) -> Callable[[Graph, Operator], Kernel]:
    """The kernel of an operator whose shapes do not matter for it."""
    kernel = Kernel(function, source, table_bytes=table_bytes, row_wise=row_wise)
    return lambda _graph, _operator: kernel


def quantization_of(tensor: Tensor) -> Quantization:
    """The quantisation of a tensor that must have one."""
    assert tensor.quantization is not None
    return tensor.quantization


def data_of(tensor: Tensor) -> NDArray[np.integer]:
    """The values of a constant."""
    assert tensor.data is not None
    return cast("NDArray[np.integer]", tensor.data)


def adds_equal_shapes(graph: Graph, operator: Operator) -> bool:
    """Whether an ADD has two tensors of one shape, neither a constant."""
    first, second = graph.input_of(operator), graph.input_of(operator, 1)
    return first.shape == second.shape and first.data is None and second.data is None


def constant_operands(graph: Graph, operator: Operator) -> tuple[int, ...]:
    """The positions of inputs that are constants."""
    return tuple(position for position, index in enumerate(operator.inputs) if index is not None and graph.tensors[index].data is not None)


def operand_bytes(graph: Graph, operator: Operator, positions: Iterable[int]) -> int:
    """Flash bytes of constants that a kernel takes as arguments."""
    return sum(graph.input_of(operator, position).size_bytes for position in positions)


def operand_tables(graph: Graph, operator: Operator, positions: Iterable[int]) -> tuple[Table, ...]:
    """Constants that a kernel takes as arguments; see `Kernel.constant_operands`."""
    return tuple(Table(f"operand_{position}", "int8_t", _bytes(graph.input_of(operator, position))) for position in positions)


def _bytes(tensor: Tensor) -> NDArray[np.integer]:
    return np.frombuffer(np.ascontiguousarray(data_of(tensor)).tobytes(), np.int8)


def biases_of(graph: Graph, operator: Operator, channels: int) -> list[int]:
    """The bias of each output channel, 0 where there is none."""
    bias = graph.argument(operator, 2)
    return [0] * channels if bias is None else [int(value) for value in data_of(bias).ravel()]


def real_multipliers(graph: Graph, operator: Operator, channels: int) -> list[float]:
    """input scale * weight scale / output scale of each output channel, in double precision as the reference computes it."""
    image, weights, output = (
        quantization_of(tensor) for tensor in (graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator))
    )
    return [image.scale * scale / output.scale for scale in weights.scales * (channels // len(weights.scales))]


def channel_multipliers(graph: Graph, operator: Operator, channels: int) -> list[tuple[int, int]]:
    """Multiplier and shift of each output channel."""
    return [quantize_multiplier(real) for real in real_multipliers(graph, operator, channels)]


def array_field(values: Sequence[int], length: int, fill: int) -> str:
    """An array of this length whose last elements are `values`, and `fill` before them."""
    return "{" + ", ".join(map(str, (*(fill,) * (length - len(values)), *values))) + "}"


def operand_fields(graph: Graph, operator: Operator, multipliers: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """A hilnas_operand for each input, from its multiplier and shift."""
    return tuple(
        f"{{{quantization_of(graph.input_of(operator, position)).zero_point}, {multiplier}, {shift}}}"
        for position, (multiplier, shift) in enumerate(multipliers)
    )


def output_field(graph: Graph, operator: Operator) -> str:
    """A hilnas_output."""
    quantization = quantization_of(graph.output_of(operator))
    activation: Activation = getattr(operator.attributes, "activation", "NONE")
    low, high = activation_range(activation, quantization)
    return f"{{{quantization.zero_point}, {low}, {high}}}"


def geometry_field(graph: Graph, operator: Operator, window: tuple[int, int], dilations: tuple[int, int] = (1, 1)) -> str:
    """A hilnas_geometry."""
    attributes = cast("Convolution | Pooling", operator.attributes)
    image, output = graph.input_of(operator).shape, graph.output_of(operator).shape
    values = (*image[1:], *output[1:], *window, *attributes.strides, *dilations, attributes.padding.top, attributes.padding.left)
    return "{" + ", ".join(map(str, values)) + "}"
