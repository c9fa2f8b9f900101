"""The generated C against TensorFlow Lite's reference kernels, byte by byte, over generated graphs. On this computer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilnas.firmware.host import build_host
from hilnas.tflite.reference import ReferenceModel

sys.path.insert(0, str(Path(__file__).parent))
from tflite_builder import ModelBuilder

Draw = Any
RELU = {0: "none", 1: "relu", 2: "relu_n1_to_1", 3: "relu6"}

scales = st.floats(0.002, 0.2)
zero_points = st.one_of(st.sampled_from([-128, 127, 0]), st.integers(-128, 127))
seeds = st.integers(0, 2**32 - 1)
activations = st.sampled_from(sorted(RELU))
thorough = settings(max_examples=25, deadline=None)


def inputs_of(reference: ReferenceModel, rng: np.random.Generator, runs: int = 8) -> list[tuple[np.ndarray, ...]]:
    """Random and extreme inputs."""
    made = []
    for run in range(runs):
        tensors = []
        for edge in reference.inputs:
            limits = np.iinfo(edge.dtype)
            values = rng.integers(limits.min, limits.max + 1, edge.shape)
            if run < 3:
                values = [
                    np.full(edge.shape, limits.min),
                    np.full(edge.shape, limits.max),
                    np.where(values < 0, limits.min, limits.max),
                ][run]
            tensors.append(values.astype(edge.dtype))
        made.append(tuple(tensors))
    return made


def assert_bit_exact(content: bytes, seed: int, dsp: bool) -> None:
    """Every byte of every output equals the reference's, for several inputs."""
    reference, model = ReferenceModel(content), build_host(content, dsp=dsp)
    for values in inputs_of(reference, np.random.default_rng(seed)):
        expected = reference.run(*values)
        outputs, _ = model.run(*values)
        for one, other in zip(expected, outputs, strict=True):
            np.testing.assert_array_equal(np.ravel(one), np.ravel(other))


def weights(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.choice([rng.integers(-127, 128, shape), rng.choice([-127, 127], shape)]).astype(np.int8)


@st.composite
def convolutions(draw: Draw, depthwise: bool) -> bytes:
    """A model of one convolution, sometimes behind a PAD."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    window = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    strides = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilations = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 2)])) if strides == (1, 1) else (1, 1)
    channels = draw(st.sampled_from([1, 2, 3, 4, 5, 8, 12]))
    multiplier = draw(st.sampled_from([1, 1, 1, 2, 3])) if depthwise else 1
    filters = channels * multiplier if depthwise else draw(st.sampled_from([1, 2, 3, 4, 7, 8]))
    pads = draw(st.sampled_from([None, None, (1, 1, 1, 1), (0, 2, 1, 0)]))
    rng = np.random.default_rng(draw(seeds))
    builder = ModelBuilder()
    scale, point = draw(scales), draw(zero_points)
    image = entry = builder.tensor((1, height, width, channels), scale=scale, zero_point=point)
    if pads:
        height, width = height + pads[0] + pads[1], width + pads[2] + pads[3]
        image = builder.tensor((1, height, width, channels), scale=scale, zero_point=point)
        builder.operator("PAD", [entry, builder.constant([(0, 0), pads[:2], pads[2:], (0, 0)])], [image])
    extent = [(taps - 1) * dilation + 1 for taps, dilation in zip(window, dilations, strict=True)]
    same = draw(st.booleans()) or extent[0] > height or extent[1] > width
    sizes = [
        -(-size // stride) if same else (size - reach) // stride + 1
        for size, reach, stride in zip((height, width), extent, strides, strict=True)
    ]
    per_channel = draw(st.booleans())
    spread = rng.uniform(0.5, 2.0, filters) if per_channel else np.ones(1)
    taps = window[0] * window[1] * (1 if depthwise else channels)
    out_scale = draw(scales)
    weight_scales = (out_scale * spread * draw(st.floats(0.5, 8.0)) / (scale * 127 * np.sqrt(taps))).astype(np.float32)
    shape = (1, *window, filters) if depthwise else (filters, *window, channels)
    filter_ = builder.tensor(shape, scale=weight_scales, data=weights(rng, shape), axis=3 if depthwise else 0)
    bias = builder.tensor((filters,), "int32", scale=np.float32(scale) * weight_scales, data=rng.integers(-9000, 9000, filters))
    out = builder.tensor((1, *sizes, filters), scale=out_scale, zero_point=draw(zero_points))
    options = {"strideH": strides[0], "strideW": strides[1], "dilationHFactor": dilations[0], "dilationWFactor": dilations[1]}
    options |= {"padding": 0 if same else 1, "fusedActivationFunction": draw(activations)}
    if depthwise:
        options["depthMultiplier"] = multiplier
    builder.operator("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [image, filter_, bias], [out], **options)
    return builder.build([entry], [out])


@st.composite
def fully_connected(draw: Draw) -> bytes:
    depth, channels, rows = draw(st.integers(1, 70)), draw(st.integers(1, 9)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(seeds))
    builder = ModelBuilder()
    scale, out_scale = draw(scales), draw(scales)
    values = builder.tensor((rows, depth), scale=scale, zero_point=draw(zero_points))
    spread = rng.uniform(0.5, 2.0, channels) if draw(st.booleans()) else np.ones(1)
    weight_scales = (out_scale * spread * draw(st.floats(1e-4, 8.0)) / (scale * 127 * np.sqrt(depth))).astype(np.float32)
    filter_ = builder.tensor((channels, depth), scale=weight_scales, data=weights(rng, (channels, depth)))
    inputs = [values, filter_]
    if draw(st.booleans()):
        limit = int(min(100 * out_scale / (scale * weight_scales.min()), 2**30))
        bias = rng.integers(-limit, limit + 1, channels)
        inputs.append(builder.tensor((channels,), "int32", scale=np.float32(scale) * weight_scales, data=bias))
    else:
        inputs.append(-1)
    out = builder.tensor((rows, channels), scale=out_scale, zero_point=draw(zero_points))
    builder.operator("FULLY_CONNECTED", inputs, [out], fusedActivationFunction=draw(activations))
    return builder.build([values], [out])


@st.composite
def additions(draw: Draw) -> bytes:
    shape = (1, 16, 16, 2)
    builder = ModelBuilder()
    first, second, out = (builder.tensor(shape, scale=draw(scales), zero_point=draw(zero_points)) for _ in range(3))
    builder.operator("ADD", [first, second], [out], fusedActivationFunction=draw(activations))
    return builder.build([first, second], [out])


@st.composite
def poolings(draw: Draw) -> bytes:
    height, width, channels = draw(st.integers(1, 8)), draw(st.integers(1, 8)), draw(st.sampled_from([1, 3, 4, 6, 8]))
    window = (draw(st.integers(1, height)), draw(st.integers(1, width)))
    strides = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    same = draw(st.booleans())
    sizes = [
        -(-size // stride) if same else (size - extent) // stride + 1
        for size, extent, stride in zip((height, width), window, strides, strict=True)
    ]
    scale, point = draw(scales), draw(zero_points)
    builder = ModelBuilder()
    image = builder.tensor((1, height, width, channels), scale=scale, zero_point=point)
    out = builder.tensor((1, *sizes, channels), scale=scale, zero_point=point)
    builder.operator(
        draw(st.sampled_from(["AVERAGE_POOL_2D", "MAX_POOL_2D"])),
        [image],
        [out],
        filterHeight=window[0],
        filterWidth=window[1],
        strideH=strides[0],
        strideW=strides[1],
        padding=0 if same else 1,
        fusedActivationFunction=draw(activations),
    )
    return builder.build([image], [out])


@st.composite
def means(draw: Draw) -> bytes:
    shape = tuple(draw(st.integers(1, 9)) for _ in range(4))
    axes = draw(st.sampled_from([(1, 2), (2, 1), (1,), (2,), (3,), (-1,), (2, 3), (1, 2, 3)]))
    keep = draw(st.booleans())
    same = draw(st.booleans())
    scale, point = draw(scales), draw(zero_points)
    kept = [1 if axis in {a % 4 for a in axes} else size for axis, size in enumerate(shape)]
    out_shape = kept if keep else [size for axis, size in enumerate(shape) if axis not in {a % 4 for a in axes}]
    builder = ModelBuilder()
    image = builder.tensor(shape, scale=scale, zero_point=point)
    out = builder.tensor(out_shape, scale=scale if same else draw(scales), zero_point=point if same else draw(zero_points))
    builder.operator("MEAN", [image, builder.constant(axes)], [out], keepDims=keep)
    return builder.build([image], [out])


@st.composite
def softmaxes(draw: Draw) -> bytes:
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 40)))
    builder = ModelBuilder()
    values = builder.tensor(shape, scale=draw(st.floats(1e-4, 4.0)), zero_point=draw(zero_points))
    if draw(st.booleans()):
        out = builder.tensor(shape, "int16", scale=1 / 65536, zero_point=-32768)
    else:
        out = builder.tensor(shape, scale=1 / 256, zero_point=-128)
    builder.operator("SOFTMAX", [values], [out], beta=draw(st.sampled_from([1.0, 0.5, 10.0])))
    return builder.build([values], [out])


@st.composite
def moves(draw: Draw) -> bytes:
    """PAD and TRANSPOSE that nothing takes over."""
    shape = tuple(draw(st.integers(1, 5)) for _ in range(draw(st.integers(1, 4))))
    scale, point = draw(scales), draw(zero_points)
    builder = ModelBuilder()
    values = builder.tensor(shape, scale=scale, zero_point=point)
    pads = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in shape]
    padded = [size + before + after for size, (before, after) in zip(shape, pads, strict=True)]
    middle = builder.tensor(padded, scale=scale, zero_point=point)
    builder.operator("PAD", [values, builder.constant(pads)], [middle])
    order = draw(st.permutations(range(len(shape))))
    out = builder.tensor([padded[axis] for axis in order], scale=scale, zero_point=point)
    builder.operator("TRANSPOSE", [middle, builder.constant(order)], [out])
    return builder.build([values], [out])


@st.composite
def rescalings(draw: Draw) -> bytes:
    source, result = draw(st.sampled_from([("int8", "int8"), ("int16", "int8"), ("int16", "int32")]))
    builder = ModelBuilder()
    point = draw(zero_points) if source == "int8" else 0
    values = builder.tensor((1, 600), source, scale=draw(scales), zero_point=point)
    out = builder.tensor((1, 600), result, scale=draw(scales), zero_point=draw(zero_points) if result == "int8" else 0)
    builder.operator("QUANTIZE", [values], [out])
    return builder.build([values], [out])


OPERATORS = {
    "convolution": convolutions(depthwise=False),
    "depthwise convolution": convolutions(depthwise=True),
    "fully connected": fully_connected(),
    "addition": additions(),
    "pooling": poolings(),
    "mean": means(),
    "softmax": softmaxes(),
    "pad and transpose": moves(),
    "rescaling": rescalings(),
}


DSP_OPERATORS = ("convolution", "depthwise convolution", "addition", "pooling")


@pytest.mark.parametrize(("operator", "dsp"), [*((name, False) for name in OPERATORS), *((name, True) for name in DSP_OPERATORS)])
def test_operator_is_bit_exact(operator: str, dsp: bool) -> None:
    @thorough
    @given(OPERATORS[operator], seeds)
    def check(content: bytes, seed: int) -> None:
        assert_bit_exact(content, seed, dsp)

    check()
