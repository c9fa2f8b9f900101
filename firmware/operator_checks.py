"""What is wrong with an operator whose arguments have the right types, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import cast

from hilnas.firmware.graph import Convolution, Graph, Operator, Pad, Padding, Permutation, Pooling, Reduction, Svdf, Tensor
from hilnas.firmware.operator_attributes import dilated, window_outputs


def _shape_is(tensor: Tensor, expected: tuple[int, ...], what: str = "output") -> Iterator[str]:
    if tensor.shape != expected:
        yield f"{what} {tensor.name!r} has shape {list(tensor.shape)}, it should be {list(expected)}"


def _weights_are_symmetric(weights: Tensor, channels: int) -> Iterator[str]:
    quantization = weights.quantization
    assert quantization is not None
    if any(quantization.zero_points):
        yield "weights with a zero point other than 0 are not supported"
    if len(quantization.scales) not in (1, channels):
        yield f"weights have {len(quantization.scales)} scales for {channels} channels"
    if quantization.per_channel and quantization.axis != weights.shape.index(channels) and weights.shape[quantization.axis] != channels:
        yield f"weights are quantised along axis {quantization.axis}, which is not the output channel"


MAX_RATIO = 2.0**15
"""Of scales: an accumulator of 1 is then far outside of int8."""


def _scales_agree(ratios: Iterable[float]) -> Iterator[str]:
    """Real files stay below 1; far above, the reference kernels overflow."""
    if any(ratio > MAX_RATIO for ratio in ratios):
        yield "the scales of its inputs and of its output are too far apart"


def _scale(tensor: Tensor) -> float:
    return tensor.quantization.scale if tensor.quantization else 1.0


def _weighted_ratios(graph: Graph, operator: Operator) -> Iterator[float]:
    weights = graph.input_of(operator, 1).quantization
    assert weights is not None
    return (_scale(graph.input_of(operator)) * scale / _scale(graph.output_of(operator)) for scale in weights.scales)


def _bias_fits(graph: Graph, operator: Operator, channels: int) -> Iterator[str]:
    bias = graph.argument(operator, 2)
    if bias is not None and bias.elements != channels:
        yield f"bias has {bias.elements} values for {channels} channels"


def _image_windows(image: Tensor, padding: Padding, extent: tuple[int, int], strides: tuple[int, int]) -> tuple[int, int]:
    return (
        window_outputs(image.shape[1], padding.top, padding.bottom, extent[0], strides[0]),
        window_outputs(image.shape[2], padding.left, padding.right, extent[1], strides[1]),
    )


def convolution_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of CONV_2D and DEPTHWISE_CONV_2D."""
    image, weights, output = graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator)
    attributes = cast("Convolution", operator.attributes)
    depthwise = operator.op == "DEPTHWISE_CONV_2D"
    channels = weights.shape[3] if depthwise else weights.shape[0]
    if image.shape[0] != 1:
        yield "a batch other than 1 is not supported"
    if depthwise and (weights.shape[0] != 1 or channels % image.shape[3]):
        yield f"weights {list(weights.shape)} do not fit {image.shape[3]} input channels"
    if not depthwise and weights.shape[3] != image.shape[3]:
        yield f"weights for {weights.shape[3]} input channels on {image.shape[3]} (grouped convolution is not supported)"
    extent = (dilated(weights.shape[1], attributes.dilations[0]), dilated(weights.shape[2], attributes.dilations[1]))
    rows, columns = _image_windows(image, attributes.padding, extent, attributes.strides)
    yield from _shape_is(output, (image.shape[0], rows, columns, channels))
    yield from _weights_are_symmetric(weights, channels)
    yield from _bias_fits(graph, operator, channels)
    yield from _scales_agree(_weighted_ratios(graph, operator))


def pooling_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of AVERAGE_POOL_2D and MAX_POOL_2D."""
    image, output = graph.input_of(operator), graph.output_of(operator)
    attributes = cast("Pooling", operator.attributes)
    if image.shape[0] != 1:
        yield "a batch other than 1 is not supported"
    rows, columns = _image_windows(image, attributes.padding, attributes.window, attributes.strides)
    yield from _shape_is(output, (image.shape[0], rows, columns, image.shape[3]))
    yield from _same_quantization(graph, operator)


def fully_connected_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of FULLY_CONNECTED."""
    values, weights, output = graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator)
    channels, depth = weights.shape
    if values.elements % depth or output.elements != values.elements // depth * channels:
        yield f"weights {list(weights.shape)} do not fit input {list(values.shape)} and output {list(output.shape)}"
    yield from _weights_are_symmetric(weights, channels)
    yield from _bias_fits(graph, operator, channels)
    yield from _scales_agree(_weighted_ratios(graph, operator))


def add_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of ADD."""
    first, second, output = graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator)
    if not first.shape == second.shape == output.shape:
        yield f"shapes {list(first.shape)} and {list(second.shape)} differ (broadcasting is not supported)"
    # The sum's scale has 20 bits of headroom, and its multiplier must be below 1.
    if max(_scale(first), _scale(second)) >= 2.0**19 * _scale(output):
        yield "the scales of its inputs and of its output are too far apart"


def reduction_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of MEAN."""
    image, output = graph.input_of(operator), graph.output_of(operator)
    axes = cast("Reduction", operator.attributes).axes
    yield from _scales_agree([_scale(image) / _scale(output)])
    kept = [size for axis, size in enumerate(image.shape) if axis not in axes]
    if output.elements != prod(kept):
        yield f"output {list(output.shape)} is not input {list(image.shape)} without axes {list(axes)}"
    if not axes or axes != tuple(range(axes[0], axes[-1] + 1)):
        yield f"axes {list(axes)} are not neighbours"
    elif prod(image.shape[axis] for axis in axes) > 2**20:
        yield "a mean over more than 2^20 elements is not supported"


def pad_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of PAD."""
    image, output = graph.input_of(operator), graph.output_of(operator)
    pad = cast("Pad", operator.attributes)
    shape = tuple(size + before + after for size, before, after in zip(image.shape, pad.before, pad.after, strict=True))
    yield from _shape_is(output, shape)
    yield from _same_quantization(graph, operator)


def permutation_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of TRANSPOSE."""
    image, output = graph.input_of(operator), graph.output_of(operator)
    yield from _shape_is(output, tuple(image.shape[axis] for axis in cast("Permutation", operator.attributes).axes))
    yield from _same_quantization(graph, operator)


def quantize_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of QUANTIZE."""
    source, result = graph.input_of(operator), graph.output_of(operator)
    yield from same_elements(graph, operator)
    if result.quantization is None:
        yield f"values {result.name!r} has no scale"
    if source.quantization is not None:
        yield from _scales_agree([_scale(source) / _scale(result)])


def same_elements(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of DEQUANTIZE, and of whatever keeps the number of elements."""
    if graph.input_of(operator).elements != graph.output_of(operator).elements:
        yield f"input {list(graph.input_of(operator).shape)} and output {list(graph.output_of(operator).shape)} differ in size"


def _same_quantization(graph: Graph, operator: Operator) -> Iterator[str]:
    if graph.input_of(operator).quantization != graph.output_of(operator).quantization:
        yield "input and output have different scales or zero points"


def reshape_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of RESHAPE."""
    yield from same_elements(graph, operator)
    if graph.input_of(operator).dtype != graph.output_of(operator).dtype:
        yield "input and output have different types"


def softmax_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of SOFTMAX."""
    values, output = graph.input_of(operator), graph.output_of(operator)
    yield from _shape_is(output, values.shape)
    scale, zero_point = (1 / 256, -128) if output.dtype == "int8" else (1 / 65536, -32768)
    assert output.quantization is not None
    if abs(output.quantization.scale / scale - 1) > 1e-3 or output.quantization.zero_point != zero_point:
        yield f"output must have scale {scale} and zero point {zero_point}"
    if values.shape and values.shape[-1] > 4096:
        yield "more than 4096 classes are not supported"


def svdf_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of SVDF."""
    values, features, times, state = (graph.input_of(operator, position) for position in (0, 1, 2, 4))
    output = graph.output_of(operator)
    rank = cast("Svdf", operator.attributes).rank
    filters = features.shape[0]
    if not state.variable:
        yield "its state must be a variable tensor"
    if values.shape[0] != 1:
        yield "a batch other than 1 is not supported"
    if features.shape[1] != values.shape[-1] or times.shape[0] != filters or filters % rank or output.elements != filters // rank:
        sizes = [list(tensor.shape) for tensor in (features, times, values, output)]
        yield f"weights {sizes[0]} and {sizes[1]} do not fit input {sizes[2]} and output {sizes[3]}"
    if state.elements != filters * times.shape[1]:
        yield f"state {list(state.shape)} does not hold {filters} filters of {times.shape[1]} steps"
    state_scale = _scale(state)
    yield from _scales_agree([_scale(values) * _scale(features) / state_scale, state_scale * _scale(times) / _scale(output)])
    bias = graph.argument(operator, 3)
    if bias is not None and bias.elements != filters // rank:
        yield f"bias has {bias.elements} values for {filters // rank} units"
    for tensor in (features, times):
        if tensor.quantization is not None and any(tensor.quantization.zero_points):
            yield "weights with a zero point other than 0 are not supported"
