"""From 32-bit accumulators to int8 outputs, exactly as the reference kernels do it, in as few instructions as possible.

The reference multiplies by a 31-bit multiplier and rounds, shifts right and rounds again, adds the zero point and clamps. As a function
of the accumulator this is a staircase: it is known by its thresholds, the smallest accumulators that give each output. Where a line can
be laid through all of them, SMMLAR (accumulator * multiplier + addend, high half, rounded) and SSAT with a shift give the same staircase.
The line has three numbers: the multiplier, the addend, and an offset that moves the accumulator before. `fit` searches them and accepts
only what agrees at every threshold that the accumulator can reach, which is a proof, since both functions are monotone. The rest gets the
reference's own arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

LARGEST_SHIFT = 22
"""Of a channel, so that its zero point at the scale before the shift, and what is added to it, stay within 32 bits."""

_FAR = np.int64(1) << 40
_OFFSETS = np.arange(8192, dtype=np.int64)
_OFFSETS = np.where(_OFFSETS % 2 == 1, (_OFFSETS + 1) // 2, -(_OFFSETS // 2))
_NEAR_OFFSETS = 64
_CANDIDATES = 24
_NO_BOUND = np.int64(1) << 61


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


def scaled(values: Integers, multiplier: int | Integers, shift: int | Integers) -> Integers:
    """values * multiplier / 2^31 / 2^shift as the reference computes it: rounded after each division, a negative shift comes first."""
    left, right = np.maximum(-np.asarray(shift), 0), np.maximum(shift, 0)
    high = ((values << left) * multiplier + (1 << 30)) >> 31
    rounded: Integers = np.where(right > 0, (high + (1 << np.maximum(right - 1, 0)) - (high < 0)) >> right, high)
    return rounded


def reference(channel: Channel, accumulators: Integers) -> Integers:
    """What the reference kernels make of `accumulators`, saturated to int8."""
    outputs: Integers = np.clip(scaled(accumulators, channel.multiplier, channel.shift) + channel.zero_point, -128, 127)
    return outputs


def thresholds(channel: Channel) -> Integers:
    """The smallest accumulators that give at least -127, -126 .. 127; 2^40 away where none does or all do."""
    at: Integers = _thresholds((channel,))[0]
    return at


def _thresholds(channels: Sequence[Channel]) -> Integers:
    """The same of several channels, (channels, 255)."""
    multiplier, shift, zero_point = (_column(channels, name) for name in ("multiplier", "shift", "zero_point"))
    steps = np.arange(-127, 128, dtype=np.int64) - zero_point
    # The shift rounds halves away from zero, so the staircase has a kink at zero.
    highs = np.where(shift > 0, (steps << shift) - (1 << np.maximum(shift - 1, 0)) + (steps <= 0), steps)
    highs = np.clip(highs, -(2**31), 2**31)
    at = -((2**30 - highs * 2**31) // np.maximum(multiplier, 1))
    return np.where(multiplier == 0, np.where(steps <= 0, -_FAR, _FAR), at)


def _column(channels: Sequence[Channel], name: str) -> Integers:
    return np.array([getattr(channel, name) for channel in channels], np.int64)[:, None]


def fit(channel: Channel, shift: int, scale_bits: int) -> Fit | None:
    """The line for `channel` after which the result is shifted right by `shift + scale_bits`, or None if the search finds none.

    The kernel multiplies the accumulator by 2^scale_bits before (8 where two channels share a weight, 0 elsewhere). Deterministic.
    """
    return fit_all((channel,), shift, scale_bits)[0]


def fit_all(channels: Sequence[Channel], shift: int, scale_bits: int) -> list[Fit | None]:
    """`fit` of several channels at a time, which is faster than one by one."""
    if not channels:
        return []
    stairs = _Stairs.of(channels, shift)
    ideal = np.array([channel.multiplier * 2.0 ** (1 - channel.shift + shift) for channel in channels])
    suits = ideal < 2**31 - 1
    bounded = np.where(suits, ideal, 1.0)
    low = np.maximum(1, (bounded - bounded / 256 - 4).astype(np.int64))
    high = np.minimum(2**31 - 1, (bounded + bounded / 256 + 4).astype(np.int64))
    best = stairs.best(low, high)
    found: list[Fit | None] = []
    for index, constant in enumerate(stairs.constant):
        if not suits[index]:
            found.append(None)
        elif constant is not None:
            found.append(Fit(0, constant << (shift + scale_bits), 0))
        else:
            found.append(_line(stairs.row(index), int(best[index]), scale_bits))
    return found


@dataclass(frozen=True, eq=False)
class _Stairs:
    """Where a line must be for its staircase to be that of the reference, one row a channel: at least `rises` at the accumulators
    `rise_at`, and below `stays` at `stay_at`. `constant` is the output of a channel that has only one, else None."""

    rise_at: Integers
    rises: Integers
    stay_at: Integers
    stays: Integers
    constant: tuple[int | None, ...]

    @classmethod
    def of(cls, channels: Sequence[Channel], shift: int) -> _Stairs:
        """Below the first reachable threshold and above the last one the line only has to stay where the staircase is."""
        at = _thresholds(channels)
        lowest, highest = _column(channels, "lowest"), _column(channels, "highest")
        outputs = np.arange(-127, 128, dtype=np.int64)
        reached, beyond = at <= lowest, at > highest
        between = ~reached & ~beyond
        first = np.where(reached, outputs, -128).max(axis=1, keepdims=True)
        last = np.where(beyond, outputs, 128).min(axis=1, keepdims=True)
        step = 1 << (32 + shift)
        rises = np.where(between, outputs * step, -_NO_BOUND)
        stays = np.where(between, outputs * step, _NO_BOUND)
        return cls(
            rise_at=np.hstack([np.where(between, at, 0), lowest]),
            rises=np.hstack([rises, np.where(first > -128, first * step, -_NO_BOUND)]),
            stay_at=np.hstack([np.where(between, at - 1, 0), highest]),
            stays=np.hstack([stays, np.where(last < 128, last * step, _NO_BOUND)]),
            constant=tuple(None if several.any() else int(output) for several, output in zip(between, first[:, 0], strict=True)),
        )

    def row(self, index: int) -> _Stairs:
        """One channel."""
        one = slice(index, index + 1)
        return _Stairs(self.rise_at[one], self.rises[one], self.stay_at[one], self.stays[one], self.constant[one])

    def bounds(self, multipliers: Integers) -> tuple[Integers, Integers]:
        """The lowest and the highest constant that a line with a channel's multiplier may have."""
        slopes = multipliers[:, None]
        return (self.rises - self.rise_at * slopes).max(axis=1), (self.stays - self.stay_at * slopes).min(axis=1)

    def best(self, low: Integers, high: Integers) -> Integers:
        """The multiplier of each channel, between two others, whose bounds are farthest apart: a concave function, so its slope tells on
        which side the best one is."""
        while (high - low > 1).any():
            middle = (low + high) // 2
            rises = self._slope(middle) > 0
            low, high = np.where(rises, middle, low), np.where(rises, high, middle)
        (low_bottom, low_top), (high_bottom, high_top) = self.bounds(low), self.bounds(high)
        return np.where(low_top - low_bottom >= high_top - high_bottom, low, high)

    def _slope(self, multipliers: Integers) -> Integers:
        slopes, rows = multipliers[:, None], np.arange(len(multipliers))
        bottom = (self.rises - self.rise_at * slopes).argmax(axis=1)
        top = (self.stays - self.stay_at * slopes).argmin(axis=1)
        slope: Integers = self.rise_at[rows, bottom] - self.stay_at[rows, top]
        return slope


def _line(stairs: _Stairs, best: int, scale_bits: int) -> Fit | None:
    """The line of one channel whose multiplier is `best` or near it."""
    unit = 1 << (32 - scale_bits)
    for step_number in range(_CANDIDATES):
        multiplier = best + (step_number + 1) // 2 * (1 if step_number % 2 else -1)
        if not 0 < multiplier < 2**31:
            continue
        low, high = (int(bound[0]) for bound in stairs.bounds(np.array([multiplier])))
        if high <= low:
            if step_number > 4:
                break
            continue
        for offsets in (_OFFSETS[:_NEAR_OFFSETS], _OFFSETS[_NEAR_OFFSETS:]):
            rest = low - unit // 2 - offsets * multiplier
            addends = -(-rest // unit)
            fits = addends * unit < rest + (high - low)
            if fits.any():
                first = int(np.argmax(fits))
                return Fit(multiplier, int(addends[first]), int(offsets[first]))
    return None
