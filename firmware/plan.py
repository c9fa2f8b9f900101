"""Places every tensor, ring of rows and scratch memory.

Each lives from the segment that writes it to the last one that reads it. Where an input dies in the segment that writes an output, both
may share memory as far as no write overtakes a read.

Streaming trades instructions for memory. Two questions can be asked: the smallest plan that adds no more than a share of the
instructions, and the plan that adds the fewest instructions within so many bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from math import inf

from hilnas.errors import BudgetError, DoesNotFitError
from hilnas.firmware.lower import Program
from hilnas.firmware.packing import CLOSE, Buffer, Packing, Placed, arenas_of
from hilnas.firmware.row_geometry import rows_read
from hilnas.firmware.segments import Cuts, Lives, Segment, activations, lower_bound, ring_sizes, tensor_lives
from hilnas.limits import show_limit

ADDED_SHARE = 0.05
"""Of the instructions: what streaming may add."""

INSTRUCTIONS_PER_MAC = 1.2

_CUTS = 40
"""Cuts that are placed at most; the smallest one is taken."""


@dataclass(frozen=True)
class MemoryPlan:
    """Where every buffer is. `arenas` has the bytes of each memory's arena; memories that are not needed are not in it. `segments` says
    how the layers run, `added_share` what streaming adds to the instructions of the layers one after the other, by estimate.

    Lower bounds: however the buffers are placed, these segments need `lower_bound_bytes`, and any other segments that were allowed
    `least_bound_bytes`: during some segment as much is alive, what an input and an output can share counted once.
    """

    placed: tuple[Placed, ...]
    arenas: Mapping[str, int]
    segments: tuple[Segment, ...]
    lower_bound_bytes: int
    least_bound_bytes: int
    added_share: float

    @property
    def arena_bytes(self) -> int:
        """All arenas together."""
        return sum(self.arenas.values())

    @property
    def by_rows(self) -> bool:
        """Whether the caller pushes the rows of the input."""
        return self.segments[0].pushed

    @property
    def full_segments(self) -> tuple[Segment, ...]:
        """The segments during which the last byte of an arena is in use, or one beyond the lower bound."""
        high = [item.buffer for item in self.placed if item.end == self.arenas[item.memory] or item.end > self.least_bound_bytes]
        return tuple(one for one in self.segments if any(buffer.first <= one.last and one.first <= buffer.last for buffer in high))


@dataclass(frozen=True)
class PlanRequest:
    """Which plan is wanted: the smallest one that adds at most `added_share` of the instructions or, where `arena_bytes` is given, the
    fastest one whose arenas have no more bytes. `by_rows`: the caller pushes the rows of the input, which need not be there as a whole."""

    added_share: float = ADDED_SHARE
    arena_bytes: int | None = None
    by_rows: bool = False

    def plan(self, program: Program, memories: Mapping[str, int]) -> MemoryPlan:
        """That plan.

        Raises:
            ModelError, BudgetError, DoesNotFitError: see `plan_memory` and `plan_fastest`.
        """
        if self.arena_bytes is not None:
            return plan_fastest(program, memories, self.arena_bytes, self.by_rows)
        return plan_memory(program, memories, self.added_share, self.by_rows)


def plan_memory(program: Program, memories: Mapping[str, int], added_share: float = ADDED_SHARE, by_rows: bool = False) -> MemoryPlan:
    """The smallest plan that adds at most `added_share` of the program's instructions; 0 is the fastest.

    Places the buffers of `program` in `memories` (bytes that an arena may take, in order of preference). Exact for what is built later
    from the same shapes: weights are not looked at. `by_rows` is as in `PlanRequest`.

    Raises:
        ModelError: the input cannot be taken by rows.
        DoesNotFitError: a buffer finds no place.
    """
    lives = tensor_lives(program)
    cuts = Cuts(program, lives, added_share * INSTRUCTIONS_PER_MAC * program.macs, by_rows)
    plans: list[MemoryPlan] = []
    failure: DoesNotFitError | None = None
    for cut in islice(_alternatives(cuts, plans), _CUTS):
        try:
            plans.append(_plan(program, memories, lives, cuts, cut))
        except DoesNotFitError as error:
            failure = failure or error
    if not plans:
        assert failure is not None
        raise failure
    return min(plans, key=lambda plan: plan.arena_bytes)


def _alternatives(cuts: Cuts, plans: Sequence[MemoryPlan]) -> Iterator[tuple[Segment, ...]]:
    """The cut of the smallest peak; then, as long as the plans made are not near the lower bound, cuts that do without one of the
    segments during which the arenas of an earlier cut were full, the smallest peak first."""
    tried: set[frozenset[Segment]] = {frozenset()}
    waiting = [(cuts.least_peak, 0, cuts.smallest(), frozenset[Segment]())]
    while waiting:
        peak, _, cut, without = heappop(waiting)
        if plans and min(plan.arena_bytes for plan in plans) <= max(peak, CLOSE * cuts.least_peak):
            return
        count = len(plans)
        yield cut
        full = plans[-1].full_segments if len(plans) > count else ()
        for segment in full:
            other = without | {segment}
            if other not in tried:
                tried.add(other)
                if found := cuts.smallest(other):
                    heappush(waiting, (cuts.peak_of(found), len(tried), found, other))


def plan_fastest(program: Program, memories: Mapping[str, int], arena_bytes: int, by_rows: bool = False) -> MemoryPlan:
    """The plan that adds the fewest instructions, by estimate, of those whose arenas have at most `arena_bytes` together.

    Raises:
        ModelError: the input cannot be taken by rows.
        BudgetError: no plan is that small; says how small the nearest is.
        DoesNotFitError: it is, but a buffer finds no place in `memories`.
    """
    lives = tensor_lives(program)
    cuts = Cuts(program, lives, inf, by_rows)
    for cut in cuts.by_falling_peak(arena_bytes):
        plan = _plan(program, memories, lives, cuts, cut)
        if plan.arena_bytes <= arena_bytes:
            return plan
    nearest = plan_memory(program, memories, inf, by_rows)
    if nearest.arena_bytes <= arena_bytes:
        return nearest
    raise BudgetError(
        f"no memory plan keeps the arenas within {show_limit('sram', arena_bytes)}; the nearest takes {nearest.arena_bytes} bytes",
        "Allow that much, or take a smaller model.",
    )


def live_buffers(program: Program, lives: Lives, cut: Sequence[Segment]) -> list[Buffer]:
    """Every tensor and scratch memory with its lifetime, which begins and ends with a segment."""
    starts = {layer: segment.first for segment in cut for layer in range(segment.first, segment.last + 1)}
    ends = {layer: segment.last for segment in cut for layer in range(segment.first, segment.last + 1)}
    traffic = _traffic(program, lives)
    buffers = []
    rings: dict[int, tuple[int, int]] = {}
    for segment in cut:
        sizes = ring_sizes(program, segment)
        rings.update((tensor, (rows, sizes[tensor])) for tensor, rows in segment.rings.items())
        if segment.scratch_bytes:
            name = f"scratch of {program.layers[segment.first].name}"
            # What is widened or regrouped there is written once and read at least once.
            passed = {root for layer in program.layers[segment.first : segment.last + 1] for root in activations(program, layer)}
            touched = 2 * sum(lives.sizes[root] for root in passed)
            buffers.append(Buffer(name, segment.scratch_bytes, segment.first, segment.last, traffic_bytes=touched))
    for tensor, size in lives.sizes.items():
        rows, kept = rings.get(tensor, (None, size))
        name, first, last = program.graph.tensors[tensor].name, starts[lives.first[tensor]], ends[lives.last[tensor]]
        buffers.append(Buffer(name, kept, first, last, tensor, rows, traffic[tensor]))
    return buffers


def _traffic(program: Program, lives: Lives) -> dict[int, int]:
    """Bytes of each tensor that a run writes, once, and reads: a row as often as it is under a window."""
    touched = dict(lives.sizes)
    for layer in program.layers:
        for root in activations(program, layer):
            touched[root] += round(lives.sizes[root] * rows_read(program.graph, layer.operator))
    return touched


def _plan(program: Program, memories: Mapping[str, int], lives: Lives, cuts: Cuts, cut: tuple[Segment, ...]) -> MemoryPlan:
    """A cut with its buffers placed."""
    buffers = live_buffers(program, lives, cut)
    sharing = {pair: distance for segment in cut for pair, distance in segment.distances.items() if lives.dies_in(pair[0], segment)}
    bound = lower_bound(program, lives, cut)
    placed = Packing(buffers, sharing, memories).pack(bound)
    for item in placed:
        if item.end > memories[item.memory]:
            raise _does_not_fit(program, max(placed, key=lambda one: one.end - memories[one.memory]), memories)
    added = sum(segment.added_instructions for segment in cut) / (INSTRUCTIONS_PER_MAC * max(program.macs, 1))
    return MemoryPlan(placed, arenas_of(placed), cut, bound, cuts.least_peak, added)


def _does_not_fit(program: Program, item: Placed, memories: Mapping[str, int]) -> DoesNotFitError:
    buffer = item.buffer
    missing = item.end - memories[item.memory]
    sizes = ", ".join(f"{memory} {size}" for memory, size in memories.items())
    layer = program.layers[buffer.first]
    return DoesNotFitError(
        f"the model needs {missing} bytes more RAM at layer {buffer.first} ({layer.operator.op} {layer.name!r}), for {buffer.name!r} "
        f"of {buffer.size_bytes} bytes",
        f"Bytes for tensors: {sizes}. Take a smaller model or a board with more RAM.",
    )
