"""Places every tensor, ring of rows and scratch memory.

Each lives from the segment that writes it to the last one that reads it. Where an input dies in the segment that writes an output, both
may share memory as far as no write overtakes a read.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from hilnas.errors import DoesNotFitError
from hilnas.firmware.lower import Program
from hilnas.firmware.segments import Lives, Segment, cuts, peak_of, ring_sizes, tensor_lives
from hilnas.firmware.streaming import Distance

ALIGNMENT = 8
ADDED_SHARE = 0.05
"""Of the instructions: what streaming may add."""

_MOVES, _DIRECTED_MOVES = 40, 15
_BOUNDLESS = 2**63
_CUTS = 4
"""Cuts that are placed; the smallest one is taken."""


@dataclass(frozen=True)
class Buffer:
    """Bytes that are needed from layer `first` to layer `last`, both included. `tensor` is None for scratch memory. `ring_rows` is how
    many rows of the tensor there are at a time, None for all."""

    name: str
    size_bytes: int
    first: int
    last: int
    tensor: int | None = None
    ring_rows: int | None = None


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


@dataclass(frozen=True)
class MemoryPlan:
    """Where every buffer is. `arenas` has the bytes of each memory's arena; memories that are not needed are not in it. `segments` says
    how the layers run, `lower_bound_bytes` what they need at least when they run so."""

    placed: tuple[Placed, ...]
    arenas: Mapping[str, int]
    segments: tuple[Segment, ...]
    lower_bound_bytes: int

    @property
    def arena_bytes(self) -> int:
        """All arenas together."""
        return sum(self.arenas.values())


def plan_memory(program: Program, memories: Mapping[str, int], added_share: float = ADDED_SHARE) -> MemoryPlan:
    """The smallest plan that adds at most `added_share` of the program's instructions; 0 is the fastest.

    Places the buffers of `program` in `memories` (bytes that an arena may take, in order of preference). Exact for what is built later
    from the same shapes: weights are not looked at.

    Raises:
        DoesNotFitError: a buffer finds no place.
    """
    lives = tensor_lives(program)
    plans: list[MemoryPlan] = []
    failure: DoesNotFitError | None = None
    for cut in islice(cuts(program, lives, added_share), _CUTS):
        bound = peak_of(program, lives, cut)
        if plans and min(plan.arena_bytes for plan in plans) <= bound:
            break
        buffers = live_buffers(program, lives, cut)
        sharing = {pair: distance for segment in cut for pair, distance in segment.distances.items() if lives.dies_in(pair[0], segment)}
        try:
            placed = _placed(program, buffers, memories, sharing, bound)
        except DoesNotFitError as error:
            failure = failure or error
            continue
        plans.append(MemoryPlan(placed, _arenas(placed), cut, bound))
    if not plans:
        assert failure is not None
        raise failure
    return min(plans, key=lambda plan: plan.arena_bytes)


def live_buffers(program: Program, lives: Lives, cut: Sequence[Segment]) -> list[Buffer]:
    """Every tensor and scratch memory with its lifetime, which begins and ends with a segment."""
    starts = {layer: segment.first for segment in cut for layer in range(segment.first, segment.last + 1)}
    ends = {layer: segment.last for segment in cut for layer in range(segment.first, segment.last + 1)}
    buffers = []
    rings: dict[int, tuple[int, int]] = {}
    for segment in cut:
        sizes = ring_sizes(program, segment)
        rings.update((tensor, (rows, sizes[tensor])) for tensor, rows in segment.rings.items())
        if segment.scratch_bytes:
            name = f"scratch of {program.layers[segment.first].name}"
            buffers.append(Buffer(name, segment.scratch_bytes, segment.first, segment.last))
    for tensor, size in lives.sizes.items():
        rows, kept = rings.get(tensor, (None, size))
        name, first, last = program.graph.tensors[tensor].name, starts[lives.first[tensor]], ends[lives.last[tensor]]
        buffers.append(Buffer(name, kept, first, last, tensor, rows))
    return buffers


def _orders(buffers: Sequence[Buffer]) -> Iterator[list[Buffer]]:
    """Orders in which first fit does well: by size, from the start, from the end."""
    keys: tuple[Callable[[Buffer], tuple[int, int]], ...] = (
        lambda buffer: (-buffer.size_bytes, buffer.first),
        lambda buffer: (buffer.first, -buffer.size_bytes),
        lambda buffer: (-buffer.last, -buffer.size_bytes),
        lambda buffer: (buffer.tensor is None, -buffer.size_bytes),
    )
    for key in keys:
        yield sorted(buffers, key=key)


Sharing = Mapping[tuple[int, int], Distance]
"""Of tensors that may share memory: (input, output)."""


def _placed(program: Program, buffers: Sequence[Buffer], memories: Mapping[str, int], sharing: Sharing, bound: int) -> tuple[Placed, ...]:
    """First fit in several orders, each improved by a local search: what ends highest goes first, after some rounds behind something that
    lives at the same time."""
    best: tuple[Placed, ...] = ()
    failure: DoesNotFitError | None = None
    chance = random.Random(0)
    for start in _orders(buffers):
        order, size = start, _BOUNDLESS
        for move in range(_MOVES):
            try:
                placed = _first_fit(program, order, memories, sharing)
            except DoesNotFitError as error:
                failure = failure or error
                break
            found = sum(_arenas(placed).values())
            if found <= size:
                size, start = found, order
            if not best or found < sum(_arenas(best).values()):
                best = placed
            if found <= bound + ALIGNMENT:
                return best
            highest = max(placed, key=lambda item: item.end).buffer
            if move < _DIRECTED_MOVES:
                order = list(dict.fromkeys((highest, *order)))
            else:
                other = chance.choice([buffer for buffer in start if buffer.first <= highest.last and highest.first <= buffer.last])
                order = list(dict.fromkeys((other, highest, *start)))
    if not best:
        assert failure is not None
        raise failure
    return best


def _arenas(placed: Sequence[Placed]) -> dict[str, int]:
    arenas: dict[str, int] = {}
    for item in placed:
        arenas[item.memory] = max(arenas.get(item.memory, 0), item.end)
    return arenas


def _first_fit(program: Program, buffers: Sequence[Buffer], memories: Mapping[str, int], sharing: Sharing) -> tuple[Placed, ...]:
    """Each buffer in turn at the lowest free offset of the first memory that has one."""
    placed: dict[str, list[Placed]] = {memory: [] for memory in memories}
    for buffer in buffers:
        for memory, size in memories.items():
            offset = _lowest_offset(buffer, placed[memory], sharing)
            if offset + buffer.size_bytes <= size:
                placed[memory].append(Placed(buffer, memory, offset))
                break
        else:
            raise _does_not_fit(program, buffer, placed, memories, sharing)
    return tuple(item for items in placed.values() for item in items)


def _lowest_offset(buffer: Buffer, placed: Sequence[Placed], sharing: Sharing) -> int:
    """The lowest offset among those that touch a neighbour, or share as much with it as they may."""
    neighbours = [item for item in placed if item.buffer.first <= buffer.last and buffer.first <= item.buffer.last]
    offsets = {0}
    for item in neighbours:
        offsets.add(item.end)
        as_output, as_input = _distances(buffer, item.buffer, sharing)
        if as_output is not None:
            offsets.update((item.offset - as_output.least, item.offset - as_output.free))
        if as_input is not None:
            offsets.update((item.offset + as_input.least, item.offset + as_input.free))
    for offset in sorted({-(-offset // ALIGNMENT) * ALIGNMENT for offset in offsets if offset >= 0}):
        if all(_fits(buffer, offset, item, sharing) for item in neighbours):
            return offset
    raise AssertionError("behind all neighbours there is always room")


def _distances(buffer: Buffer, other: Buffer, sharing: Sharing) -> tuple[Distance | None, Distance | None]:
    """How a buffer may share the memory of another one that is its input; and of one that is its output."""
    if buffer.tensor is None or other.tensor is None:
        return None, None
    return sharing.get((other.tensor, buffer.tensor)), sharing.get((buffer.tensor, other.tensor))


def _fits(buffer: Buffer, offset: int, item: Placed, sharing: Sharing) -> bool:
    if offset >= item.end or offset + buffer.size_bytes <= item.offset:
        return True
    as_output, as_input = _distances(buffer, item.buffer, sharing)
    if as_output is not None:
        return as_output.allows(item.offset - offset)
    return as_input is not None and as_input.allows(offset - item.offset)


def _does_not_fit(
    program: Program, buffer: Buffer, placed: Mapping[str, list[Placed]], memories: Mapping[str, int], sharing: Sharing
) -> DoesNotFitError:
    missing = min(_lowest_offset(buffer, placed[memory], sharing) + buffer.size_bytes - size for memory, size in memories.items())
    sizes = ", ".join(f"{memory} {size}" for memory, size in memories.items())
    layer = program.layers[buffer.first]
    return DoesNotFitError(
        f"the model needs {missing} bytes more RAM at layer {buffer.first} ({layer.operator.op} {layer.name!r}), for {buffer.name!r} "
        f"of {buffer.size_bytes} bytes",
        f"Bytes for tensors: {sizes}. Take a smaller model or a board with more RAM.",
    )
