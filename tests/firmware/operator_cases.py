"""Hypothesis strategies for operators. Each adds one operator with random shapes and quantisation to a model under construction and
returns its inputs and outputs, so that one model, compiled once, holds many cases."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from case_strategies import Case, Draw, Edges, activations, random_weights, scales, seeds, shapes, sizes, zero_points
from movement_cases import arrangement, movement
from tflite_builder import ModelBuilder


def placed(size: int, extent: int, stride: int, same: bool) -> int:
    """How many places a window takes."""
    return -(-size // stride) if same else (size - extent) // stride + 1


@st.composite
def convolution(draw: Draw, builder: ModelBuilder, depthwise: bool = False, grouped: bool = False) -> Edges:
    """One convolution, sometimes behind a PAD, sometimes of a batch."""
    batch, height, width = draw(st.sampled_from([1, 1, 1, 2, 3])), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    window, strides = (draw(st.integers(1, 5)), draw(st.integers(1, 5))), (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilations = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 2)])) if strides == (1, 1) else (1, 1)
    groups = draw(st.integers(2, 4)) if grouped else 1
    channels = draw(st.sampled_from([1, 2, 3, 4, 5, 8, 12])) * groups
    multiplier = draw(st.sampled_from([1, 1, 1, 2, 3])) if depthwise else 1
    filters = channels * multiplier if depthwise else draw(st.sampled_from([1, 2, 3, 4, 7, 8])) * groups
    pads = draw(st.sampled_from([None, None, (1, 1, 1, 1), (0, 2, 1, 0)]))
    rng = np.random.default_rng(draw(seeds))
    scale, point = draw(st.floats(0.002, 0.2)), draw(zero_points)
    image = entry = builder.tensor((batch, height, width, channels), scale=scale, zero_point=point)
    if pads:
        height, width = height + pads[0] + pads[1], width + pads[2] + pads[3]
        image = builder.tensor((batch, height, width, channels), scale=scale, zero_point=point)
        builder.operator("PAD", [entry, builder.constant([(0, 0), pads[:2], pads[2:], (0, 0)])], [image])
    extent = [(taps - 1) * dilation + 1 for taps, dilation in zip(window, dilations, strict=True)]
    same = draw(st.booleans()) or extent[0] > height or extent[1] > width
    result = [placed(size, reach, stride, same) for size, reach, stride in zip((height, width), extent, strides, strict=True)]
    depth = 1 if depthwise else channels // groups
    out_scale = draw(st.floats(0.002, 0.2))
    spread = rng.uniform(0.5, 2.0, filters) if draw(st.booleans()) else np.ones(1)
    gain = draw(st.floats(0.01, 8.0)) / (127 * np.sqrt(window[0] * window[1] * depth))
    weight_scales = (out_scale / scale * gain * spread).astype(np.float32)
    shape = (1, *window, filters) if depthwise else (filters, *window, depth)
    filter_ = builder.tensor(shape, scale=weight_scales, data=random_weights(rng, shape), axis=3 if depthwise else 0)
    bias = builder.tensor((filters,), "int32", scale=np.float32(scale) * weight_scales, data=rng.integers(-9000, 9000, filters))
    out = builder.tensor((batch, *result, filters), scale=out_scale, zero_point=draw(zero_points))
    options = {"strideH": strides[0], "strideW": strides[1], "dilationHFactor": dilations[0], "dilationWFactor": dilations[1]}
    options |= {"padding": 0 if same else 1, "fusedActivationFunction": draw(activations)}
    if depthwise:
        options["depthMultiplier"] = multiplier
    builder.operator("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [image, filter_, bias], [out], **options)
    return [entry], [out]


@st.composite
def transposed_convolution(draw: Draw, builder: ModelBuilder) -> Edges:
    batch, height, width, channels, filters = draw(st.integers(1, 2)), draw(sizes), draw(sizes), draw(sizes), draw(sizes)
    window, strides = (draw(st.integers(1, 4)), draw(st.integers(1, 4))), (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    same = draw(st.booleans())
    result = [
        size * stride if same else size * stride + max(extent - stride, 0)
        for size, stride, extent in zip((height, width), strides, window, strict=True)
    ]
    rng = np.random.default_rng(draw(seeds))
    scale, out_scale = draw(st.floats(0.002, 0.2)), draw(st.floats(0.002, 0.2))
    spread = rng.uniform(0.5, 2.0, filters) if draw(st.booleans()) else np.ones(1)
    gain = draw(st.floats(0.1, 8.0)) / (127 * np.sqrt(window[0] * window[1] * channels))
    weight_scales = (out_scale / scale * gain * spread).astype(np.float32)
    image = builder.tensor((batch, height, width, channels), scale=scale, zero_point=draw(zero_points))
    shape = (filters, *window, channels)
    inputs = [
        builder.constant([batch, *result, filters]),
        builder.tensor(shape, scale=weight_scales, data=random_weights(rng, shape)),
        image,
    ]
    if draw(st.booleans()):
        data = rng.integers(-9000, 9000, filters)
        inputs.append(builder.tensor((filters,), "int32", scale=np.float32(scale) * weight_scales, data=data))
    out = builder.tensor((batch, *result, filters), scale=out_scale, zero_point=draw(zero_points))
    builder.operator("TRANSPOSE_CONV", inputs, [out], strideH=strides[0], strideW=strides[1], padding=0 if same else 1)
    return [image], [out]


@st.composite
def fully_connected(draw: Draw, builder: ModelBuilder) -> Edges:
    depth, channels, rows = draw(st.integers(1, 70)), draw(st.integers(1, 9)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(seeds))
    scale, out_scale = draw(st.floats(0.002, 0.2)), draw(st.floats(0.002, 0.2))
    values = builder.tensor((rows, depth), scale=scale, zero_point=draw(zero_points))
    spread = rng.uniform(0.5, 2.0, channels) if draw(st.booleans()) else np.ones(1)
    weight_scales = (out_scale * spread * draw(st.floats(1e-4, 8.0)) / (scale * 127 * np.sqrt(depth))).astype(np.float32)
    filter_ = builder.tensor((channels, depth), scale=weight_scales, data=random_weights(rng, (channels, depth)))
    inputs = [values, filter_]
    if draw(st.booleans()):
        limit = int(min(100 * out_scale / (scale * weight_scales.min()), 2**30))
        bias = rng.integers(-limit, limit + 1, channels)
        inputs.append(builder.tensor((channels,), "int32", scale=np.float32(scale) * weight_scales, data=bias))
    else:
        inputs.append(-1)
    out = builder.tensor((rows, channels), scale=out_scale, zero_point=draw(zero_points))
    builder.operator("FULLY_CONNECTED", inputs, [out], fusedActivationFunction=draw(activations))
    return [values], [out]


@st.composite
def elementwise(draw: Draw, builder: ModelBuilder) -> Edges:
    """Two tensors of one shape, or one repeated, or one a constant."""
    name = draw(st.sampled_from(["ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"]))
    shape = draw(st.one_of(shapes(1, 4), st.just((1, 256))))
    kind = draw(st.sampled_from(["equal", "first repeated", "second repeated", "shorter", "constant"]))
    repeated = tuple(size if draw(st.booleans()) else 1 for size in shape)
    first = repeated if kind == "first repeated" else shape
    second = {"second repeated": repeated, "shorter": shape[draw(st.integers(0, len(shape) - 1)) :], "constant": repeated}.get(kind, shape)
    quantised = [(draw(scales), draw(zero_points)) for _ in range(3)]
    if name in ("MAXIMUM", "MINIMUM"):
        quantised = quantised[:1] * 3
    data = np.random.default_rng(draw(seeds)).integers(-128, 128, second) if kind == "constant" else None
    a = builder.tensor(first, scale=quantised[0][0], zero_point=quantised[0][1])
    b = builder.tensor(second, scale=quantised[1][0], zero_point=quantised[1][1], data=data)
    out = builder.tensor(np.broadcast_shapes(first, second), scale=quantised[2][0], zero_point=quantised[2][1])
    operands = [b, a] if draw(st.booleans()) else [a, b]
    options = {"fusedActivationFunction": draw(activations)} if name in ("ADD", "SUB", "MUL") else {}
    builder.operator(name, operands, [out], **options)
    return [operand for operand in operands if data is None or operand != b], [out]


@st.composite
def unary(draw: Draw, builder: ModelBuilder) -> Edges:
    """All 256 values through one activation."""
    names = ["LOGISTIC", "TANH", "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LEAKY_RELU", "HARD_SWISH"]
    name = draw(st.sampled_from(names))
    scale = draw(scales)
    out_scale = 1 / 256 if name == "LOGISTIC" else draw(st.floats(0.02, 50.0)) * scale
    values = builder.tensor((1, 256), scale=scale, zero_point=draw(zero_points))
    out = builder.tensor((1, 256), scale=out_scale, zero_point=draw(zero_points))
    builder.operator(name, [values], [out], **({"alpha": draw(st.floats(0.0, 2.0))} if name == "LEAKY_RELU" else {}))
    return [values], [out]


@st.composite
def pooling(draw: Draw, builder: ModelBuilder) -> Edges:
    batch, height, width, channels = (
        draw(st.integers(1, 2)),
        draw(st.integers(1, 8)),
        draw(st.integers(1, 8)),
        draw(st.sampled_from([1, 3, 4, 6, 8])),
    )
    window, strides = (draw(st.integers(1, height)), draw(st.integers(1, width))), (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    same = draw(st.booleans())
    result = [placed(size, extent, stride, same) for size, extent, stride in zip((height, width), window, strides, strict=True)]
    scale, point = draw(scales), draw(zero_points)
    image = builder.tensor((batch, height, width, channels), scale=scale, zero_point=point)
    out = builder.tensor((batch, *result, channels), scale=scale, zero_point=point)
    options = {"filterHeight": window[0], "filterWidth": window[1], "strideH": strides[0], "strideW": strides[1]}
    options |= {"padding": 0 if same else 1, "fusedActivationFunction": draw(activations)}
    builder.operator(draw(st.sampled_from(["AVERAGE_POOL_2D", "MAX_POOL_2D"])), [image], [out], **options)
    return [image], [out]


@st.composite
def reduction(draw: Draw, builder: ModelBuilder) -> Edges:
    shape = draw(shapes(1, 5))
    axes = draw(st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, max_size=len(shape), unique_by=lambda a: a % len(shape)))
    name = draw(st.sampled_from(["MEAN", "MEAN", "REDUCE_MAX", "REDUCE_MIN"]))
    keep, same = draw(st.booleans()), draw(st.booleans()) or name != "MEAN"
    reduced = {axis % len(shape) for axis in axes}
    result = [1 if axis in reduced else size for axis, size in enumerate(shape) if keep or axis not in reduced]
    scale, point = draw(scales), draw(zero_points)
    image = builder.tensor(shape, scale=scale, zero_point=point)
    out_scale = scale if same else scale * draw(st.floats(0.05, 20.0))
    out = builder.tensor(result, scale=out_scale, zero_point=point if same else draw(zero_points))
    builder.operator(name, [image, builder.constant(axes)], [out], keepDims=keep)
    return [image], [out]


@st.composite
def softmax(draw: Draw, builder: ModelBuilder) -> Edges:
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 40)))
    values = builder.tensor(shape, scale=draw(st.floats(1e-4, 4.0)), zero_point=draw(zero_points))
    if draw(st.booleans()):
        out = builder.tensor(shape, "int16", scale=1 / 65536, zero_point=-32768)
    else:
        out = builder.tensor(shape, scale=1 / 256, zero_point=-128)
    builder.operator("SOFTMAX", [values], [out], beta=draw(st.sampled_from([1.0, 0.5, 10.0])))
    return [values], [out]


@st.composite
def log_softmax(draw: Draw, builder: ModelBuilder) -> Edges:
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 40)))
    values = builder.tensor(shape, scale=draw(st.floats(1e-4, 4.0)), zero_point=draw(zero_points))
    out = builder.tensor(shape, scale=1 / 16, zero_point=127)
    builder.operator("LOG_SOFTMAX", [values], [out])
    return [values], [out]


@st.composite
def svdf(draw: Draw, builder: ModelBuilder, state: str = "int16") -> Edges:
    """A filter over time, which keeps a state."""
    rank, units, depth, steps = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 12)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(seeds))
    filters = rank * units
    scale, features_scale, times_scale = draw(st.floats(0.002, 0.2)), draw(st.floats(0.001, 0.1)), draw(st.floats(1e-5, 1e-3))
    largest = 127 if state == "int8" else 32767
    state_scale = float(np.float32(scale * features_scale * 127 * 64 * np.sqrt(depth) / largest * draw(st.floats(0.1, 4.0))))
    values = builder.tensor((1, depth), scale=scale, zero_point=draw(zero_points))
    features = builder.tensor((filters, depth), scale=features_scale, data=random_weights(rng, (filters, depth)))
    heaviest = min(largest, 60_000 // (steps * rank))  # beyond, the reference's sum overflows
    times_data = rng.integers(-heaviest, heaviest + 1, (filters, steps))
    times = builder.tensor((filters, steps), state, scale=times_scale, data=times_data)
    bias = builder.tensor((units,), "int32", scale=state_scale * times_scale, data=rng.integers(-9000, 9000, units))
    point = draw(zero_points) if state == "int8" else 0
    history = builder.tensor((1, filters * steps), state, scale=state_scale, zero_point=point, variable=True)
    out_scale = state_scale * times_scale * largest * heaviest / 256 * draw(st.floats(0.1, 10.0))
    out = builder.tensor((1, units), scale=out_scale, zero_point=draw(zero_points))
    builder.operator("SVDF", [values, features, times, bias, history], [out], rank=rank, fusedActivationFunction=1)
    return [values], [out]


@st.composite
def lstm(draw: Draw, builder: ModelBuilder) -> Edges:
    """A few steps of an LSTM, which keeps its hidden values and cells."""
    steps, depth, cells = draw(st.integers(1, 4)), draw(st.integers(1, 8)), draw(st.integers(1, 6))
    time_major = draw(st.booleans())
    rng = np.random.default_rng(draw(seeds))
    scale, hidden_scale, hidden_point = draw(st.floats(0.002, 0.2)), draw(st.floats(0.002, 0.01)), draw(zero_points)
    values = builder.tensor((steps, 1, depth) if time_major else (1, steps, depth), scale=scale, zero_point=draw(zero_points))
    matrices = []
    for source_scale, width in ((scale, depth), (hidden_scale, cells)):
        for _ in range(4):
            matrix_scale = draw(st.floats(0.2, 8.0)) / (source_scale * 127 * 64 * np.sqrt(width))
            matrices.append(builder.tensor((cells, width), scale=matrix_scale, data=random_weights(rng, (cells, width))))
    biases = [builder.tensor((cells,), "int32", scale=1e-4, data=rng.integers(-5000, 5000, cells)) for _ in range(4)]
    hidden = builder.tensor((1, cells), scale=hidden_scale, zero_point=hidden_point, variable=True)
    memory = builder.tensor((1, cells), "int16", scale=2.0 ** draw(st.integers(-15, -9)), variable=True)
    shape = (steps, 1, cells) if time_major else (1, steps, cells)
    out = builder.tensor(shape, scale=hidden_scale, zero_point=hidden_point)
    gates = [builder.tensor((0,), "int16", scale=2.0**-12) for _ in range(4)]
    gates.append(builder.tensor((0,), scale=hidden_scale, zero_point=hidden_point))
    inputs = [values, *matrices, -1, -1, -1, *biases, -1, -1, hidden, memory, -1, -1, -1, -1]
    options = {"fusedActivationFunction": 4, "cellClip": draw(st.sampled_from([0.0, 0.5, 10.0])), "timeMajor": time_major}
    builder.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [out], gates, **options)
    return [values], [out]


@st.composite
def rescaling(draw: Draw, builder: ModelBuilder) -> Edges:
    source, result = draw(st.sampled_from([("int8", "int8"), ("int16", "int8"), ("int16", "int32")]))
    scale = draw(st.floats(0.002, 0.2)) / (256 if source == "int16" else 1)
    values = builder.tensor((1, 256), source, scale=scale, zero_point=draw(zero_points) if source == "int8" else 0)
    out = builder.tensor((1, 256), result, scale=draw(st.floats(0.002, 0.2)), zero_point=draw(zero_points))
    builder.operator("QUANTIZE", [values], [out])
    return [values], [out]


@st.composite
def resizing(draw: Draw, builder: ModelBuilder) -> Edges:
    name = draw(st.sampled_from(["RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"]))
    batch, channels, result = draw(st.integers(1, 2)), draw(sizes), [draw(st.integers(1, 16)), draw(st.integers(1, 16))]
    scale, point = draw(scales), draw(zero_points)
    image = builder.tensor((batch, draw(st.integers(1, 8)), draw(st.integers(1, 8)), channels), scale=scale, zero_point=point)
    out = builder.tensor((batch, *result, channels), scale=scale, zero_point=point)
    align, centers = draw(st.sampled_from([(False, False), (True, False), (False, True)]))
    builder.operator(name, [image, builder.constant(result)], [out], alignCorners=align, halfPixelCenters=centers)
    return [image], [out]


CASES: dict[str, Case] = {
    "convolution": convolution,
    "depthwise convolution": lambda builder: convolution(builder, depthwise=True),
    "grouped convolution": lambda builder: convolution(builder, grouped=True),
    "transposed convolution": transposed_convolution,
    "fully connected": fully_connected,
    "elementwise": elementwise,
    "unary": unary,
    "pooling": pooling,
    "reduction": reduction,
    "softmax": softmax,
    "log softmax": log_softmax,
    "svdf": svdf,
    "lstm": lstm,
    "rescaling": rescaling,
    "resizing": resizing,
    "movement": movement,
    "arrangement": arrangement,
}


@st.composite
def models(draw: Draw, kinds: Sequence[str], most: int) -> bytes:
    """Up to `most` operators side by side, and a REVERSE_V2, so that something is computed in any case."""
    builder = ModelBuilder()
    inputs, outputs = [builder.tensor((2,), scale=1.0)], [builder.tensor((2,), scale=1.0)]
    builder.operator("REVERSE_V2", [*inputs, builder.constant([0])], outputs)
    for _ in range(draw(st.integers(1, most))):
        entries, results = draw(CASES[draw(st.sampled_from(kinds))](builder))
        inputs += entries
        outputs += results
    return builder.build(inputs, outputs)
