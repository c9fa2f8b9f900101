"""The fixed-point arithmetic of TensorFlow Lite's int8 reference kernels, as far as it is done when a model is compiled.

Source: tensorflow/lite/kernels/internal/quantization_util.cc and common.h, gemmlowp's fixedpoint.h. What is left for the device are
32-bit integer operations (kernels/fixed_point.h).
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, floor, frexp, isfinite

import numpy as np

from hilnas.firmware.graph import Activation, Quantization

INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """A non-negative real as (multiplier, shift): real = multiplier / 2^31 * 2^shift, multiplier in [2^30, 2^31) or 0."""
    if real == 0.0 or not isfinite(real):
        return 0, 0
    fraction, shift = frexp(real)
    multiplier = floor(fraction * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


@lru_cache(maxsize=4096)
def wide_multiplier(real: float) -> tuple[int, int]:
    """(multiplier, shift) so that floor(acc * multiplier / 2^(32 + shift) + 1/2) is acc * real as the reference rounds it.

    The reference multiplies in double precision and rounds halves away from zero. For every int32 acc and every result within
    -256 .. 256 both agree: the multiplier of at most 62 bits is taken from the interval that all the thresholds leave.
    Raises ValueError where they leave none.
    """
    fraction, exponent = frexp(real)
    shift = 30 - exponent
    if real == 0.0 or shift > 62:
        return 0, 1
    if shift < 1:
        raise ValueError(f"multiplier {real} is too large")
    lowest, highest = 0, 2**62 - 1
    for result in range(-256, 257):
        threshold = _first_reaching(result, real)
        bound = (result << (32 + shift)) - (1 << (31 + shift))
        if 0 < threshold <= INT32_MAX:
            lowest = max(lowest, -(-bound // threshold))
        elif INT32_MIN <= threshold < 0:
            highest = min(highest, bound // threshold)
        if 1 < threshold <= INT32_MAX + 1:
            highest = min(highest, (bound - 1) // (threshold - 1))
        elif INT32_MIN < threshold < 1:
            lowest = max(lowest, bound // (threshold - 1) + 1)
    nearest = min(max(int(fraction * 2**62), lowest), highest)
    if lowest > highest:
        raise ValueError(f"no integer multiplier stands for {real}")
    return nearest, shift


def _first_reaching(result: int, real: float) -> int:
    """The smallest integer that times `real`, rounded, is at least `result`."""
    value = ceil((result - 0.5) / real) - 2
    while round_half_away(value * real) < result:
        value += 1
    return value


def round_half_away(value: float) -> int:
    """The nearest integer, halves away from zero: C's round()."""
    whole = floor(abs(value))
    whole += abs(value) - whole >= 0.5
    return whole if value >= 0 else -whole


def rounding_doubling_high_multiply(a: int, b: int) -> int:
    """The high half of 2ab, rounded: gemmlowp's SaturatingRoundingDoublingHighMul."""
    if a == b == INT32_MIN:
        return INT32_MAX
    return (a * b + 2**30) >> 31


def rounding_doubling_high_multiply_16(a: int, b: int) -> int:
    """The same for 16-bit integers."""
    if a == b == -(2**15):
        return 2**15 - 1
    return (a * b + 2**14) >> 15


def rounding_divide_by_power_of_two(value: int, exponent: int) -> int:
    """value / 2^exponent, rounded to nearest, halves away from zero."""
    if exponent == 0:
        return value
    return (value + (1 << (exponent - 1)) - (1 if value < 0 else 0)) >> exponent


def saturating_multiply_by_power_of_two(value: int, exponent: int) -> int:
    """value * 2^exponent within 32 bits; a negative exponent divides and rounds."""
    if exponent < 0:
        return rounding_divide_by_power_of_two(value, -exponent)
    return max(INT32_MIN, min(INT32_MAX, value << exponent))


def scale_accumulator(value: int, multiplier: int, shift: int) -> int:
    """value * multiplier / 2^31 * 2^shift, rounded after the multiplication and again after a shift to the right.

    Source: MultiplyByQuantizedMultiplier.
    """
    product = rounding_doubling_high_multiply(value << max(shift, 0), multiplier)
    return rounding_divide_by_power_of_two(product, max(-shift, 0))


def activation_range(activation: Activation, quantization: Quantization) -> tuple[int, int]:
    """The int8 range that a fused activation leaves, both ends included.

    In single precision, as TensorFlow Lite computes it (CalculateActivationRangeQuantized).
    """
    lowest, highest = -128, 127

    def quantized(real: float) -> int:
        ratio = float(np.float32(real) / np.float32(quantization.scale))
        rounded = floor(abs(ratio) + 0.5)
        return quantization.zero_point + (rounded if ratio >= 0 else -rounded)

    if activation in ("RELU", "RELU6"):
        lowest = max(lowest, quantized(0.0))
    if activation == "RELU6":
        highest = min(highest, quantized(6.0))
    if activation == "RELU_N1_TO_1":
        lowest, highest = max(lowest, quantized(-1.0)), min(highest, quantized(1.0))
    return lowest, highest


# exp(-1/4 .. 0) as a polynomial and exp(-2^k) by a barrel shifter, all in Q0.31: gemmlowp's exp_on_negative_values.
_EXP_MINUS_EIGHTH = 1895147668
_ONE_THIRD = 715827883
_EXP_MINUS_POWERS = ((24, 1672461947), (25, 1302514674), (26, 790015084), (27, 290630308), (28, 39332535), (29, 720401), (30, 242))
_ONE_QUARTER = 1 << 24


def exp_of_negative(value: int) -> int:
    """exp of a number <= 0 in Q5.26, in Q0.31."""
    if value == 0:
        return INT32_MAX
    remainder = (value & (_ONE_QUARTER - 1)) - _ONE_QUARTER
    multiply = rounding_doubling_high_multiply
    x = saturating_multiply_by_power_of_two(remainder, 5) + (1 << 28)
    x2 = multiply(x, x)
    x3, x4 = multiply(x2, x), multiply(x2, x2)
    tail = rounding_divide_by_power_of_two(multiply(rounding_divide_by_power_of_two(x4, 2) + x3, _ONE_THIRD) + x2, 1)
    result = _EXP_MINUS_EIGHTH + multiply(_EXP_MINUS_EIGHTH, x + tail)
    for bit, factor in _EXP_MINUS_POWERS:
        if (remainder - value) & (1 << bit):
            result = multiply(result, factor)
    return result


_SOFTMAX_INTEGER_BITS = 5


def softmax_multiplier(input_scale: float, beta: float) -> tuple[int, int]:
    """Multiplier and shift that make a difference of inputs, times beta, a Q5.26. Source: PreprocessSoftmaxScaling."""
    real = min(float(np.float32(beta)) * input_scale * 2.0 ** (31 - _SOFTMAX_INTEGER_BITS), 2.0**31 - 1.0)
    return quantize_multiplier(real)


def softmax_differences(shift: int) -> int:
    """How many differences 0, 1 .. of inputs count, at most 256. Source: CalculateInputRadius."""
    integer_bits = _SOFTMAX_INTEGER_BITS
    radius = floor((2**integer_bits - 1) * 2.0 ** (31 - integer_bits) / 2.0**shift) if shift >= 0 else 255
    return min(radius, 255) + 1


def softmax_exponentials(input_scale: float, beta: float) -> tuple[int, ...]:
    """exp(-beta * scale * d) in Q0.31 for the differences d = 0, 1 .. to the maximum of a row, as long as they count."""
    multiplier, shift = softmax_multiplier(input_scale, beta)
    differences = range(softmax_differences(shift))
    return tuple(exp_of_negative(rounding_doubling_high_multiply(-(d << max(shift, 0)), multiplier)) for d in differences)
