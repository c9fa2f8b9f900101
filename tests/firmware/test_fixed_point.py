"""Fixed-point numbers that are computed when a model is compiled."""

from __future__ import annotations

from fractions import Fraction
from math import frexp

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hilnas.firmware.fixed_point import (
    INT32_MAX,
    INT32_MIN,
    exp_of_negative,
    quantize_multiplier,
    round_half_away,
    rounding_divide_by_power_of_two,
    wide_multiplier,
)


@given(st.floats(1e-9, 1e6))
def test_a_multiplier_is_within_half_a_unit(real: float) -> None:
    multiplier, shift = quantize_multiplier(real)
    assert 2**30 <= multiplier <= 2**31 - 1
    assert abs(Fraction(multiplier, 2**31) * Fraction(2) ** shift - Fraction(real)) <= Fraction(1, 2**32) * Fraction(2) ** frexp(real)[1]


@pytest.mark.parametrize(("value", "exponent", "expected"), [(5, 1, 3), (-5, 1, -3), (6, 2, 2), (-6, 2, -2), (7, 0, 7), (-1, 31, 0)])
def test_halves_are_rounded_away_from_zero(value: int, exponent: int, expected: int) -> None:
    assert rounding_divide_by_power_of_two(value, exponent) == expected


@given(st.floats(1e-9, 100.0), st.integers(-250, 250), st.integers(-2, 2))
@example(0.5, 3, 0)
@example(0.3, 1, 0)
@example(1 / 3, -7, 1)
def test_a_wide_multiplier_rounds_as_double_precision_does(real: float, result: int, step: int) -> None:
    """Around every place where the result changes."""
    accumulator = round((result - 0.5) / real) + step
    if not INT32_MIN <= accumulator <= INT32_MAX or abs(accumulator * real) > 256:
        return
    multiplier, shift = wide_multiplier(real)
    assert 0 <= multiplier < 2**62
    high = (accumulator * multiplier) >> 32
    assert (high + (1 << (shift - 1))) >> shift == round_half_away(accumulator * real)


def test_exponentials_fall_from_one_to_zero() -> None:
    values = [exp_of_negative(-(step << 20)) for step in range(2048)]
    assert values[0] == INT32_MAX
    assert values == sorted(values, reverse=True)
    assert values[64] / 2**31 == pytest.approx(0.36787944, rel=1e-6)
