"""The generated assembly on an emulated core against TensorFlow Lite's reference kernels, byte by byte."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilnas.boards.board import InstructionCache
from hilnas.tflite.reference import ReferenceModel

sys.path.insert(0, str(Path(__file__).parent))
from emulated_core import EmulatedModel
from tflite_builder import ModelBuilder

SAME, VALID = 0, 1
NONE, RELU = 0, 1
Draw = Any
seeds = st.integers(0, 2**32 - 1)
zero_points = st.one_of(st.sampled_from([-128, 127, 0]), st.integers(-128, 127))
caches = st.sampled_from([None, InstructionCache(32, 32), InstructionCache(20, 32), InstructionCache(8, 32)])
some = settings(max_examples=8, deadline=None)


@dataclass(frozen=True)
class Layer:
    """A convolution: image (height, width, channels), window, stride, output channels (those of the image if depthwise)."""

    image: tuple[int, int, int]
    window: tuple[int, int] = (1, 1)
    stride: int = 1
    filters: int | None = None
    padding: int = SAME
    zero_points: tuple[int, int] = (-128, -128)
    activation: int = RELU
    spread: float = 3.0
    """How far the channels' scales are apart, in powers of two."""
    gain: float = 1.0
    """How much larger the scales are than those with which outputs use their range."""


def sizes(layer: Layer) -> tuple[int, int]:
    height, width = (
        -(-size // layer.stride) if layer.padding == SAME else (size - window) // layer.stride + 1
        for size, window in zip(layer.image[:2], layer.window, strict=True)
    )
    return height, width


def convolution(layer: Layer, seed: int = 0, weights: str = "random") -> bytes:
    """The .tflite of one layer whose outputs use their range."""
    rng = np.random.default_rng(seed)
    depthwise = layer.filters is None
    channels = layer.image[2]
    filters = channels if layer.filters is None else layer.filters
    taps = layer.window[0] * layer.window[1] * (1 if depthwise else channels)
    shape = (1, *layer.window, filters) if depthwise else (filters, *layer.window, channels)
    values = rng.integers(-127, 128, shape) if weights == "random" else rng.choice([-127, 127], shape)
    real = 60 / (np.sqrt(taps) * 73 * 75) * 2.0 ** rng.uniform(-layer.spread, 0, filters) * layer.gain
    builder = ModelBuilder()
    entry = builder.tensor((1, *layer.image), scale=0.05, zero_point=layer.zero_points[0])
    scales = (real * 0.04 / 0.05).astype(np.float32)
    filter_ = builder.tensor(shape, scale=scales, data=values, axis=3 if depthwise else 0)
    bias = builder.tensor((filters,), "int32", scale=np.float32(0.05) * scales, data=rng.integers(-3000, 3000, filters))
    out = builder.tensor((1, *sizes(layer), filters), scale=0.04, zero_point=layer.zero_points[1])
    options = {"strideH": layer.stride, "strideW": layer.stride, "padding": layer.padding, "fusedActivationFunction": layer.activation}
    options |= {"dilationHFactor": 1, "dilationWFactor": 1}
    if depthwise:
        options["depthMultiplier"] = 1
    builder.operator("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [entry, filter_, bias], [out], **options)
    return builder.build([entry], [out])


def inputs_of(shape: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    extreme = [np.full(shape, -128), np.full(shape, 127), rng.choice([-128, 127], shape)]
    return [values.astype(np.int8) for values in (*extreme, rng.integers(-128, 128, shape))]


def assert_bit_exact(content: bytes, model: EmulatedModel, function: str = "hilnas_run", seed: int = 0) -> None:
    reference = ReferenceModel(content)
    for values in zip(*(inputs_of(edge.shape, seed + at) for at, edge in enumerate(reference.inputs)), strict=True):
        for expected, output in zip(reference.run(*values), model.run(*values, function=function), strict=True):
            np.testing.assert_array_equal(output, expected.ravel())


POINTWISE = [
    pytest.param(Layer((3, 4, 8), filters=16), ("hilnas_dot_4",), id="tiles of four"),
    pytest.param(Layer((5, 5, 24), filters=10), ("hilnas_dot_4", "hilnas_dot_1"), id="one left"),
    pytest.param(Layer((1, 6, 64), filters=4, zero_points=(5, -9), activation=NONE), ("hilnas_dot_4", "hilnas_dot_2"), id="two left"),
    pytest.param(Layer((1, 7, 5), filters=8, zero_points=(127, 127), activation=NONE), ("hilnas_dot_3",), id="three left, odd channels"),
    pytest.param(Layer((1, 1, 480), filters=6), ("hilnas_dot_1",), id="one pixel, long filters"),
    pytest.param(Layer((6, 7, 16), stride=2, filters=8), ("hilnas_dot_4",), id="stride 2"),
    pytest.param(Layer((2, 2, 2), filters=2, zero_points=(-128, 127), activation=NONE), ("hilnas_dot_4",), id="smallest"),
]
WINDOWED = [
    pytest.param(Layer((6, 10, 16), (3, 3), filters=8), ("hilnas_dot_4_pitch_96", "hilnas_widen_16_step_96"), id="3x3"),
    pytest.param(Layer((7, 9, 16), (3, 3), 2, filters=6, zero_points=(3, 3), activation=NONE), ("_pitch_192",), id="3x3 stride 2"),
    pytest.param(Layer((9, 13, 3), (3, 3), 2, filters=8), ("hilnas_widen_3_step_18", "_pitch_36"), id="3x3 stride 2 of three channels"),
    pytest.param(Layer((5, 6, 3), (3, 3), filters=4, zero_points=(20, -128)), ("hilnas_widen_3_step_20",), id="3x3 of three channels"),
    pytest.param(Layer((12, 7, 1), (10, 4), 2, filters=6, zero_points=(83, -128)), ("hilnas_widen_1_step_20",), id="10x4 of one channel"),
    pytest.param(Layer((5, 5, 4), (1, 3), filters=4, padding=VALID), ("hilnas_widen_4",), id="1x3 without padding"),
    pytest.param(Layer((4, 5, 32), (5, 5), filters=4), ("hilnas_widen_32",), id="5x5"),
]
DEPTHWISE = [
    pytest.param(Layer((6, 40, 8), (3, 3)), "3x3_stride_1_left_1_from_40_to_40", id="repeated segments"),
    pytest.param(Layer((40, 40, 4), (3, 3)), "3x3_stride_1_left_1_from_40_to_40", id="in pieces of some rows"),
    pytest.param(Layer((6, 53, 4), (3, 3), zero_points=(3, -4), activation=NONE), "from_53_to_53", id="repeated segments and a rest"),
    pytest.param(Layer((20, 20, 6), (3, 3)), "3x3_stride_1_left_1_from_20_to_20", id="three segments, channels over"),
    pytest.param(Layer((12, 24, 4), (3, 3), 2), "3x3_stride_2_left_0_from_24_to_12", id="stride 2"),
    pytest.param(Layer((8, 56, 4), (3, 3), 2), "3x3_stride_2_left_0_from_56_to_28", id="stride 2, repeated segments"),
    pytest.param(Layer((10, 10, 5), (5, 5)), "5x5_stride_1_left_2_from_10_to_10", id="filter rows in a loop"),
    pytest.param(Layer((20, 21, 4), (7, 7), 2, zero_points=(-7, 20), activation=NONE), "7x7_stride_2", id="7x7 stride 2"),
    pytest.param(Layer((7, 48, 4), (5, 5)), "5x5_stride_1_left_2_from_48_to_48", id="filter rows in a loop, repeated segments"),
    pytest.param(Layer((5, 5, 8), (3, 3)), "_top_1_5_to_5", id="image in one piece"),
    pytest.param(Layer((3, 3, 8), (7, 7), zero_points=(127, -128)), "7x7_stride_1_left_3_from_3_to_3_top_3", id="window beyond the image"),
    pytest.param(Layer((5, 5, 7), (5, 5), 2, zero_points=(0, 0), activation=NONE), "5x5_stride_2", id="image in one piece, stride 2"),
    pytest.param(Layer((28, 1, 8), (5, 1), padding=VALID, zero_points=(-128, -3), activation=NONE), "x5_stride_1", id="one column"),
    pytest.param(Layer((1, 24, 4), (1, 10), padding=VALID), "1x10", id="one row, long filter"),
    pytest.param(Layer((9, 2, 4), (3, 3)), "from_2_to_2", id="narrow"),
]


@pytest.mark.parametrize(("layer", "symbols"), [*POINTWISE, *WINDOWED])
def test_convolutions(layer: Layer, symbols: tuple[str, ...]) -> None:
    """Every variant of the dot products and of the widening is reached, and exact."""
    content = convolution(layer)
    model = EmulatedModel(content)
    assert model.compiled.program.layers[0].kernel.function == "hilnas_convolve_packed"
    assert all(symbol in model.compiled.assembly for symbol in symbols)
    assert_bit_exact(content, model)


@pytest.mark.parametrize(("layer", "symbol"), DEPTHWISE)
def test_depthwise_convolutions(layer: Layer, symbol: str) -> None:
    """Every way in which depthwise code is laid out is reached, and exact."""
    content = convolution(layer)
    model = EmulatedModel(content)
    assert model.compiled.program.layers[0].kernel.function == "hilnas_convolve_planar"
    assert symbol in model.compiled.assembly
    assert_bit_exact(content, model)


@pytest.mark.parametrize(
    ("layer", "lines", "symbols"),
    [
        pytest.param(Layer((5, 5, 256), filters=10), 64, ("hilnas_dot_4_round_16", "hilnas_dot_1"), id="a round of 16 steps"),
        pytest.param(Layer((5, 5, 256), filters=10), 32, ("hilnas_dot_4_round_8", "hilnas_dot_1"), id="a round of 8 steps"),
        pytest.param(Layer((5, 5, 24), filters=10), 16, ("hilnas_dot_4_round_4", "hilnas_dot_1_round_4"), id="a round of 4 steps"),
        pytest.param(Layer((9, 13, 3), (3, 3), 2, filters=8), 32, ("_pitch_36_round_8",), id="few steps, yet a loop"),
        pytest.param(Layer((5, 5, 8), (3, 3)), 32, ("from_5_to_5:",), id="rows in a loop"),
        pytest.param(Layer((20, 20, 6), (3, 3)), 32, ("from_20_to_20_repeated",), id="repeated segments and a rest"),
        pytest.param(Layer((9, 24, 4), (3, 3)), 32, ("from_24_to_24_repeated",), id="repeated segments"),
        pytest.param(Layer((9, 48, 4), (3, 3), 2), 32, ("from_48_to_24_repeated",), id="repeated segments, stride 2"),
        pytest.param(Layer((9, 12, 4), (5, 5)), 10, ("from_12_to_12_repeated",), id="two repetitions"),
        pytest.param(Layer((9, 10, 4), (3, 3)), 8, ("from_10_to_10:",), id="nothing to repeat"),
    ],
)
def test_code_for_small_instruction_caches(layer: Layer, lines: int, symbols: tuple[str, ...]) -> None:
    """Every size in which a loop can be had is reached, and exact."""
    content = convolution(layer)
    model = EmulatedModel(content, cache=InstructionCache(lines, 32))
    assert all(symbol in model.compiled.assembly for symbol in symbols)
    assert_bit_exact(content, model)


@pytest.mark.parametrize("width", range(1, 9))
def test_segments_that_end_in_the_references_arithmetic(width: int) -> None:
    """Scales above 1/4 are for no line; there is an end for every number of outputs."""
    layer = Layer((6, width, 5), (3, 3), zero_points=(3, -4), activation=NONE, spread=0.1, gain=110)
    content = convolution(layer)
    model = EmulatedModel(content)
    assert model.compiled.program.layers[0].kernel.function == "hilnas_convolve_planar"
    assert_bit_exact(content, model)


@st.composite
def layers(draw: Draw, depthwise: bool) -> Layer:
    """Shapes that the assembly covers; zero points at both ends, channels with scales far apart."""
    window = (
        draw(st.sampled_from([(3, 3), (5, 5), (7, 7), (1, 3), (4, 2)])) if depthwise else draw(st.sampled_from([(1, 1), (3, 3), (2, 5)]))
    )
    channels = draw(st.integers(1, 9)) if depthwise else draw(st.sampled_from([1, 2, 3, 4, 5, 8, 12, 20]))
    return Layer(
        image=(draw(st.integers(1, 12)), draw(st.integers(1, 60 if depthwise else 14)), channels),
        window=window,
        stride=draw(st.sampled_from([1, 2])),
        filters=None if depthwise else 2 * draw(st.integers(1, 6)),
        zero_points=(draw(zero_points), draw(zero_points)),
        activation=NONE,
        spread=draw(st.floats(0, 12)),
    )


@some
@given(layers(depthwise=False), seeds, st.sampled_from(["random", "extreme"]), caches)
def test_any_convolution(layer: Layer, seed: int, weights: str, cache: InstructionCache | None) -> None:
    content = convolution(layer, seed, weights)
    assert_bit_exact(content, EmulatedModel(content, cache=cache), seed=seed)


@some
@given(layers(depthwise=True), seeds, st.sampled_from(["random", "extreme"]), caches)
def test_any_depthwise_convolution(layer: Layer, seed: int, weights: str, cache: InstructionCache | None) -> None:
    content = convolution(layer, seed, weights)
    assert_bit_exact(content, EmulatedModel(content, cache=cache), seed=seed)


STREAM = """
#include "assembly.h"
/* Rows come one by one into a ring, and outputs leave it as soon as the rows under them are there. */
void stream(void) {{
    static int8_t ring[{ring} * {pitch}];
    static int8_t scratch[{scratch}] __attribute__((aligned(8)));
    const int8_t *input = hilnas_inputs[0].data;
    int8_t *output = hilnas_outputs[0].data;
    const hilnas_rows rows = {{ring, {pitch}, {ring}}};
    int32_t done = 0;
    for (int32_t y = 0; y < {height}; y++) {{
        for (int32_t i = 0; i < {pitch}; i++) {{
            ring[y % {ring} * {pitch} + i] = input[y * {pitch} + i];
        }}
        while (done < {outputs} && (done * {stride} - {top} + {window} <= y + 1 || y == {height} - 1)) {{
            {function}_rows(&layer_0, &rows, done, 1, output + done * {output_pitch}, scratch);
            done++;
        }}
    }}
}}
"""


@pytest.mark.parametrize(
    ("layer", "cache"),
    [
        (Layer((9, 10, 8), (3, 3)), None),
        (Layer((9, 40, 4), (3, 3), 2), None),
        (Layer((9, 40, 4), (3, 3), 2), InstructionCache(32, 32)),
        (Layer((9, 10, 4), (5, 5)), None),
        (Layer((9, 10, 8), (3, 3), filters=4), None),
        (Layer((9, 9, 3), (3, 3), 2, filters=4), None),
        (Layer((9, 9, 8), filters=4), None),
    ],
    ids=str,
)
def test_rows_that_stream_through_a_ring(layer: Layer, cache: InstructionCache | None) -> None:
    """Row by row from a ring of as many rows as the window has, the outputs are those of the whole image."""
    content = convolution(layer)
    plain = EmulatedModel(content, cache=cache).compiled.program.layers[0].kernel
    height, width, channels = layer.image
    top = max((-(-height // layer.stride) - 1) * layer.stride + layer.window[0] - height, 0) // 2
    extra = STREAM.format(
        ring=layer.window[0],
        pitch=width * channels,
        scratch=plain.scratch_bytes + 8,
        height=height,
        outputs=sizes(layer)[0],
        stride=layer.stride,
        top=top,
        window=layer.window[0],
        function=plain.function,
        output_pitch=sizes(layer)[1] * (layer.filters or channels),
    )
    assert_bit_exact(content, EmulatedModel(content, extra, cache), function="stream")


def addition(elements: int, scales: tuple[float, float, float], points: tuple[int, int, int], activation: int = NONE) -> bytes:
    builder = ModelBuilder()
    first, second = (builder.tensor((1, elements), scale=scales[at], zero_point=points[at]) for at in (0, 1))
    out = builder.tensor((1, elements), scale=scales[2], zero_point=points[2])
    builder.operator("ADD", [first, second], [out], fusedActivationFunction=activation)
    return builder.build([first, second], [out])


@pytest.mark.parametrize("elements", [1, 3, 4, 8, 23])
def test_additions(elements: int) -> None:
    content = addition(elements, (0.071, 0.06, 0.0777), (6, -14, -8))
    model = EmulatedModel(content)
    assert model.compiled.program.layers[0].kernel.function == "hilnas_add_fitted"
    assert_bit_exact(content, model)


def test_all_pairs_of_operands_add_exactly() -> None:
    """Each of the 65,536 pairs, with a fused RELU at the zero point -128."""
    content = addition(65536, (0.0763, 0.1042, 0.0984), (-128, 4, -128), RELU)
    model, reference = EmulatedModel(content), ReferenceModel(content)
    assert model.compiled.program.layers[0].kernel.function == "hilnas_add_fitted"
    first, second = (axis.astype(np.int8).reshape(1, -1) for axis in np.mgrid[-128:128, -128:128])
    np.testing.assert_array_equal(model.run(first, second)[0], reference.run(first, second)[0].ravel())
