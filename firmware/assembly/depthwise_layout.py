"""How a depthwise convolution is laid out: planes, segments of rows, and the stream of weights.

Four channels' pixels are spread to planes of int16, one a channel; each plane is convolved by itself, up to eight neighbouring outputs, a
segment, at a time. Planes hold inputs less their zero point, so padding is 0 and can be left out where it is cheaper to do so. A plane is
rows of whole words.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from hilnas.firmware.assembly.taps import RowOfOutputs, words_of

MOST_OUTPUTS = 8
HEADER_BYTES = 16
"""Of a channel's stream, before its weights: start of the sum, form of requantisation with its shift, multiplier, addend."""

WORD_STEP = 16
"""Bytes from one word of a plane to its next: the words of four planes alternate."""

_FREE_IN_FPU = tuple(f"s{number}" for number in range(7, 16))
_MOST_SEGMENTS = 3
_MOST_WHOLE_ROWS = 5
_MOST_WHOLE_TAPS = 150


class Extent(IntEnum):
    """What the code of a routine may cover without a loop, where that is small."""

    SEGMENT = 1
    """Some neighbouring outputs: the code serves several places of a row."""
    ROW = 2
    """Each segment of a row has code of its own."""
    IMAGE = 3
    """Each row has code of its own."""


@dataclass(frozen=True)
class DepthwiseLayout:
    """A convolution of planes of one shape: filter (height, width), stride of both directions, padding above and on the left, input
    (height, width), output (height, width), and what its code may cover. Where the image's height does not matter, routines for different
    heights are the same."""

    filter: tuple[int, int]
    stride: int
    padding: tuple[int, int]
    input: tuple[int, int]
    output: tuple[int, int]
    extent: Extent = Extent.IMAGE

    @property
    def whole(self) -> bool:
        """Whether the code covers the image, each row by itself, and products with padding are left out."""
        taps = self.output[0] * self.filter[0] * self.filter[1]
        small = self.output[0] <= _MOST_WHOLE_ROWS and self.output[1] <= MOST_OUTPUTS and taps <= _MOST_WHOLE_TAPS
        return small and self.extent == Extent.IMAGE

    @property
    def few_segments(self) -> bool:
        """Whether a row is so short that each segment may have code of its own."""
        return self.output[1] <= _MOST_SEGMENTS * MOST_OUTPUTS

    @property
    def unrolled(self) -> bool:
        """Whether all filter rows are done in a piece, above and below the image on rows of zeros; otherwise they are a loop, in which
        rows outside the image are left out."""
        return self.filter[0] <= 3 and not self.whole

    @property
    def rows_before(self) -> int:
        """Rows of zeros above the image."""
        return self.padding[0] if self.unrolled else 0

    @property
    def plane_rows(self) -> int:
        """Rows of a plane."""
        needed = (self.output[0] - 1) * self.stride + self.filter[0] if self.unrolled else 0
        return max(self.input[0] + self.rows_before, needed)

    @cached_property
    def pattern(self) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
        """Outputs of the segments of a row: those that repeat, how often, and those of the rest."""
        width, most = self.output[1], MOST_OUTPUTS
        count = -(-width // most)
        each = tuple((width + part) // count for part in range(count)), 1, ()
        if self.few_segments and self.extent >= Extent.ROW:
            return each
        for size in range(most, 5, -1):
            if width % size == 0 and size * self.stride % 2 == 0:
                return (size,), width // size, ()
        for size in range(most, 5, -1):
            if width % (2 * size) == 0:
                return (size, size), width // (2 * size), ()
        repeats = (width - 1) // most
        return ((most,), repeats, (width - repeats * most,)) if repeats > 1 else each

    @property
    def padded(self) -> bool:
        """Whether the padding at a row's ends is there as zeros: where a segment's code serves several places of a row."""
        return self.pattern[1] > 1

    @property
    def words_before(self) -> int:
        """Words of padding before pixel 0."""
        return (self.padding[1] + 1) // 2 if self.padded else 0

    @property
    def pitch(self) -> int:
        """Bytes of a row of the planes."""
        last = (self.output[1] - 1) * self.stride - self.padding[1] + self.filter[1] - 1 if self.padded else 0
        return WORD_STEP * (self.words_before + max((self.input[1] + 1) // 2, last // 2 + 1))

    @cached_property
    def segments(self) -> tuple[RowOfOutputs, ...]:
        """The segments of the pattern, then those of the rest."""
        repeating, repeats, rest = self.pattern
        found: list[RowOfOutputs] = []
        first = 0
        for outputs in (*repeating, *rest):
            if len(found) == len(repeating):
                first = sum(repeating) * repeats
            pixels = None if self.padded else self.input[1]
            found.append(RowOfOutputs(first, outputs, self.filter[1], self.stride, self.padding[1], pixels))
            first += outputs
        return tuple(found)

    @property
    def ends(self) -> tuple[int, ...]:
        """The outputs of the segments, one for each place in the code where a segment ends."""
        return (self.output[1],) * self.output[0] if self.whole else tuple(segment.outputs for segment in self.segments)

    @cached_property
    def words(self) -> tuple[int, ...]:
        """The words of weights of a filter row, as `taps` has them."""
        return words_of(self.segments)

    @property
    def weight_registers(self) -> tuple[tuple[str, ...], ...]:
        """Registers of the FPU that hold the words of a channel's weights, by filter row; empty if they are loaded when needed."""
        count = len(self.words)
        if not self.unrolled or self.filter[0] * count > len(_FREE_IN_FPU):
            return ()
        return tuple(_FREE_IN_FPU[row * count : (row + 1) * count] for row in range(self.filter[0]))

    @property
    def row_bytes(self) -> int:
        """Bytes of a filter row in the stream."""
        return 4 * ((len(self.words) + 1) // 2)

    @property
    def channel_bytes(self) -> int:
        """Bytes of a channel in the stream."""
        return HEADER_BYTES + self.filter[0] * self.row_bytes
