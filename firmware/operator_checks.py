"""What is wrong with an operator whose arguments have the right types, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import cast

import numpy as np

from hilnas.firmware.graph import (
    Convolution,
    Graph,
    Movement,
    Operator,
    Pad,
    Padding,
    Permutation,
    Pooling,
    Reduction,
    Resize,
    Softmax,
    Svdf,
    Tensor,
)
from hilnas.firmware.movement import collapsed, strides_of
from hilnas.firmware.operator_attributes import dilated, window_outputs


def _output_is(tensor: Tensor, expected: tuple[int, ...]) -> Iterator[str]:
    if tensor.shape != expected:
        yield f"output {tensor.name!r} has shape {list(tensor.shape)}, it should be {list(expected)}"


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
    if depthwise and (weights.shape[0] != 1 or channels % image.shape[3]):
        yield f"weights {list(weights.shape)} do not fit {image.shape[3]} input channels"
    if not depthwise and (image.shape[3] % weights.shape[3] or channels % (image.shape[3] // weights.shape[3])):
        yield f"weights {list(weights.shape)} do not divide {image.shape[3]} input channels into groups"
    extent = (dilated(weights.shape[1], attributes.dilations[0]), dilated(weights.shape[2], attributes.dilations[1]))
    rows, columns = _image_windows(image, attributes.padding, extent, attributes.strides)
    yield from _output_is(output, (image.shape[0], rows, columns, channels))
    yield from _weights_are_symmetric(weights, channels)
    yield from _bias_fits(graph, operator, channels)
    yield from _scales_agree(_weighted_ratios(graph, operator))


def pooling_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of AVERAGE_POOL_2D and MAX_POOL_2D."""
    image, output = graph.input_of(operator), graph.output_of(operator)
    attributes = cast("Pooling", operator.attributes)
    rows, columns = _image_windows(image, attributes.padding, attributes.window, attributes.strides)
    yield from _output_is(output, (image.shape[0], rows, columns, image.shape[3]))
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


def elementwise_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of operators on two tensors, one of which may be repeated along some axes."""
    first, second, output = graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator)
    try:
        shape = np.broadcast_shapes(first.shape, second.shape)
    except ValueError:
        yield f"shapes {list(first.shape)} and {list(second.shape)} do not fit each other"
        return
    yield from _output_is(output, shape)
    if len(broadcast_axes(output.shape, first.shape, second.shape)[0]) > 4:
        yield f"shapes {list(first.shape)} and {list(second.shape)} repeat each other along too many axes"


def broadcast_axes(output: tuple[int, ...], *shapes: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The sizes of the fewest axes of an output, and for each of its operands the strides along them, 0 where it is repeated."""
    strides = []
    for shape in shapes:
        full = (1,) * (len(output) - len(shape)) + shape
        strides.append([stride if size > 1 else 0 for stride, size in zip(strides_of(full), full, strict=True)])
    return collapsed(output, *strides)


def add_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of ADD and SUB."""
    first, second, output = graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator)
    yield from elementwise_problems(graph, operator)
    # The sum's scale has 20 bits of headroom, and its multiplier must be below 1.
    if max(_scale(first), _scale(second)) >= 2.0**19 * _scale(output):
        yield "the scales of its inputs and of its output are too far apart"


def multiply_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of MUL."""
    first, second, output = graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator)
    yield from elementwise_problems(graph, operator)
    yield from _scales_agree([2 * _scale(first) * _scale(second) / _scale(output)])


def unary_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of activations."""
    values, output = graph.input_of(operator), graph.output_of(operator)
    yield from same_elements(graph, operator)
    yield from _scales_agree([_scale(values) / _scale(output), 2**-8 / _scale(output)])
    fixed = {"LOGISTIC": (1 / 256,), "LOG_SOFTMAX": (1 / 16,)}.get(operator.op)
    if fixed is not None and _scale(output) not in fixed:
        yield f"output must have scale {fixed[0]}"


def hard_swish_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of HARD_SWISH."""
    values, output = graph.input_of(operator), graph.output_of(operator)
    yield from same_elements(graph, operator)
    # The reference works with 16 bits, of which seven are below the input's step.
    if _scale(values) >= 128 * _scale(output) or _scale(values) < 2**-12 * _scale(output) or not 2**-16 < _scale(values) < 2**10:
        yield "the scales of its input and of its output are too far apart"


def log_softmax_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of LOG_SOFTMAX."""
    values, output = graph.input_of(operator), graph.output_of(operator)
    yield from _output_is(output, values.shape)
    if _scale(output) != 1 / 16 or output.quantization is None or output.quantization.zero_point != 127:
        yield "output must have scale 1/16 and zero point 127"
    yield from _exponents_fit(values, 1.0, 2048)


def _exponents_fit(values: Tensor, beta: float, most: int) -> Iterator[str]:
    if not values.shape or values.shape[-1] > most:
        yield f"a scalar or more than {most} classes are not supported"
    if beta * _scale(values) * 2.0**26 <= 1:
        yield "the scale of its input is too small"


def resize_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR."""
    image, output = graph.input_of(operator), graph.output_of(operator)
    if image.shape[0] != output.shape[0] or image.shape[3] != output.shape[3]:
        yield f"output {list(output.shape)} differs from input {list(image.shape)} in more than its size"
    if max(*image.shape[1:3], *output.shape[1:3]) > 2**11:
        yield "images of more than 2048 rows or columns are not supported"
    attributes = cast("Resize", operator.attributes)
    if attributes.align_corners and attributes.half_pixel_centers:
        yield "aligned corners and half-pixel centres exclude each other"
    yield from _same_quantization(graph, operator)


def transposed_convolution_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of TRANSPOSE_CONV."""
    image, weights, output = graph.input_of(operator), graph.input_of(operator, 1), graph.output_of(operator)
    if image.shape[0] != output.shape[0] or weights.shape[3] != image.shape[3] or weights.shape[0] != output.shape[3]:
        yield f"weights {list(weights.shape)} do not fit input {list(image.shape)} and output {list(output.shape)}"
    yield from _weights_are_symmetric(weights, weights.shape[0])
    yield from _bias_fits(graph, operator, weights.shape[0])
    yield from _scales_agree(_weighted_ratios(graph, operator))


def _reduction_shape(graph: Graph, operator: Operator) -> Iterator[str]:
    image, output = graph.input_of(operator), graph.output_of(operator)
    axes = cast("Reduction", operator.attributes).axes
    kept = [size for axis, size in enumerate(image.shape) if axis not in axes]
    if output.elements != prod(kept):
        yield f"output {list(output.shape)} is not input {list(image.shape)} without axes {list(axes)}"
    if prod(image.shape[axis] for axis in axes) > 2**20:
        yield "more than 2^20 elements to one are not supported"


def mean_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of MEAN."""
    yield from _reduction_shape(graph, operator)
    yield from _scales_agree([_scale(graph.input_of(operator)) / _scale(graph.output_of(operator))])


def extremum_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of REDUCE_MAX and REDUCE_MIN."""
    yield from _reduction_shape(graph, operator)
    yield from _same_quantization(graph, operator)


def pad_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of PAD."""
    image, output = graph.input_of(operator), graph.output_of(operator)
    pad = cast("Pad", operator.attributes)
    shape = tuple(size + before + after for size, before, after in zip(image.shape, pad.before, pad.after, strict=True))
    yield from _output_is(output, shape)
    yield from _same_quantization(graph, operator)


def movement_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of operators that move elements: their shapes have been checked when the movement was worked out."""
    moved = {block.source for block in cast("Movement", operator.attributes).blocks}
    types = {graph.input_of(operator, position).dtype for position in moved} | {graph.tensors[i].dtype for i in operator.outputs}
    if len(types) > 1:
        yield f"inputs and outputs have different types: {', '.join(sorted(types))}"


def permutation_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of TRANSPOSE."""
    image, output = graph.input_of(operator), graph.output_of(operator)
    yield from _output_is(output, tuple(image.shape[axis] for axis in cast("Permutation", operator.attributes).axes))
    yield from _same_quantization(graph, operator)


def quantize_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of QUANTIZE."""
    source, result = graph.input_of(operator), graph.output_of(operator)
    yield from same_elements(graph, operator)
    if result.quantization is None:
        yield f"values {result.name!r} has no scale"
    if source.quantization is not None:
        yield from _scales_agree([_scale(source) / _scale(result)])


def nothing_wrong(_graph: Graph, _operator: Operator) -> Iterator[str]:
    """Of an operator that cannot be wrong."""
    return iter(())


def same_elements(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of DEQUANTIZE, and of whatever keeps the number of elements."""
    if graph.input_of(operator).elements != graph.output_of(operator).elements:
        yield f"input {list(graph.input_of(operator).shape)} and output {list(graph.output_of(operator).shape)} differ in size"


def _same_quantization(graph: Graph, operator: Operator) -> Iterator[str]:
    if graph.input_of(operator).quantization != graph.output_of(operator).quantization:
        yield "input and output have different scales or zero points"


def reshape_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of RESHAPE, SQUEEZE and EXPAND_DIMS."""
    yield from same_elements(graph, operator)
    if graph.input_of(operator).dtype != graph.output_of(operator).dtype:
        yield "input and output have different types"


def softmax_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of SOFTMAX."""
    values, output = graph.input_of(operator), graph.output_of(operator)
    yield from _output_is(output, values.shape)
    scale, zero_point = (1 / 256, -128) if output.dtype == "int8" else (1 / 65536, -32768)
    assert output.quantization is not None
    if abs(output.quantization.scale / scale - 1) > 1e-3 or output.quantization.zero_point != zero_point:
        yield f"output must have scale {scale} and zero point {zero_point}"
    yield from _exponents_fit(values, cast("Softmax", operator.attributes).beta, 4096)


def svdf_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of SVDF."""
    values, features, times, state = (graph.input_of(operator, position) for position in (0, 1, 2, 4))
    output = graph.output_of(operator)
    rank = cast("Svdf", operator.attributes).rank
    filters = features.shape[0]
    if not state.variable:
        yield "its state must be a variable tensor"
    if state.dtype != times.dtype:
        yield f"state of {state.dtype} and time weights of {times.dtype} differ in type"
    if state.dtype == "int16" and state.quantization is not None and state.quantization.zero_point:
        yield "a state of int16 with a zero point other than 0 is not supported"
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


def lstm_problems(graph: Graph, operator: Operator) -> Iterator[str]:
    """Of UNIDIRECTIONAL_SEQUENCE_LSTM."""
    values, output, hidden, cells = (graph.input_of(operator), graph.output_of(operator), *lstm_state(graph, operator))
    count, depth = cells.elements, values.shape[-1]
    if output.shape != (*values.shape[:-1], count) or hidden.elements != count:
        yield f"output {list(output.shape)} does not fit input {list(values.shape)} and {count} cells"
    if not (hidden.variable and cells.variable):
        yield "its states must be variable tensors"
    for position in range(4):
        weights, recurrent = graph.input_of(operator, 1 + position), graph.input_of(operator, 5 + position)
        if (
            weights.shape != (count, depth)
            or recurrent.shape != (count, count)
            or graph.input_of(operator, 12 + position).elements != count
        ):
            yield f"weights {list(weights.shape)} and {list(recurrent.shape)} do not fit {depth} inputs and {count} cells"
        yield from _weights_are_symmetric(weights, count)
        yield from _weights_are_symmetric(recurrent, count)
        yield from _scales_agree([_scale(values) * _scale(weights) * 2**12, _scale(hidden) * _scale(recurrent) * 2**12])
    if _scale(cells) not in [2.0**exponent for exponent in range(-15, -8)] or (cells.quantization and cells.quantization.zero_point):
        yield "its cells must have a scale that is a power of two from 2^-15 to 2^-9, and zero point 0"


def lstm_state(graph: Graph, operator: Operator) -> tuple[Tensor, Tensor]:
    """The hidden values and the cells of an LSTM."""
    return graph.input_of(operator, 18), graph.input_of(operator, 19)
