"""Chooses how every operator of a fused graph is compiled: which kernel, and which constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from hilnas.errors import ModelError
from hilnas.firmware import lower_convolution as convolution
from hilnas.firmware import lower_operators as operators
from hilnas.firmware.assembly.lower import CONVOLUTION, DEPTHWISE
from hilnas.firmware.assembly.lower_add import ADD
from hilnas.firmware.graph import Graph, Operator
from hilnas.firmware.kernel import Constants, Kernel
from hilnas.firmware.lowering import Lowering

LOWERINGS: dict[str, tuple[Lowering, ...]] = {
    "ADD": (ADD, operators.ADD_DSP, operators.ADD),
    "AVERAGE_POOL_2D": (operators.AVERAGE_POOLING_DSP, operators.POOLING),
    "CONV_2D": (CONVOLUTION, convolution.PACKED, convolution.PORTABLE),
    "DEPTHWISE_CONV_2D": (DEPTHWISE, convolution.LANES, convolution.PORTABLE),
    "FULLY_CONNECTED": (operators.FULLY_CONNECTED,),
    "MAX_POOL_2D": (operators.POOLING,),
    "MEAN": (operators.MEAN,),
    "PAD": (operators.PAD,),
    "QUANTIZE": (operators.QUANTIZE,),
    "SOFTMAX": (operators.SOFTMAX,),
    "SVDF": (operators.SVDF,),
    "TRANSPOSE": (operators.TRANSPOSE,),
}
"""How each operator that fusion leaves can be compiled, the best way first; the last one suits always."""


def multiply_accumulates(graph: Graph, operator: Operator) -> int:
    """Multiply-accumulates of one operator; padding counts, as is usual."""
    if operator.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        weights = graph.input_of(operator, 1).shape
        per_output = weights[1:3] if operator.op == "DEPTHWISE_CONV_2D" else weights[1:]
        return graph.output_of(operator).elements * prod(per_output)
    if operator.op == "SVDF":
        return graph.input_of(operator, 1).elements + graph.input_of(operator, 2).elements
    return 0


@dataclass(frozen=True)
class Layer:
    """An operator with its kernel, in execution order; `exit` is the exit that is decided after it."""

    name: str
    operator: Operator
    kernel: Kernel
    constants: Callable[[Graph, Operator], Constants]
    macs: int
    exit: int | None = None


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


def lower(graph: Graph, dsp: bool = True, assembly: bool = True) -> Program:
    """The layers of a fused graph, each with the first way to compile it that suits. `dsp`: the target has the instructions of the DSP
    extension, be it by emulation; `assembly`: it is a core that has them.

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
        ways = (way for way in LOWERINGS[operator.op] if (dsp or not way.dsp) and (assembly or not way.assembly))
        lowering = next(way for way in ways if way.suits(graph, operator))
        layers.append(
            Layer(name, operator, lowering.kernel(graph, operator), lowering.constants, multiply_accumulates(graph, operator), exit_index)
        )
    if exits:
        raise ModelError("an exit of the model is not computed by any operator of its own")
    return Program(graph, tuple(layers))


def _exits_by_tensor(graph: Graph) -> dict[int, int]:
    count = len(graph.exits) if graph.exits else 0
    by_tensor = {graph.storage(tensor): index for index, tensor in enumerate(graph.outputs[:count])}
    if len(by_tensor) != count:
        raise ModelError("two exits of the model are the same tensor")
    return by_tensor
