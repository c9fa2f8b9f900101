"""The generated assembly on an emulated core against TensorFlow Lite's reference kernels, byte by byte."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilnas.boards.board import InstructionCache
from hilnas.tflite.reference import ReferenceModel

sys.path.insert(0, str(Path(__file__).parent))
from convolution_cases import DEPTHWISE, NONE, POINTWISE, RELU, VALID, WINDOWED, Layer, convolution, sizes
from emulated_core import EmulatedModel
from tflite_builder import ModelBuilder

Draw = Any
seeds = st.integers(0, 2**32 - 1)
zero_points = st.one_of(st.sampled_from([-128, 127, 0]), st.integers(-128, 127))
caches = st.sampled_from([None, InstructionCache(32, 32), InstructionCache(20, 32), InstructionCache(8, 32)])
CORES = ["cortex-m7", "cortex-m4"]
on_each_core = pytest.mark.parametrize("core", CORES)
some = settings(max_examples=8, deadline=None)


def inputs_of(shape: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    extreme = [np.full(shape, -128), np.full(shape, 127), rng.choice([-128, 127], shape)]
    return [values.astype(np.int8) for values in (*extreme, rng.integers(-128, 128, shape))]


def assert_bit_exact(content: bytes, model: EmulatedModel, function: str = "hilnas_run", seed: int = 0) -> None:
    reference = ReferenceModel(content)
    for values in zip(*(inputs_of(edge.shape, seed + at) for at, edge in enumerate(reference.inputs)), strict=True):
        for expected, output in zip(reference.run(*values), model.run(*values, function=function), strict=True):
            np.testing.assert_array_equal(output, expected.ravel())


@on_each_core
@pytest.mark.parametrize(("layer", "symbols"), [*POINTWISE, *WINDOWED])
def test_convolutions(layer: Layer, symbols: tuple[str, ...], core: str) -> None:
    """Every variant of the dot products and of the widening is reached, and exact."""
    content = convolution(layer)
    model = EmulatedModel(content, core=core)
    assert model.compiled.program.layers[0].kernel.function == "hilnas_convolve_packed"
    assert all(symbol in model.compiled.assembly for symbol in symbols)
    assert_bit_exact(content, model)


@on_each_core
@pytest.mark.parametrize(("layer", "symbol"), DEPTHWISE)
def test_depthwise_convolutions(layer: Layer, symbol: str, core: str) -> None:
    """Every way in which depthwise code is laid out is reached, and exact."""
    content = convolution(layer)
    model = EmulatedModel(content, core=core)
    assert model.compiled.program.layers[0].kernel.function == "hilnas_convolve_planar"
    assert symbol in model.compiled.assembly
    assert_bit_exact(content, model)


@on_each_core
@pytest.mark.parametrize(
    ("layer", "lines", "symbols"),
    [
        pytest.param(Layer((5, 5, 256), filters=10), 64, ("hilnas_dot_4_round_16", "hilnas_dot_1"), id="a round of 16 steps"),
        pytest.param(Layer((5, 5, 256), filters=10), 32, ("hilnas_dot_4_round_8", "hilnas_dot_1"), id="a round of 8 steps"),
        pytest.param(Layer((5, 5, 24), filters=10), 16, ("hilnas_dot_4_round_4", "hilnas_dot_1_round_4"), id="a round of 4 steps"),
        pytest.param(Layer((9, 13, 3), (3, 3), 2, filters=8), 32, ("_pitch_36_round_8",), id="few steps, yet a loop"),
        pytest.param(Layer((5, 5, 4), (1, 3), filters=4, padding=VALID), 32, ("_steps_6:",), id="few steps in a row"),
        pytest.param(Layer((5, 5, 4), (1, 3), filters=4, padding=VALID), 16, ("_round_4:",), id="few steps, yet too many"),
        pytest.param(Layer((5, 5, 8), (3, 3)), 32, ("from_5_to_5:",), id="rows in a loop"),
        pytest.param(Layer((20, 20, 6), (3, 3)), 32, ("from_20_to_20_repeated",), id="repeated segments and a rest"),
        pytest.param(Layer((9, 24, 4), (3, 3)), 32, ("from_24_to_24_repeated",), id="repeated segments"),
        pytest.param(Layer((9, 48, 4), (3, 3), 2), 32, ("from_48_to_24_repeated",), id="repeated segments, stride 2"),
        pytest.param(Layer((9, 12, 4), (5, 5)), 10, ("from_12_to_12_repeated",), id="two repetitions"),
        pytest.param(Layer((9, 10, 4), (3, 3)), 8, ("from_10_to_10:",), id="nothing to repeat"),
    ],
)
def test_code_for_small_instruction_caches(layer: Layer, lines: int, symbols: tuple[str, ...], core: str) -> None:
    """Every size in which a loop can be had is reached, and exact."""
    content = convolution(layer)
    model = EmulatedModel(content, cache=InstructionCache(lines, 32), core=core)
    assert all(symbol in model.compiled.assembly for symbol in symbols)
    assert_bit_exact(content, model)


@on_each_core
@pytest.mark.parametrize("width", range(1, 9))
def test_segments_that_end_in_the_references_arithmetic(width: int, core: str) -> None:
    """Scales above 1/4 are for no line; there is an end for every number of outputs."""
    layer = Layer((6, width, 5), (3, 3), zero_points=(3, -4), activation=NONE, spread=0.1, gain=110)
    content = convolution(layer)
    model = EmulatedModel(content, core=core)
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
@given(layers(depthwise=False), seeds, st.sampled_from(["random", "extreme"]), caches, st.sampled_from(CORES))
def test_any_convolution(layer: Layer, seed: int, weights: str, cache: InstructionCache | None, core: str) -> None:
    content = convolution(layer, seed, weights)
    assert_bit_exact(content, EmulatedModel(content, cache=cache, core=core), seed=seed)


@some
@given(layers(depthwise=True), seeds, st.sampled_from(["random", "extreme"]), caches, st.sampled_from(CORES))
def test_any_depthwise_convolution(layer: Layer, seed: int, weights: str, cache: InstructionCache | None, core: str) -> None:
    content = convolution(layer, seed, weights)
    assert_bit_exact(content, EmulatedModel(content, cache=cache, core=core), seed=seed)


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


@on_each_core
@pytest.mark.parametrize("elements", [1, 3, 4, 8, 23])
def test_additions(elements: int, core: str) -> None:
    content = addition(elements, (0.071, 0.06, 0.0777), (6, -14, -8))
    model = EmulatedModel(content, core=core)
    assert model.compiled.program.layers[0].kernel.function == "hilnas_add_fitted"
    assert_bit_exact(content, model)


def test_all_pairs_of_operands_add_exactly() -> None:
    """Each of the 65,536 pairs, with a fused RELU at the zero point -128."""
    content = addition(65536, (0.0763, 0.1042, 0.0984), (-128, 4, -128), RELU)
    model, reference = EmulatedModel(content), ReferenceModel(content)
    assert model.compiled.program.layers[0].kernel.function == "hilnas_add_fitted"
    first, second = (axis.astype(np.int8).reshape(1, -1) for axis in np.mgrid[-128:128, -128:128])
    np.testing.assert_array_equal(model.run(first, second)[0], reference.run(first, second)[0].ravel())
