"""Packs buffers into memories: where each lives, so that nothing that is needed is overwritten and the arenas are small.

The memories are taken as one range of addresses after the other, in order of preference; no buffer lies across a border. The last memory
has no end here, so that packing always succeeds; whoever asks compares what came out with what there is.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf, lcm

from hilnas.firmware.alignment import round_up
from hilnas.firmware.streaming import Distance

ALIGNMENT = 8

_MOVES, _MOVES_WHEN_CLOSE = 200, 30
CLOSE = 1.02
"""Of the lower bound: arenas that need no long search for smaller ones."""
_DEAR = 1.1
"""Of the lower bound: what hot buffers in the first memory may cost."""
_TO_THE_FRONT = 0.9
"""How often a search moves a buffer to the very front."""


@dataclass(frozen=True)
class Buffer:
    """Bytes that are needed from layer `first` to layer `last`, both included. `tensor` is None for scratch memory. `ring_rows` is how
    many rows of the tensor there are at a time, None for all. `traffic_bytes`: what a run reads and writes there, by estimate."""

    name: str
    size_bytes: int
    first: int
    last: int
    tensor: int | None = None
    ring_rows: int | None = None
    traffic_bytes: int = 0

    @property
    def heat(self) -> float:
        """How often a run touches each byte."""
        return self.traffic_bytes / self.size_bytes


@dataclass(frozen=True)
class Placed:
    """A buffer and where it is: an offset into the arena of a memory."""

    buffer: Buffer
    memory: str
    offset: int

    @property
    def end(self) -> int:
        """The first offset behind it."""
        return self.offset + self.buffer.size_bytes


Sharing = Mapping[tuple[int, int], Distance]
"""Of tensors that may share memory: (input, output)."""


@dataclass(frozen=True, slots=True)
class _Neighbour:
    """A buffer that lives at the same time: its number, and by how much it may begin behind the other one where they share memory: the
    distances at which they share most, and all others. Both are None where nothing is shared."""

    number: int
    size: int
    closest: tuple[int, ...] = ()
    as_input: Distance | None = None
    as_output: Distance | None = None

    def allows(self, distance: int) -> bool:
        """Whether it may begin `distance` bytes behind the other one, overlapping it."""
        if self.as_input is not None:
            return self.as_input.allows(distance)
        return self.as_output is not None and self.as_output.allows(-distance)


class Packing:
    """Buffers to be packed into `memories` (bytes of each, in order of preference)."""

    def __init__(self, buffers: Sequence[Buffer], sharing: Sharing, memories: Mapping[str, int]) -> None:
        self._buffers = buffers
        self._capacities = dict(memories)
        self._memories = list(memories)
        self._borders = [0, *accumulate(list(memories.values())[:-1])]
        self._sharing = sharing
        self._sizes = [buffer.size_bytes for buffer in buffers]
        self._neighbours = [self._around(buffer) for buffer in buffers]

    def pack(self, bound: int) -> tuple[Placed, ...]:
        """The smallest arenas that are found; none are smaller than `bound`, near which the search ends.

        First fit in several orders, the hottest buffers first in the first one. Each is improved by a local search: what found no place
        below the best end known goes further to the front. What does not fit the first memory is split, hot buffers in the first one,
        unless that takes much more than the others alone.
        """
        placed = self._pack(bound)
        arenas = arenas_of(placed)
        if len(arenas) > 1 and sum(arenas.values()) > _DEAR * bound:
            alone = Packing(self._buffers, self._sharing, dict(list(self._capacities.items())[1:])).pack(bound)
            fits = all(item.end <= self._capacities[item.memory] for item in alone)
            if fits and sum(arenas_of(alone).values()) < sum(arenas.values()):
                return alone
        return placed

    def _pack(self, bound: int) -> tuple[Placed, ...]:
        chance = random.Random(0)
        best: dict[int, int] = {}
        limit = inf
        for order in self._orders():
            for found in self._search(order, bound, limit, chance):
                best, limit = found, self._end(found)
        return tuple(self._placed(number, offset) for number, offset in best.items())

    def _around(self, buffer: Buffer) -> list[_Neighbour]:
        first, last = buffer.first, buffer.last
        return [
            self._neighbour(buffer, number, other)
            for number, other in enumerate(self._buffers)
            if other.first <= last and first <= other.last and other is not buffer
        ]

    def _neighbour(self, buffer: Buffer, number: int, other: Buffer) -> _Neighbour:
        if buffer.tensor is not None and other.tensor is not None:
            as_input = self._sharing.get((other.tensor, buffer.tensor))
            if as_input is not None:
                return _Neighbour(number, other.size_bytes, _closest(as_input), as_input=as_input)
            as_output = self._sharing.get((buffer.tensor, other.tensor))
            if as_output is not None:
                closest = tuple(-distance for distance in _closest(as_output))
                return _Neighbour(number, other.size_bytes, closest, as_output=as_output)
        return _Neighbour(number, other.size_bytes)

    def _orders(self) -> Iterator[list[int]]:
        """Orders in which first fit does well: by heat, by size, from the end, from the start."""
        keys: tuple[Callable[[Buffer], tuple[float, float]], ...] = (
            lambda buffer: (-buffer.heat, -buffer.size_bytes),
            lambda buffer: (-buffer.size_bytes, buffer.first),
            lambda buffer: (-buffer.last, -buffer.size_bytes),
            lambda buffer: (buffer.first, -buffer.size_bytes),
        )
        for key in keys:
            yield sorted(range(len(self._buffers)), key=lambda number: key(self._buffers[number]))

    def _search(self, order: list[int], bound: int, limit: float, chance: random.Random) -> Iterator[dict[int, int]]:
        """Ever smaller packings, all below `limit`."""
        for move in range(_MOVES):
            if limit <= bound + ALIGNMENT or (move >= _MOVES_WHEN_CLOSE and limit <= CLOSE * bound):
                return
            offsets, failed = self._fit(order, limit - ALIGNMENT)
            if failed is None:
                limit = self._end(offsets)
                yield offsets
                continue
            blockers = [one.number for one in self._neighbours[failed] if one.number in offsets]
            if not blockers:
                return
            order.remove(failed)
            order.insert(0 if chance.random() < _TO_THE_FRONT else order.index(chance.choice(blockers)), failed)

    def _fit(self, order: Sequence[int], limit: float) -> tuple[dict[int, int], int | None]:
        """Each buffer in turn at the lowest free offset below `limit`; and the buffer that finds none."""
        offsets: dict[int, int] = {}
        for number in order:
            size = self._sizes[number]
            around = [(one, offsets[one.number]) for one in self._neighbours[number] if one.number in offsets]
            places = set(self._borders)
            for one, place in around:
                places.update((round_up(place + one.size, ALIGNMENT), *(place - distance for distance in one.closest)))
            for offset in sorted(places):
                if 0 <= offset <= limit - size and self._is_free(offset, offset + size, around):
                    offsets[number] = offset
                    break
            else:
                return offsets, number
        return offsets, None

    def _is_free(self, offset: int, end: int, around: Sequence[tuple[_Neighbour, int]]) -> bool:
        if any(offset < border < end for border in self._borders):
            return False
        return all(offset >= place + one.size or end <= place or one.allows(place - offset) for one, place in around)

    def _end(self, offsets: Mapping[int, int]) -> int:
        return max(offset + self._sizes[number] for number, offset in offsets.items())

    def _placed(self, number: int, offset: int) -> Placed:
        memory = bisect_right(self._borders, offset) - 1
        return Placed(self._buffers[number], self._memories[memory], offset - self._borders[memory])


def arenas_of(placed: Iterable[Placed]) -> dict[str, int]:
    """Bytes of each memory that is used."""
    arenas: dict[str, int] = {}
    for item in placed:
        arenas[item.memory] = max(arenas.get(item.memory, 0), item.end)
    return arenas


def _closest(distance: Distance) -> tuple[int, int]:
    """The smallest distances between two aligned places that are allowed: on the grid, and off it."""
    return round_up(distance.least, lcm(distance.grid, ALIGNMENT)), round_up(distance.free, ALIGNMENT)
