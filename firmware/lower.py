"""Chooses how every operator of a fused graph is compiled: which kernel, and which constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from hilnas.boards.board import InstructionCache
from hilnas.errors import ModelError
from hilnas.firmware import lower_convolution as convolution
from hilnas.firmware import lower_images as images
from hilnas.firmware import lower_operators as operators
from hilnas.firmware.assembly.lower import CONVOLUTION, DEPTHWISE
from hilnas.firmware.assembly.lower_add import ADD
from hilnas.firmware.graph import Graph, Operator
from hilnas.firmware.kernel import Constants, Kernel
from hilnas.firmware.lower_elementwise import ELEMENTWISE, LOOKUP
from hilnas.firmware.lower_lstm import LSTM
from hilnas.firmware.lower_movement import MOVEMENT
from hilnas.firmware.lowering import KernelSet, Lowering

_LOOKUPS = ("HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "TANH")
_ELEMENTWISE = ("MAXIMUM", "MINIMUM", "MUL", "SUB")
_MOVEMENTS = (
    *("BROADCAST_TO", "CONCATENATION", "DEPTH_TO_SPACE", "PACK", "PAD", "REVERSE_V2", "SLICE", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V"),
    *("STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK"),
)

LOWERINGS: dict[str, tuple[Lowering, ...]] = {
    "ADD": (ADD, operators.ADD_DSP, operators.ADD, ELEMENTWISE),
    "AVERAGE_POOL_2D": (operators.AVERAGE_POOLING_DSP, operators.POOLING),
    "CONV_2D": (CONVOLUTION, convolution.PACKED, convolution.PORTABLE),
    "DEPTHWISE_CONV_2D": (DEPTHWISE, convolution.LANES, convolution.PORTABLE),
    "FULLY_CONNECTED": (operators.FULLY_CONNECTED,),
    "LOG_SOFTMAX": (operators.LOG_SOFTMAX,),
    "MAX_POOL_2D": (operators.POOLING,),
    "MEAN": (operators.REDUCTION,),
    "QUANTIZE": (operators.QUANTIZE,),
    "REDUCE_MAX": (operators.REDUCTION,),
    "REDUCE_MIN": (operators.REDUCTION,),
    "RESIZE_BILINEAR": (images.RESIZE,),
    "RESIZE_NEAREST_NEIGHBOR": (images.RESIZE,),
    "SOFTMAX": (operators.SOFTMAX,),
    "SVDF": (operators.SVDF,),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (LSTM,),
    "TRANSPOSE_CONV": (images.TRANSPOSED,),
    **dict.fromkeys(_LOOKUPS, (LOOKUP,)),
    **dict.fromkeys(_ELEMENTWISE, (ELEMENTWISE,)),
    **dict.fromkeys(_MOVEMENTS, (MOVEMENT,)),
}
"""How each operator that fusion leaves can be compiled, the best way first; the last one suits always."""


_IMAGE_BY_IMAGE = frozenset(
    ("AVERAGE_POOL_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV")
)
"""Operators whose kernels take one image; those of a batch follow each other."""


def multiply_accumulates(graph: Graph, operator: Operator) -> int:
    """Multiply-accumulates of one operator; padding counts, as is usual."""
    if operator.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        weights = graph.input_of(operator, 1).shape
        per_output = weights[1:3] if operator.op == "DEPTHWISE_CONV_2D" else weights[1:]
        return graph.output_of(operator).elements * prod(per_output)
    if operator.op == "TRANSPOSE_CONV":
        return graph.input_of(operator).elements * prod(graph.input_of(operator, 1).shape[:3])
    if operator.op == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        values, (cells, depth) = graph.input_of(operator), graph.input_of(operator, 1).shape
        return values.elements // depth * 4 * cells * (cells + depth)
    if operator.op == "SVDF":
        return graph.input_of(operator, 1).elements + graph.input_of(operator, 2).elements
    return 0


@dataclass(frozen=True)
class Layer:
    """An operator with its kernel, in execution order; `exit` is the exit that is decided after it, `batch` how many images the kernel
    is called for, one after the other."""

    name: str
    operator: Operator
    kernel: Kernel
    constants: Callable[[Graph, Operator], Constants]
    macs: int
    exit: int | None = None
    batch: int = 1


@dataclass(frozen=True, eq=False)
class Program:
    """A fused graph and the layers that compute it."""

    graph: Graph
    layers: tuple[Layer, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, no exit taken."""
        return sum(layer.macs for layer in self.layers)

    @property
    def constant_bytes(self) -> int:
        """Weights, tables and parameters of all layers in flash."""
        return sum(layer.kernel.constant_bytes for layer in self.layers)


def lower(graph: Graph, kernel_set: KernelSet = KernelSet.ASSEMBLY, cache: InstructionCache | None = None) -> Program:
    """The layers of a fused graph, each with the first way to compile it that suits and whose kernel is in the set; of the sizes of that
    way the first whose loop the target's instruction cache holds, the smallest if it holds none, the first if there is no cache.

    Constants may be placeholders: what is chosen for them is what is chosen for all but extreme weights.

    Raises:
        ModelError: the model computes nothing, or two exits leave at one place.
    """
    if not graph.operators:
        raise ModelError("the model computes nothing", "Its outputs do not depend on any operator.")
    exits = _exits_by_tensor(graph)
    layers = []
    for operator in graph.operators:
        # TensorFlow names a fused operator after all that went into it.
        name = graph.output_of(operator).name.split(";")[0]
        exit_index = exits.pop(graph.storage(operator.outputs[0]), None)
        lowering = _chosen(graph, operator, kernel_set, cache)
        batch = graph.output_of(operator).shape[0] if operator.op in _IMAGE_BY_IMAGE else 1
        macs = multiply_accumulates(graph, operator)
        layers.append(Layer(name, operator, lowering.kernel(graph, operator), lowering.constants, macs, exit_index, batch))
    if exits:
        raise ModelError("an exit of the model is not computed by any operator of its own")
    return Program(graph, tuple(layers))


def _chosen(graph: Graph, operator: Operator, kernel_set: KernelSet, cache: InstructionCache | None) -> Lowering:
    ways = (way for way in LOWERINGS[operator.op] if way.kernel_set <= kernel_set)
    lowering = next(way for way in ways if way.suits(graph, operator))
    while cache is not None and not cache.holds(lowering.kernel(graph, operator).loop_bytes):
        if lowering.smaller is None or not lowering.smaller.suits(graph, operator):
            break
        lowering = lowering.smaller
    return lowering


def _exits_by_tensor(graph: Graph) -> dict[int, int]:
    count = len(graph.exits) if graph.exits else 0
    by_tensor = {graph.storage(tensor): index for index, tensor in enumerate(graph.outputs[:count])}
    if len(by_tensor) != count:
        raise ModelError("two exits of the model are the same tensor")
    return by_tensor
