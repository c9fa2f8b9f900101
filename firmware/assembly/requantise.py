"""From 32-bit accumulators to int8 outputs, exactly as the reference kernels do it, in as few instructions as possible.

The reference multiplies by a 31-bit multiplier and rounds, shifts right and rounds again, adds the zero point and clamps. As a function
of the accumulator this is a staircase: it is known by its thresholds, the smallest accumulators that give each output. Where a line can
be laid through all of them, SMMLAR (accumulator * multiplier + addend, high half, rounded) and SSAT with a shift give the same staircase.
The line has three numbers: the multiplier, the addend, and an offset that moves the accumulator before. `fit` searches them and accepts
only what agrees at every threshold that the accumulator can reach, which is a proof, since both functions are monotone. The rest gets the
reference's own arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

LARGEST_SHIFT = 22
"""Of a channel, so that its zero point at the scale before the shift, and what is added to it, stay within 32 bits."""

_FAR = np.int64(1) << 40
_OFFSETS = np.arange(8192, dtype=np.int64)
_OFFSETS = np.where(_OFFSETS % 2 == 1, (_OFFSETS + 1) // 2, -(_OFFSETS // 2))
_CANDIDATES = 24


@dataclass(frozen=True)
class Channel:
    """How an accumulator becomes an output: (accumulator * multiplier / 2^31 / 2^shift) + zero_point, rounded after each division.

    `lowest` and `highest` are the accumulators that can occur, bias included.
    """

    multiplier: int
    shift: int
    zero_point: int
    lowest: int
    highest: int


@dataclass(frozen=True)
class Fit:
    """out = saturate(((accumulator + offset) * multiplier / 2^32 rounded + addend) >> shift)."""

    multiplier: int
    addend: int
    offset: int


def scaled(values: Integers, multiplier: int, shift: int) -> Integers:
    """values * multiplier / 2^31 / 2^shift as the reference computes it: rounded after each division, a negative shift comes first."""
    high = ((values << max(-shift, 0)) * multiplier + (1 << 30)) >> 31
    return (high + (1 << (shift - 1)) - (high < 0)) >> shift if shift > 0 else high


def reference(channel: Channel, accumulators: Integers) -> Integers:
    """What the reference kernels make of `accumulators`, saturated to int8."""
    return np.clip(scaled(accumulators, channel.multiplier, channel.shift) + channel.zero_point, -128, 127)


def thresholds(channel: Channel) -> Integers:
    """The smallest accumulators that give at least -127, -126 .. 127; 2^40 away where none does or all do."""
    steps = np.arange(-127, 128, dtype=np.int64) - channel.zero_point
    if channel.multiplier == 0:
        return np.where(steps <= 0, -_FAR, _FAR)
    # The shift rounds halves away from zero, so the staircase has a kink at zero.
    highs = (steps << channel.shift) - (1 << (channel.shift - 1)) + (steps <= 0) if channel.shift else steps
    highs = np.clip(highs, -(2**31), 2**31)
    return -((2**30 - highs * 2**31) // channel.multiplier)


def fit(channel: Channel, shift: int, scale_bits: int) -> Fit | None:
    """The line for `channel` after which the result is shifted right by `shift + scale_bits`, or None if the search finds none.

    The kernel multiplies the accumulator by 2^scale_bits before (8 where two channels share a weight, 0 elsewhere). Deterministic.
    """
    ideal = channel.multiplier * 2.0 ** (1 - channel.shift + shift)
    if ideal >= 2**31 - 1:
        return None
    at = thresholds(channel)
    outputs = np.arange(-127, 128, dtype=np.int64)
    # Below the first reachable threshold and above the last one the line only has to stay where the staircase is.
    reached, beyond = at <= channel.lowest, at > channel.highest
    between = ~reached & ~beyond
    rise_at, rise_to, stay_at = at[between], outputs[between], at[between] - 1
    stay_below = rise_to
    if reached.any():
        rise_at, rise_to = np.append(rise_at, channel.lowest), np.append(rise_to, outputs[reached].max())
    if beyond.any():
        stay_at, stay_below = np.append(stay_at, channel.highest), np.append(stay_below, outputs[beyond].min())
    unit = 1 << (32 - scale_bits)
    step = 1 << (32 + shift)
    if not between.any():
        constant = int(outputs[reached].max()) if reached.any() else -128
        return Fit(0, constant << (shift + scale_bits), 0)
    rises, stays = rise_to * step, stay_below * step

    def bounds(multiplier: int) -> tuple[int, int]:
        return int((rises - rise_at * multiplier).max(initial=-(2**62))), int((stays - stay_at * multiplier).min(initial=2**62))

    def slack(multiplier: int) -> int:
        low, high = bounds(multiplier)
        return high - low

    best = _maximise(slack, max(1, int(ideal - ideal / 256 - 4)), min(2**31 - 1, int(ideal + ideal / 256 + 4)))
    for step_number in range(_CANDIDATES):
        multiplier = best + (step_number + 1) // 2 * (1 if step_number % 2 else -1)
        if not 0 < multiplier < 2**31:
            continue
        low, high = bounds(multiplier)
        if high <= low:
            if step_number > 4:
                break
            continue
        rest = low - unit // 2 - _OFFSETS * multiplier
        addends = -(-rest // unit)
        fits = addends * unit < rest + (high - low)
        if fits.any():
            first = int(np.argmax(fits))
            return Fit(multiplier, int(addends[first]), int(_OFFSETS[first]))
    return None


def _maximise(concave, low: int, high: int) -> int:  # type: ignore[no-untyped-def]
    """Where a concave function of integers is largest."""
    while high - low > 2:
        third = (high - low) // 3
        left, right = low + third, high - third
        if concave(left) < concave(right):
            low = left + 1
        else:
            high = right
    return max(range(low, high + 1), key=concave)
