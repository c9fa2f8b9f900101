"""What the assembly computes with: fitted requantisation, and the plane of an addition."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hilnas.firmware.assembly import convolve, depthwise_finish
from hilnas.firmware.assembly.add import SHIFT, fit_plane
from hilnas.firmware.assembly.requantise import Channel, fit, reference, thresholds
from hilnas.firmware.fixed_point import quantize_multiplier, scale_accumulator

FIT_SHIFTS = tuple(sorted({*convolve.FIT_SHIFTS, *depthwise_finish.FIT_SHIFTS}))
zero_points = st.one_of(st.sampled_from([-128, 127, 0]), st.integers(-128, 127))


@st.composite
def channels(draw: st.DrawFn) -> Channel:
    """Channels of every scale that layers have, from dead ones to those that saturate at once."""
    multiplier, shift = quantize_multiplier(2.0 ** draw(st.floats(-22, -1.01)))
    reach = draw(st.integers(1, 2**21))
    middle = draw(st.integers(-(2**18), 2**18))
    return Channel(multiplier, -shift, draw(zero_points), middle - reach, middle + reach)


def accumulators(channel: Channel, seed: int = 0) -> np.ndarray:
    """Both ends, both sides of every threshold, and some between."""
    at = thresholds(channel)
    found = np.concatenate([at, at - 1, np.random.default_rng(seed).integers(channel.lowest, channel.highest + 1, 200)])
    inside = found[(found >= channel.lowest) & (found <= channel.highest)]
    return np.concatenate([inside, [channel.lowest, channel.highest]])


@given(channels())
def test_the_reference_is_that_of_fixed_point(channel: Channel) -> None:
    for value in accumulators(channel)[:50]:
        scaled = scale_accumulator(int(value), channel.multiplier, -channel.shift) + channel.zero_point
        assert reference(channel, np.array([value]))[0] == min(127, max(-128, scaled))


@given(channels())
def test_thresholds_are_where_outputs_begin(channel: Channel) -> None:
    for output, at in zip(range(-127, 128), thresholds(channel), strict=True):
        if channel.lowest < at <= channel.highest:
            assert list(reference(channel, np.array([at - 1, at])) >= output) == [False, True]


@settings(deadline=None)
@given(channels(), st.sampled_from(FIT_SHIFTS), st.sampled_from([0, 8]))
def test_what_fits_is_exact(channel: Channel, shift: int, scale_bits: int) -> None:
    fitted = fit(channel, shift, scale_bits)
    if fitted is None:
        return
    values = accumulators(channel)
    high = ((values + fitted.offset << scale_bits) * fitted.multiplier + 2**31 >> 32) + fitted.addend
    assert abs(fitted.multiplier) < 2**31
    assert np.abs(high).max() < 2**31
    np.testing.assert_array_equal(np.clip(high >> shift + scale_bits, -128, 127), reference(channel, values))


def test_most_channels_behind_a_relu_fit() -> None:
    """Outputs from -128 on have one kind of rounding, which a line can follow."""
    rng = np.random.default_rng(0)
    fitting = 0
    for _ in range(100):
        multiplier, shift = quantize_multiplier(float(2.0 ** rng.uniform(-10, -5)))
        channel = Channel(multiplier, -shift, -128, -50_000, 50_000)
        fitting += any(fit(channel, option, 0) is not None for option in FIT_SHIFTS)
    assert fitting >= 95


@settings(deadline=None, max_examples=5)
@given(st.floats(0.1, 2), st.floats(0.1, 2), st.integers(-128, 127))
def test_a_plane_agrees_everywhere(first: float, second: float, zero_point: int) -> None:
    values = np.arange(-128, 128, dtype=np.int64)
    outputs = np.clip(np.rint(first * values[:, None] + second * values).astype(np.int64) + zero_point, -128, 127)
    plane = fit_plane(outputs, first, second)
    if plane is None:
        return
    sums = plane.a * values[:, None] + plane.b * values + plane.c
    assert np.abs(sums).max() < 2**31
    np.testing.assert_array_equal(np.clip(sums >> SHIFT, -128, 127), outputs)


def test_no_plane_for_what_is_none() -> None:
    outputs = np.random.default_rng(0).integers(-128, 128, (256, 256))
    assert fit_plane(outputs, 1.0, 1.0) is None
