"""Functions of one int8 value, as tables of all 256 outputs: what TensorFlow Lite's reference kernels give for them.

Source: tensorflow/lite/kernels/activations.cc, reference/hard_swish.h, reference/leaky_relu.h. Where those compute in single precision,
so does this, with functions rounded to the nearest float32.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, tanh
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hilnas.firmware.fixed_point import (
    quantize_multiplier,
    rounding_divide_by_power_of_two,
    rounding_doubling_high_multiply_16,
    scale_accumulator,
)
from hilnas.firmware.graph import Graph, LeakyRelu, Operator, Quantization
from hilnas.firmware.lowering import quantization_of

Values = NDArray[np.int64]

CODES = np.arange(-128, 128)
"""The int8 values in the order in which a table has their outputs."""


def table_of(graph: Graph, operator: Operator) -> Values:
    """The outputs of an operator for CODES."""
    source, result = quantization_of(graph.input_of(operator)), quantization_of(graph.output_of(operator))
    if operator.op == "HARD_SWISH":
        values = [_hard_swish(int(code) - source.zero_point, source.scale, result.scale) + result.zero_point for code in CODES]
    elif operator.op == "LEAKY_RELU":
        values = _leaky_relu(source, result, cast("LeakyRelu", operator.attributes).alpha)
    elif operator.op in _BOUNDS:
        values = _clipped(source, result, *_BOUNDS[operator.op])
    else:
        values = _by_float(source, result, _FUNCTIONS[operator.op])
    return np.array([min(max(value, -128), 127) for value in values], np.int64)


_BOUNDS = {"RELU": (0.0, None), "RELU6": (0.0, 6.0), "RELU_0_TO_1": (0.0, 1.0), "RELU_N1_TO_1": (-1.0, 1.0)}


def _clipped(source: Quantization, result: Quantization, low: float, high: float | None) -> list[int]:
    multiplier = quantize_multiplier(float(np.float32(source.scale) / np.float32(result.scale)))
    lowest = max(-128, result.zero_point + _rounded(np.float32(low) / np.float32(result.scale)))
    highest = 127 if high is None else min(127, result.zero_point + _rounded(np.float32(high) / np.float32(result.scale)))
    scaled = (scale_accumulator(int(code) - source.zero_point, *multiplier) + result.zero_point for code in CODES)
    return [min(max(value, lowest), highest) for value in scaled]


def _leaky_relu(source: Quantization, result: Quantization, alpha: float) -> list[int]:
    ratio = np.float32(source.scale) / np.float32(result.scale)
    positive = quantize_multiplier(float(ratio))
    negative = quantize_multiplier(float(np.float32(source.scale) * np.float32(alpha) / np.float32(result.scale)))
    steps = [int(code) - source.zero_point for code in CODES]
    return [scale_accumulator(step, *(positive if step >= 0 else negative)) + result.zero_point for step in steps]


_MULTIPLIER_BITS = 16


def _narrow(real: np.float32) -> tuple[int, int]:
    """A multiplier of 16 bits, and its shift."""
    multiplier, shift = quantize_multiplier(float(real))
    half = 1 << (_MULTIPLIER_BITS - 1)
    return min((multiplier + half) >> _MULTIPLIER_BITS, 2**15 - 1), shift


def _saturated(value: int) -> int:
    return min(max(value, -(2**15)), 2**15 - 1)


def _hard_swish(step: int, input_scale: float, output_scale: float) -> int:
    """x * relu6(x + 3) / 6 in 16-bit fixed point, less the output's zero point."""
    fine_scale = np.float32(1 / 128) * np.float32(input_scale)
    output_multiplier, output_shift = _narrow(fine_scale / np.float32(output_scale))
    ramp_multiplier, ramp_shift = _narrow(fine_scale / (np.float32(3.0) / np.float32(32768.0)))
    fine = step * 128
    scaled = rounding_doubling_high_multiply_16(fine, output_multiplier)
    # The ramp from 0 at -3 to 1 at 3, at first from -1 to 1.
    ramp = _saturated(fine << (ramp_shift - 1)) if ramp_shift > 0 else fine
    ramp = rounding_doubling_high_multiply_16(ramp, ramp_multiplier)
    if ramp_shift > 0:
        ramp = _saturated(2 * ramp)
    elif ramp_shift < 0:
        ramp = rounding_divide_by_power_of_two(ramp, -ramp_shift)
    ramp = (ramp + 2**15) >> 1
    product = ramp * scaled
    return rounding_divide_by_power_of_two(abs(product) // 2**15 * (1 if product >= 0 else -1), -output_shift)


def _logistic(value: np.float32) -> np.float32:
    return np.float32(1) / (np.float32(1) + _single(np.exp(-np.float64(value))))


_FUNCTIONS: dict[str, Callable[[np.float32], np.float32]] = {
    "LOGISTIC": _logistic,
    "TANH": lambda value: _single(tanh(float(value))),
}


def _by_float(source: Quantization, result: Quantization, function: Callable[[np.float32], np.float32]) -> list[int]:
    inverse = np.float32(1) / np.float32(result.scale)
    with np.errstate(over="ignore"):
        reals = [function(np.float32(source.scale) * np.float32(int(code) - source.zero_point)) for code in CODES]
        return [int(np.float32(_rounded(real * inverse)) + np.float32(result.zero_point)) for real in reals]


def _single(value: float) -> np.float32:
    return np.float32(value)


def _rounded(value: np.float32) -> int:
    """To the nearest integer, halves away from zero; what is not finite stays far out."""
    if not isfinite(value):
        return 2**30
    whole = int(abs(float(value)) + 0.5)
    return whole if value >= 0 else -whole
