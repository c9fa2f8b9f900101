"""Places every tensor and all scratch memory: each lives from the layer that writes it to the last one that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hilnas.errors import DoesNotFitError
from hilnas.firmware.lower import Program

ALIGNMENT = 8


@dataclass(frozen=True)
class Buffer:
    """Bytes that are needed from layer `first` to layer `last`, both included. `tensor` is None for scratch memory."""

    name: str
    size_bytes: int
    first: int
    last: int
    tensor: int | None = None


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
    """Where every buffer is. `arenas` has the bytes of each memory's arena; memories that are not needed are not in it."""

    placed: tuple[Placed, ...]
    arenas: Mapping[str, int]

    @property
    def arena_bytes(self) -> int:
        """All arenas together."""
        return sum(self.arenas.values())


def plan_memory(program: Program, memories: Mapping[str, int]) -> MemoryPlan:
    """Places the buffers of `program` in `memories` (bytes that an arena may take, in order of preference).

    Exact for what is built later from the same shapes: weights are not looked at. Takes about a millisecond for 40 layers.

    Raises:
        DoesNotFitError: a buffer finds no place.
    """
    buffers = live_buffers(program)
    plans = []
    failure: DoesNotFitError | None = None
    for order in (_by_size, _by_start):
        try:
            plans.append(_first_fit(program, sorted(buffers, key=order), memories))
        except DoesNotFitError as error:
            failure = failure or error
    if not plans:
        assert failure is not None
        raise failure
    return min(plans, key=lambda plan: plan.arena_bytes)


def live_buffers(program: Program) -> list[Buffer]:
    """Every tensor and scratch memory with its lifetime.

    Inputs live from the start, outputs to the end, and state that is kept between runs always.
    """
    graph = program.graph
    end = len(program.layers) - 1
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for tensor in graph.inputs:
        first[graph.storage(tensor)] = 0
        last[graph.storage(tensor)] = 0
    buffers = []
    for position, layer in enumerate(program.layers):
        for index in layer.operator.inputs:
            if index is None or graph.tensors[index].data is not None:
                continue
            root = graph.storage(index)
            if graph.tensors[root].variable:
                first[root], last[root] = 0, end
            else:
                last[root] = position
        for index in layer.operator.outputs:
            first[graph.storage(index)] = position
            last.setdefault(graph.storage(index), position)
        if layer.kernel.scratch_bytes:
            buffers.append(Buffer(f"scratch of {layer.name}", layer.kernel.scratch_bytes, position, position))
    for index in graph.outputs:
        last[graph.storage(index)] = end
    for root, start in first.items():
        tensor_ = graph.tensors[root]
        buffers.append(Buffer(tensor_.name, tensor_.size_bytes, start, last[root], root))
    return buffers


def _by_size(buffer: Buffer) -> tuple[int, int]:
    return (-buffer.size_bytes, buffer.first)


def _by_start(buffer: Buffer) -> tuple[int, int]:
    return (buffer.first, -buffer.size_bytes)


def _first_fit(program: Program, buffers: list[Buffer], memories: Mapping[str, int]) -> MemoryPlan:
    """Each buffer in turn at the lowest free offset of the first memory that has one."""
    placed: dict[str, list[Placed]] = {memory: [] for memory in memories}
    for buffer in buffers:
        for memory, size in memories.items():
            offset = _lowest_offset(buffer, placed[memory])
            if offset + buffer.size_bytes <= size:
                placed[memory].append(Placed(buffer, memory, offset))
                break
        else:
            raise _does_not_fit(program, buffer, placed, memories)
    arenas = {memory: max(item.end for item in items) for memory, items in placed.items() if items}
    return MemoryPlan(tuple(item for items in placed.values() for item in items), arenas)


def _lowest_offset(buffer: Buffer, placed: list[Placed]) -> int:
    offset = 0
    neighbours = [item for item in placed if item.buffer.first <= buffer.last and buffer.first <= item.buffer.last]
    for item in sorted(neighbours, key=lambda item: item.offset):
        if offset + buffer.size_bytes <= item.offset:
            break
        offset = max(offset, -(-item.end // ALIGNMENT) * ALIGNMENT)
    return offset


def _does_not_fit(program: Program, buffer: Buffer, placed: Mapping[str, list[Placed]], memories: Mapping[str, int]) -> DoesNotFitError:
    missing = min(_lowest_offset(buffer, placed[memory]) + buffer.size_bytes - size for memory, size in memories.items())
    sizes = ", ".join(f"{memory} {size}" for memory, size in memories.items())
    layer = program.layers[buffer.first]
    return DoesNotFitError(
        f"the model needs {missing} bytes more RAM at layer {buffer.first} ({layer.operator.op} {layer.name!r}), for {buffer.name!r} "
        f"of {buffer.size_bytes} bytes",
        f"Bytes for tensors: {sizes}. Take a smaller model or a board with more RAM.",
    )
