"""Cuts a program into segments: single layers, and chains of layers through which rows stream.

Streaming saves memory and costs instructions. The cut is the one of the smallest peak whose added instructions stay within a budget:
for a given peak the cheapest cut is found by dynamic programming over the layers, and the smallest peak by bisection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

from hilnas.errors import ModelError
from hilnas.firmware.lower import Layer, Program
from hilnas.firmware.row_geometry import has_rows, pushed_stage, stage_of
from hilnas.firmware.streaming import LARGEST_ROW, Distance, Schedule, Stage, Step, schedule, whole

BLOCKS = (8, 4, 2, 1)
"""Rows a step that are tried; fewer take less memory and more instructions."""

LONGEST_CHAIN = 8


@dataclass(frozen=True, eq=False)
class Segment:
    """Layers `first` to `last`, through which rows stream if there are several. `schedule` is None if nothing is known of the order in
    which a single layer reads and writes; its number n stands for the tensor `tensors[n]`.

    Where the caller pushes the rows of the model's input, the first segment is `pushed`: the stage behind those of its layers is the
    caller, and the input may be a ring.
    """

    first: int
    last: int
    scratch_bytes: int
    schedule: Schedule | None = None
    tensors: tuple[int, ...] = ()
    pushed: bool = False

    @property
    def streams(self) -> bool:
        """Whether it runs by steps."""
        return self.last > self.first or self.pushed

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those of its layers, the caller's left out."""
        assert self.schedule is not None
        return tuple(step for step in self.schedule.steps if step.stage <= self.last - self.first)

    @cached_property
    def rings(self) -> dict[int, int]:
        """Rows of the ring of each tensor that exists in this segment only."""
        return {self.tensors[number]: rows for number, rows in self.schedule.rings} if self.schedule else {}

    @cached_property
    def distances(self) -> dict[tuple[int, int], Distance]:
        """Where an input and an output may share memory; by (input, output)."""
        pairs = self.schedule.distances if self.schedule else ()
        return {(self.tensors[source], self.tensors[target]): distance for (source, target), distance in pairs}

    @property
    def added_instructions(self) -> int:
        """By estimate, over its layers one after the other."""
        return self.schedule.added_instructions if self.schedule else 0


@dataclass(frozen=True)
class Lives:
    """The tensors that own bytes, by index: size, first and last layer that uses them; those that several tensors share, and those that
    are needed after the run: outputs and state."""

    sizes: dict[int, int]
    first: dict[int, int]
    last: dict[int, int]
    shared: frozenset[int]
    needed_later: frozenset[int]

    def dies_in(self, tensor: int, segment: Segment) -> bool:
        """Whether its bytes are free after the segment."""
        return self.last[tensor] <= segment.last and tensor not in self.needed_later


def tensor_lives(program: Program) -> Lives:
    """Inputs live from the start, outputs to the end, and state that is kept between runs always."""
    graph = program.graph
    end = len(program.layers) - 1
    first = {graph.storage(tensor): 0 for tensor in graph.inputs}
    last = dict.fromkeys(first, 0)
    for position, layer in enumerate(program.layers):
        for root in activations(program, layer):
            if graph.tensors[root].variable:
                first[root], last[root] = 0, end
            else:
                last[root] = position
        for index in layer.operator.outputs:
            first[graph.storage(index)] = position
            last.setdefault(graph.storage(index), position)
    for index in graph.outputs:
        last[graph.storage(index)] = end
    shared = frozenset(map(graph.storage, graph.same_bytes))
    later = frozenset(map(graph.storage, graph.outputs)) | {root for root in first if graph.tensors[root].variable}
    return Lives({root: graph.tensors[root].size_bytes for root in first}, first, last, shared, later)


def activations(program: Program, layer: Layer) -> list[int]:
    """The tensors that own the bytes that a layer reads, constants apart."""
    graph = program.graph
    return [graph.storage(index) for index in layer.operator.inputs if index is not None and graph.tensors[index].data is None]


class Cuts:
    """The cuts of a program whose added instructions stay within `budget`; with `by_rows` the caller pushes the rows of the input, and
    what this adds in any case is not counted. `least_peak` is a lower bound, in bytes, for all of them.

    Raises:
        ModelError: rows of the input cannot be pushed.
    """

    def __init__(self, program: Program, lives: Lives, budget: float, by_rows: bool) -> None:
        finder = _Finder(program, lives, budget, by_rows)
        self._candidates = _candidates(finder)
        self._count = len(program.layers)
        self._budget = finder.budget
        self._needed = dict(self._candidates)
        self._peaks = sorted(set(self._needed.values()))
        self.least_peak = self.peak_of(self.smallest())

    def smallest(self, without: frozenset[Segment] = frozenset()) -> tuple[Segment, ...]:
        """The cut of the smallest peak, and the cheapest of these, that has none of the segments `without`; empty if there is none."""
        low, high = 0, len(self._peaks) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._cheapest(self._peaks[middle], without) else (middle + 1, high)
        return self._cheapest(self._peaks[low], without)

    def peak_of(self, cut: tuple[Segment, ...]) -> int:
        """A lower bound of the memory that a cut takes, in bytes."""
        return max(self._needed[segment] for segment in cut)

    def by_falling_peak(self, most: int) -> Iterator[tuple[Segment, ...]]:
        """Cuts of ever smaller peaks and more added instructions, the cheapest of its peak each, from a peak of `most` bytes down."""
        found: tuple[Segment, ...] = ()
        for peak in reversed(self._peaks):
            if self.least_peak <= peak <= most:
                cut = self._cheapest(peak)
                if cut != found:
                    found = cut
                    yield cut

    def _cheapest(self, most: int, without: frozenset[Segment] = frozenset()) -> tuple[Segment, ...]:
        """The cut of the least added instructions among those whose peak is at most `most`; empty if that is more than the budget."""
        costs = [0.0, *[inf] * self._count]
        ways: list[Segment | None] = [None] * (self._count + 1)
        for segment, peak in self._candidates:
            cost = costs[segment.first] + segment.added_instructions
            if peak <= most and cost < costs[segment.last + 1] and segment not in without:
                costs[segment.last + 1], ways[segment.last + 1] = cost, segment
        if costs[self._count] == inf or costs[self._count] > self._budget:
            return ()
        cut: list[Segment] = []
        position = self._count
        while position:
            way = ways[position]
            assert way is not None
            cut.append(way)
            position = way.first
        return tuple(reversed(cut))


def ring_sizes(program: Program, segment: Segment) -> dict[int, int]:
    """Bytes of the rings of a segment."""
    tensors = program.graph.tensors
    return {tensor: tensors[tensor].size_bytes // tensors[tensor].shape[1] * rows for tensor, rows in segment.rings.items()}


def _candidates(finder: _Finder) -> list[tuple[Segment, int]]:
    """The segments that a cut may have, with their peaks, by first layer.

    A layer that alone needs no more than the plan will need anyway is in no chain for its own sake, so chains are looked at only around
    layers that need more, the most needy first.
    """
    found = dict.fromkeys(finder.singles)
    bound = 0
    for single, peak in sorted(finder.singles, key=lambda item: -item[1]):
        if peak <= bound:
            break
        around = list(finder.around(single.first))
        found.update(dict.fromkeys(around))
        bound = max(bound, min([peak, *(least for _, least in around)]))
    return sorted(found, key=lambda item: (item[0].first, item[0].last))


class _Finder:
    """Finds the segments of a program. `singles` are its layers, each by itself, with their peaks; `budget` is what segments may add."""

    def __init__(self, program: Program, lives: Lives, budget: float, by_rows: bool) -> None:
        self._program = program
        self.budget = budget
        self._lives = lives
        roots = {index: program.graph.storage(index) for index in range(len(program.graph.tensors))}
        self._stages = [stage_of(program.graph, layer, roots) for layer in program.layers]
        self._flows = [_flows(program, lives, layer, stage) for layer, stage in zip(program.layers, self._stages, strict=True)]
        self._known: dict[tuple[int, int], list[tuple[Segment, int]]] = {}
        self._pushed: Stage | None = None
        if by_rows:
            _check_rows(program, lives, self._flows[0])
            self._pushed = pushed_stage(program.graph, program.graph.inputs[0])
            self.budget = inf
            self.budget = budget + min(segment.added_instructions for segment, _ in self._streamed(0, 0))
        alone = map(self._single, range(len(program.layers)))
        self.singles = [(segment, _needed(program, lives, segment)) for segment in alone]

    def _single(self, index: int) -> Segment:
        """One layer, by itself."""
        if self._pushed and index == 0:
            return min((segment for segment, _ in self._streamed(0, 0)), key=lambda one: one.added_instructions)
        stage, scratch = self._stages[index], self._program.layers[index].kernel.scratch_bytes
        if stage is None:
            return Segment(index, index, scratch)
        (canonical,), tensors = _renumbered([stage])
        return Segment(index, index, scratch, whole(canonical), tensors)

    def around(self, index: int) -> Iterator[tuple[Segment, int]]:
        """Every chain that the layer is in and that adds no more instructions than it may, with its peak."""
        for first in range(index, max(-1, index - LONGEST_CHAIN), -1):
            if not self._flows[first]:
                return
            shortest = first if self._pushed and first == 0 else first + 1
            for last in range(max(index, shortest), min(first + LONGEST_CHAIN, len(self._flows))):
                if not self._flows[last]:
                    break
                yield from self._chains(first, last)

    def _chains(self, first: int, last: int) -> list[tuple[Segment, int]]:
        """Layers `first` to `last`, streamed with different numbers of rows a step; none if that cannot help."""
        if (first, last) not in self._known:
            helps = self._least(first, last) < max(peak for _, peak in self.singles[first : last + 1])
            self._known[first, last] = list(self._streamed(first, last)) if helps else []
        return self._known[first, last]

    def _streamed(self, first: int, last: int) -> Iterator[tuple[Segment, int]]:
        lives = self._lives
        pushed = self._pushed if first == 0 else None
        stages, tensors = _renumbered([stage for stage in (*self._stages[first : last + 1], pushed) if stage is not None])
        read = {tensor for stage in stages for tensor in stage.inputs}
        kept = frozenset(
            stage.output
            for stage in stages
            if stage.output not in read or lives.last[tensors[stage.output]] > last or tensors[stage.output] in lives.needed_later
        )
        for block in BLOCKS:
            planned = schedule(stages, kept, block)
            if planned.added_instructions > self.budget:
                return
            chain = Segment(first, last, planned.scratch_bytes, planned, tensors, pushed is not None)
            yield chain, _needed(self._program, lives, chain)

    def _least(self, first: int, last: int) -> int:
        """Bytes that live before a chain or after it, whichever are more: it cannot do with less."""
        lives = self._lives
        before = sum(size for tensor, size in lives.sizes.items() if lives.first[tensor] < first <= lives.last[tensor])
        after = sum(size for tensor, size in lives.sizes.items() if lives.first[tensor] <= last < lives.last[tensor])
        return max(before, after)


def _renumbered(stages: Sequence[Stage]) -> tuple[tuple[Stage, ...], tuple[int, ...]]:
    """The stages with tensors numbered in order of appearance, so that equal chains are planned once; and the tensor of each number."""
    numbers: dict[int, int] = {}
    for stage in stages:
        for tensor in (*stage.inputs, stage.output):
            numbers.setdefault(tensor, len(numbers))
    made = (replace(stage, inputs=tuple(numbers[tensor] for tensor in stage.inputs), output=numbers[stage.output]) for stage in stages)
    return tuple(made), tuple(numbers)


def _flows(program: Program, lives: Lives, layer: Layer, stage: Stage | None) -> bool:
    """Whether rows can stream through a layer."""
    graph = program.graph
    tensors = [graph.tensors[index] for index in layer.operator.inputs if index is not None and graph.tensors[index].data is None]
    tensors += [graph.tensors[index] for index in layer.operator.outputs]
    row_wise = layer.kernel.row_wise
    return (
        row_wise is not None
        and row_wise.function is not None
        and stage is not None
        and stage.output not in lives.shared
        and layer.exit is None
        and all(has_rows(tensor) and tensor.dtype == "int8" and tensor.shape[1] <= LARGEST_ROW for tensor in tensors)
    )


def _check_rows(program: Program, lives: Lives, flows: bool) -> None:
    """Whether the caller can push the rows of the input.

    Raises:
        ModelError: it cannot.
    """
    graph, layer = program.graph, program.layers[0]
    if len(graph.inputs) != 1:
        problem = f"the model has {len(graph.inputs)} inputs"
    elif graph.inputs[0] in lives.shared | lives.needed_later or graph.inputs[0] not in activations(program, layer):
        problem = "the input is not what the first layer reads as it is"
    elif not flows:
        problem = f"the first layer, {layer.operator.op} {layer.name!r}, has no kernel that goes row by row over an int8 image"
    else:
        return
    raise ModelError(f"the input cannot be taken by rows: {problem}", "Build it with the whole input.")


def _needed(program: Program, lives: Lives, segment: Segment, apart: tuple[int, int] | None = None) -> int:
    """Bytes that a segment needs at least: what lives during it, less what its inputs and outputs can share; `apart` are an input and
    an output that do not."""
    rings = ring_sizes(program, segment)
    living = [tensor for tensor in lives.sizes if lives.first[tensor] <= segment.last and lives.last[tensor] >= segment.first]
    total = segment.scratch_bytes + sum(rings.get(tensor, lives.sizes[tensor]) for tensor in living)
    shared: dict[int, int] = {}
    for (source, target), distance in segment.distances.items():
        if lives.dies_in(source, segment) and (source, target) != apart:
            extent = max(lives.sizes[source] + max(distance.least, 0), lives.sizes[target])
            shared[target] = shared.get(target, 0) + max(0, lives.sizes[source] + lives.sizes[target] - extent)
    return total - sum(min(lives.sizes[target], bytes_) for target, bytes_ in shared.items())


def lower_bound(program: Program, lives: Lives, cut: Sequence[Segment]) -> int:
    """Bytes that a cut needs at least, however its buffers are placed.

    At any time there are the bytes that live. And where these leave an input and an output no choice but to share memory, the input
    begins a distance behind the output; from segment to segment such distances add up.
    """
    bound = max(_needed(program, lives, segment) for segment in cut)
    pairs = [
        (source, target, distance.least, _needed(program, lives, segment, (source, target)))
        for segment in cut
        for (source, target), distance in segment.distances.items()
        if lives.dies_in(source, segment)
    ]
    while True:
        # How far the last byte that is tied to a tensor lies behind the tensor's first.
        reach = {tensor: lives.sizes[tensor] for pair in pairs for tensor in pair[:2]}
        for source, target, least, needed_apart in pairs:
            if needed_apart > bound:
                reach[target] = max(reach[target], reach[source] + least)
        highest = max(reach.values(), default=0)
        if highest <= bound:
            return bound
        relieving = (needed for *_, needed in pairs if needed > bound)
        bound = min(highest, min(relieving, default=highest))
