"""Weights and requantisation of a layer as the streams that the routines read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hilnas.firmware.assembly import convolve, depthwise_finish
from hilnas.firmware.assembly.depthwise_layout import DepthwiseLayout
from hilnas.firmware.assembly.requantise import LARGEST_SHIFT, Channel, Fit, fit_all, scaled


@dataclass(frozen=True, eq=False)
class Filters:
    """A layer's weights and what happens to its accumulators.

    weights: int8 (output channels, inputs of one output); bias: int32 values (output channels); multipliers in [2^30, 2^31) or 0 and
    shifts as in multiplier / 2^31 * 2^shift (output channels); the input's zero point; the output's zero points (output channels) and
    range.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int64]
    multipliers: NDArray[np.int64]
    shifts: NDArray[np.int64]
    input_zero_point: int
    zero_points: NDArray[np.int64]
    low: int
    high: int

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """The output channels: the scale of each, and the accumulators that its weights can give."""
        weights = self.weights.astype(np.int64)
        positive, negative = np.maximum(weights, 0).sum(axis=1), np.minimum(weights, 0).sum(axis=1)
        smallest, largest = -128 - self.input_zero_point, 127 - self.input_zero_point
        lowest = self.bias + positive * smallest + negative * largest
        highest = self.bias + positive * largest + negative * smallest
        numbers = zip(self.multipliers, self.shifts, self.zero_points, lowest, highest, strict=True)
        return tuple(Channel(int(scale), -int(shift), int(point), int(low), int(high)) for scale, shift, point, low, high in numbers)

    @cached_property
    def reached(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The outputs of the lowest and of the highest accumulator of each channel, before the clamp."""
        ends = (np.array([getattr(channel, end) for channel in self.channels]) for end in ("lowest", "highest"))
        low, high = (np.clip(scaled(values, self.multipliers, -self.shifts) + self.zero_points, -128, 127) for values in ends)
        return low, high

    def start(self, index: int) -> int:
        """The accumulator's start where the products are of raw inputs: the bias, less the input's zero point times all weights."""
        return int(self.bias[index]) - self.input_zero_point * int(self.weights[index].astype(np.int64).sum())


def simplified(filters: Filters) -> Filters:
    """The same layer, in which a channel that gives one output whatever its inputs has no weights and no bias."""
    low, high = (np.clip(outputs, filters.low, filters.high) for outputs in filters.reached)
    dead = low == high
    return replace(
        filters,
        weights=np.where(dead[:, None], np.int8(0), filters.weights),
        bias=np.where(dead, 0, filters.bias),
        multipliers=np.where(dead, 0, filters.multipliers),
        shifts=np.where(dead, -1, filters.shifts),
        zero_points=np.where(dead, low, filters.zero_points),
    )


def requantisable(filters: Filters) -> bool:
    """Whether the routines' requantisation covers a layer: scales below 1/2, and no clamp but int8's own that a value can reach."""
    for channel in filters.channels:
        if not 1 <= channel.shift <= LARGEST_SHIFT or max(-channel.lowest, channel.highest) >= 2**29:
            return False
    low, high = filters.reached
    return bool((low >= filters.low).all() and (high <= filters.high).all())


def pairable(filters: Filters) -> bool:
    """Whether two output channels can share halfwords: an even number, and sums that stay within 24 bits."""
    weights = filters.weights.astype(np.int64)
    pairs = 256 * weights[0::2] + weights[1::2] if len(weights) % 2 == 0 else np.array([2**15])
    if pairs.min() < -(2**15) or pairs.max() >= 2**15:
        return False
    margin = 2**23 - 2**13
    return all(max(-channel.lowest, channel.highest) < margin for channel in filters.channels[0::2])


def exact_numbers(channel: Channel) -> tuple[int, int, int]:
    """Multiplier, addend and shift of the reference's own arithmetic on twice the accumulator."""
    return channel.multiplier, (channel.zero_point << channel.shift) + (1 << (channel.shift - 1)), channel.shift


def pack_pairs(filters: Filters, order: NDArray[np.int64]) -> bytes:
    """The stream of `Dot` routines; `order[i]` is the input whose weight is at place i, -1 for none. An even number of places."""
    places = len(order)
    gathered = np.where(order >= 0, filters.weights.astype(np.int64)[:, order], 0)
    halves = 256 * gathered[0::2] + gathered[1::2]
    words = (halves[:, 0::2] & 0xFFFF) | ((halves[:, 1::2] & 0xFFFF) << 16)
    pairs = list(zip(filters.channels[0::2], filters.channels[1::2], strict=True))
    fits = _uniform_fits(pairs, (8, 0), convolve.FIT_SHIFTS)
    stream: list[int] = []
    for pair, (form, numbers) in enumerate(fits):
        start_a, start_b = (filters.start(2 * pair + side) + numbers[side].offset for side in range(2))
        stream += [256 * start_a + start_b, start_b, *words[pair], form]
        for channel, fitted in zip(pairs[pair], numbers, strict=True):
            stream += [channel.multiplier, _exact_shift(channel)] if form == convolve.EXACT_FORM else [fitted.multiplier, fitted.addend]
    assert places % 2 == 0
    return b"".join((int(word) & 0xFFFFFFFF).to_bytes(4, "little") for word in stream)


def _uniform_fits(
    groups: Sequence[tuple[Channel, ...]], scale_bits: tuple[int, ...], shifts: tuple[int, ...]
) -> list[tuple[int, tuple[Fit, ...]]]:
    """For each group of channels a form that fits all of it, and the fits; the form after those of `shifts` is the exact one. As many
    groups as possible have the same form: the jump to a form is then predicted. `scale_bits` are those of each channel of a group."""
    exact = len(shifts)

    def fitted(form: int, which: Sequence[int]) -> dict[int, tuple[Fit, ...]]:
        columns = [fit_all([groups[index][position] for index in which], shifts[form], bits) for position, bits in enumerate(scale_bits)]
        rows = zip(which, zip(*columns, strict=True), strict=True)
        return {index: tuple(one for one in row if one is not None) for index, row in rows if None not in row}

    found: dict[int, tuple[int, tuple[Fit, ...]]] = {}
    for form in range(exact):
        left = [index for index in range(len(groups)) if index not in found]
        found.update((index, (form, numbers)) for index, numbers in fitted(form, left).items())
    usual = Counter(form for form, _ in found.values()).most_common(1)[0][0] if found else exact
    if usual < exact:
        again = fitted(usual, [index for index, (form, _) in found.items() if form < usual])
        found.update((index, (usual, numbers)) for index, numbers in again.items())
    none = (exact, tuple(Fit(0, 0, 0) for _ in scale_bits))
    return [found.get(index, none) for index in range(len(groups))]


def _exact_shift(channel: Channel) -> int:
    """The shift in the lowest byte; above it twice the zero point, plus one."""
    return (2 * channel.zero_point + 1) << 8 | channel.shift


def interleaved_order(channels: int) -> NDArray[np.int64]:
    """Places of a pixel's channels where int8 words are widened by SXTB16: 0, 2, 1, 3, 4, 6, 5, 7 .. up to a multiple of four."""
    places = np.arange(-(-channels // 4) * 4).reshape(-1, 4)[:, [0, 2, 1, 3]].ravel()
    return np.where(places < channels, places, -1)


def column_order(height: int, width: int, channels: int, column: int) -> NDArray[np.int64]:
    """Places of a filter (height, width, channels) over columns of widened rows, `column` places each: column, row, then channels as
    they are widened."""
    inner = interleaved_order(channels) if channels % 4 == 0 else np.arange(channels)
    order = np.full((width, column), -1)
    for x in range(width):
        order[x, : height * channels] = [(y * width + x) * channels + int(c) for y in range(height) for c in inner]
    places = order.ravel()
    return np.pad(places, (0, len(places) % 2), constant_values=-1)


def pack_depthwise(filters: Filters, kernel: DepthwiseLayout) -> bytes:
    """The stream of `kernel`: for each channel its header and its filter, row by row, as `taps` wants the words."""
    words = list(kernel.words) + [kernel.filter[1]] * (len(kernel.words) % 2)
    stream = bytearray()
    fits = _uniform_fits([(channel,) for channel in filters.channels], (0,), depthwise_finish.FIT_SHIFTS)
    for index, (form, (fitted,)) in enumerate(fits):
        exact = form == depthwise_finish.EXACT_FORM
        multiplier, addend, shift = exact_numbers(filters.channels[index]) if exact else (fitted.multiplier, fitted.addend, 0)
        for value in (int(filters.bias[index]) + fitted.offset, form << 8 | shift, multiplier, addend):
            stream += (value & 0xFFFFFFFF).to_bytes(4, "little")
        rows = filters.weights[index].reshape(kernel.filter[0], kernel.filter[1])
        taps = np.concatenate([rows, np.zeros((kernel.filter[0], 2), np.int8)], axis=1)
        for row in taps:
            for a, b in zip(words[0::2], words[1::2], strict=True):
                stream += np.array([row[a], row[b], row[a + 1], row[b + 1] if b < kernel.filter[1] else 0], np.int8).tobytes()
    return bytes(stream)
