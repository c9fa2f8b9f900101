"""Layers of one convolution: their .tflite files, and a case for each variant of the assembly."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from tflite_builder import ModelBuilder

SAME, VALID = 0, 1
NONE, RELU = 0, 1


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
