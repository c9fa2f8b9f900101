"""The graph that the firmware would make of a network, known before any weight exists: every shape, no value."""

from __future__ import annotations

from functools import lru_cache

from hilnas.firmware.graph import (
    Activated,
    Activation,
    Attributes,
    Convolution,
    Graph,
    Operator,
    Padding,
    Quantization,
    Reduction,
    Tensor,
    placeholder,
)
from hilnas.nas.network import ADD, CONV, DENSE, DEPTHWISE, INPUT, Layer, Network
from hilnas.tflite.exits import named_exits

_ANY_SCALE = Quantization((1.0,), (0,))


def weightless_graph(network: Network) -> Graph:
    """The graph of the .tflite file that `network` is exported to, constants being placeholders of their shape.

    Tensors of unknown quantisation have scale 1: nothing that depends on values can be told from the graph.
    """
    tensors = [Tensor("input", (1, *network.input_shape), "int8", _ANY_SCALE)]
    made = {INPUT: 0}
    operators = []
    for layer in network.layers:
        constants, attributes = _constants(layer), _attributes(layer)
        first = len(tensors)
        shape = (1, *layer.output_shape)
        tensors += [*constants, Tensor(layer.name, shape, "int8", _ANY_SCALE)]
        made[layer.name] = len(tensors) - 1
        inputs = (*(made[name] for name in layer.inputs), *range(first, first + len(constants)))
        operators.append(Operator(layer.op, inputs, (made[layer.name],), attributes))
    exits = named_exits(network.thresholds)
    return Graph(
        tensors=tuple(tensors),
        operators=tuple(operators),
        inputs=(0,),
        outputs=tuple(made[name] for name in network.outputs),
        input_names=("input",),
        output_names=exits.output_names,
        exits=exits,
    )


# Networks of one space share layers: the same name, the same shapes.
@lru_cache(maxsize=4096)
def _constants(layer: Layer) -> tuple[Tensor, ...]:
    """Weights and bias in TensorFlow Lite's layout; the axes of a MEAN."""
    inputs, outputs, kernel = layer.input_shape[-1], layer.output_shape[-1], layer.kernel
    if layer.op == ADD:
        return ()
    if layer.op in (CONV, DEPTHWISE, DENSE):
        shape = {CONV: (outputs, kernel, kernel, inputs), DEPTHWISE: (1, kernel, kernel, outputs), DENSE: (outputs, inputs)}[layer.op]
        axis = 3 if layer.op == DEPTHWISE else 0
        per_channel = Quantization((1.0,) * outputs, (0,) * outputs, axis)
        weights = Tensor(f"{layer.name}.weights", shape, "int8", per_channel, placeholder(shape))
        bias = Tensor(f"{layer.name}.bias", (outputs,), "int32", per_channel, placeholder((outputs,), "int32"))
        return (weights, bias)
    return (Tensor(f"{layer.name}.axes", (2,), "int32", None, placeholder((2,), "int32")),)


@lru_cache(maxsize=4096)
def _attributes(layer: Layer) -> Attributes:
    activation: Activation = "RELU6" if layer.relu6 else "NONE"
    if layer.op in (CONV, DEPTHWISE):
        return Convolution((layer.stride, layer.stride), _same_padding(layer), activation=activation)
    if layer.op in (ADD, DENSE):
        return Activated(activation)
    return Reduction((1, 2))


def _same_padding(layer: Layer) -> Padding:
    """TensorFlow's SAME: an odd padding has its larger half below and right."""
    height, width = (
        max((outputs - 1) * layer.stride + layer.kernel - size, 0)
        for size, outputs in zip(layer.input_shape[:2], layer.output_shape[:2], strict=True)
    )
    return Padding(height // 2, height - height // 2, width // 2, width - width // 2)
