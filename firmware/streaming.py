"""Chains of layers through which rows stream: in which order rows are computed, and how many of a tensor's rows are kept at a time.

A chain computes a block of rows of its last tensor after the other, and of every other tensor just the rows that these need. A tensor
that only the chain uses then takes a ring of rows: row y is at y % ring. Nothing is computed twice.

Where a tensor dies in a chain that writes another, both may share memory: `Distance` says how far the output must begin before the
input so that no write overtakes a read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf

from hilnas.firmware.alignment import round_up
from hilnas.firmware.kernel import Order, RowWise

LARGEST_ROW = 65535
"""Of a hilnas_step."""

STEP_INSTRUCTIONS = 40
"""Of the loop over the steps, each."""


@dataclass(frozen=True)
class Image:
    """Rows of `width` pixels of `pixel` bytes."""

    rows: int
    width: int
    pixel: int

    @property
    def pitch(self) -> int:
        """Bytes of a row."""
        return self.width * self.pixel


@dataclass(frozen=True)
class Stage:
    """A layer as rows. Output row y takes the input rows from y * `strides`[0] - `pad_top` on, `window` of them, that exist.

    `inputs` and `output` number the tensors of a chain. `scratch_bytes` is what the kernel needs for the whole image.
    """

    row_wise: RowWise
    source: Image
    target: Image
    window: int
    strides: tuple[int, int]
    pad_top: int
    scratch_bytes: int
    inputs: tuple[int, ...]
    output: int

    def begin(self, row: int) -> int:
        """The first input row that output row `row` takes."""
        return max(0, row * self.strides[0] - self.pad_top)

    def end(self, row: int) -> int:
        """The first input row that output row `row` takes no more."""
        return min(self.source.rows, row * self.strides[0] - self.pad_top + self.window)

    def scratch_of(self, rows: int) -> int:
        """Bytes of scratch memory for a call that computes `rows` rows."""
        return min(self.scratch_bytes, self.row_wise.fixed_scratch_bytes + rows * self.row_wise.row_scratch_bytes)


@dataclass(frozen=True)
class Step:
    """Some output rows of one stage."""

    stage: int
    first: int
    count: int


@dataclass(frozen=True)
class Distance:
    """Where output and input may share memory: the input begins `least` bytes behind the output, or more, by a multiple of `grid`; from
    `free` on by any number."""

    least: int
    grid: int
    free: int

    def allows(self, distance: int) -> bool:
        """Whether an input may begin `distance` bytes behind the output."""
        return distance >= self.free or (distance >= self.least and distance % self.grid == 0)


@dataclass(frozen=True)
class Schedule:
    """The steps of a chain; rows of the ring of each tensor that only the chain uses; scratch memory that its stages share; distances
    by (input, output); and instructions that it takes more than its layers one after the other, by estimate."""

    steps: tuple[Step, ...]
    rings: tuple[tuple[int, int], ...]
    scratch_bytes: int
    distances: tuple[tuple[tuple[int, int], Distance], ...]
    added_instructions: int


@lru_cache(maxsize=65536)
def schedule(stages: tuple[Stage, ...], kept: frozenset[int], block: int) -> Schedule:
    """A chain that computes up to `block` rows a step; `kept` are the tensors that others use, which stay whole."""
    steps = tuple(_steps(stages, kept, block))
    rings = _rings(stages, kept, steps, block)
    return Schedule(
        steps,
        rings,
        max(stage.scratch_of(block) for stage in stages),
        tuple(_distances(stages, kept, steps)),
        len(steps) * STEP_INSTRUCTIONS + _instructions(stages, steps) - _instructions(stages, whole_steps(stages)),
    )


@lru_cache(maxsize=65536)
def whole(stage: Stage) -> Schedule:
    """One layer, done in one call."""
    steps = whole_steps((stage,))
    return Schedule(steps, (), stage.scratch_bytes, tuple(_distances((stage,), {stage.output}, steps)), 0)


def whole_steps(stages: Sequence[Stage]) -> tuple[Step, ...]:
    """All rows of each stage at once."""
    return tuple(Step(index, 0, stage.target.rows) for index, stage in enumerate(stages))


def _steps(stages: Sequence[Stage], kept: Iterable[int], block: int) -> Iterator[Step]:
    producers = {stage.output: index for index, stage in enumerate(stages)}
    done = [0] * len(stages)

    def advance(index: int, until: int) -> Iterator[Step]:
        stage = stages[index]
        while done[index] < until:
            first = done[index]
            count = min(block, stage.target.rows - first)
            for tensor in stage.inputs:
                if tensor in producers:
                    yield from advance(producers[tensor], stage.end(first + count - 1))
            yield Step(index, first, count)
            done[index] += count

    for index, stage in enumerate(stages):
        if stage.output in kept:
            yield from advance(index, stage.target.rows)


def _rings(stages: Sequence[Stage], kept: Iterable[int], steps: Sequence[Step], block: int) -> tuple[tuple[int, int], ...]:
    """For each tensor, the most rows from the oldest one that a reader still needs to the newest one. Whole blocks, so that none wraps."""
    done = [0] * len(stages)
    readers = {stage.output: [i for i, other in enumerate(stages) if stage.output in other.inputs] for stage in stages}
    most = {stage.output: block for stage in stages if stage.output not in kept}
    for step in steps:
        stage = stages[step.stage]
        end = step.first + step.count
        if stage.output in most:
            needed = (stages[i].begin(done[i]) for i in readers[stage.output] if done[i] < stages[i].target.rows)
            most[stage.output] = max(most[stage.output], end - min(needed, default=end))
        done[step.stage] = end
    rows = {stage.output: stage.target.rows for stage in stages}
    return tuple((tensor, min(rows[tensor], round_up(count, block))) for tensor, count in most.items())


def _distances(stages: Sequence[Stage], kept: Iterable[int], steps: Sequence[Step]) -> Iterator[tuple[tuple[int, int], Distance]]:
    outputs = {stage.output for stage in stages}
    inputs = dict.fromkeys(tensor for stage in stages for tensor in stage.inputs if tensor not in outputs)
    for source in inputs:
        for target in outputs.intersection(kept):
            least = _least_distance(stages, steps, source, target, late=False)
            in_turns = [
                stage for stage in stages if source in stage.inputs and target == stage.output and stage.row_wise.order is Order.CHANNELS
            ]
            if not in_turns:
                yield (source, target), Distance(least, 1, least)
                continue
            grid = in_turns[0].source.pixel
            free = _least_distance(stages, steps, source, target, late=True)
            yield (source, target), Distance(round_up(least, grid), grid, free)


def _least_distance(stages: Sequence[Stage], steps: Sequence[Step], source: int, target: int, late: bool) -> int:
    """The most by which the end of a write exceeds the begin of a later read, both from the begin of their tensors."""
    events = [
        event
        for step in steps
        if source in stages[step.stage].inputs or target == stages[step.stage].output
        for event in _events(stages[step.stage], step, late)
        if (target == stages[step.stage].output if event[0] else source in stages[step.stage].inputs)
    ]
    size = max(stage.source.rows * stage.source.pitch for stage in stages if source in stage.inputs)
    distance, lowest = -size, inf
    for is_write, place in reversed(events):
        if not is_write:
            lowest = min(lowest, place)
        elif lowest < inf:
            distance = max(distance, place - int(lowest))
    return distance


def _events(stage: Stage, step: Step, late: bool) -> Iterator[tuple[bool, int]]:
    """(False, first byte read) and (True, end of the bytes written) in order. `late`: as if nothing was kept of what has been read."""
    order = Order.LATE if late else stage.row_wise.order
    for first, count in _calls(stage, step):
        read = (False, stage.begin(first) * stage.source.pitch)
        written = (True, (first + count) * stage.target.pitch)
        if order is Order.PIXELS:
            yield from _pixel_events(stage, first)
        elif order is Order.LATE:
            yield from (written, read)
        else:
            yield from (read, written)


def _pixel_events(stage: Stage, row: int) -> Iterator[tuple[bool, int]]:
    """Both places are linear in the column, so the outermost columns are enough."""
    width = stage.target.width
    for column in sorted({0, min(1, width - 1), max(0, width - 2), width - 1}):
        pixel = row * stage.strides[0] * stage.source.width + column * stage.strides[1]
        yield False, pixel * stage.source.pixel
        yield True, (row * width + column + 1) * stage.target.pixel


def _calls(stage: Stage, step: Step) -> Iterator[tuple[int, int]]:
    """The rows of a step as the kernel does them at a time: first and count."""
    end = step.first + step.count
    for first in range(step.first, end, stage.row_wise.chunk):
        yield first, min(stage.row_wise.chunk, end - first)


def _instructions(stages: Sequence[Stage], steps: Sequence[Step]) -> int:
    total = 0
    for step in steps:
        stage = stages[step.stage]
        costs = stage.row_wise
        in_one_row = costs.whole_rows and step.count == stage.target.rows
        for first, count in _calls(stage, step):
            rows = 0 if in_one_row else stage.end(first + count - 1) - stage.begin(first)
            total += costs.call_instructions + rows * costs.row_instructions
    return total
