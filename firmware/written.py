"""What a program has written when: for every call of hilnas_layer_mark, the bytes of tensors that the layer before it left in its arenas.

With it a running program is compared tensor by tensor, rows that stream through rings included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hilnas.firmware.lower import Program
from hilnas.firmware.packing import Placed
from hilnas.firmware.plan import MemoryPlan
from hilnas.firmware.segments import Segment
from hilnas.firmware.streaming import Step


@dataclass(frozen=True)
class Written:
    """`size_bytes` bytes of a tensor from `first_byte` on, at an offset into the arena of a memory."""

    layer: int
    tensor: int
    first_byte: int
    size_bytes: int
    memory: str
    offset: int


def written_by_mark(program: Program, plan: MemoryPlan) -> tuple[tuple[Written, ...], ...]:
    """One entry for each call of the mark in a run that takes no exit, in order; nothing is written before the first."""
    places = {item.buffer.tensor: item for item in plan.placed if item.buffer.tensor is not None}
    entries: list[tuple[Written, ...]] = [()]
    for segment in plan.segments:
        if segment.streams:
            entries += (tuple(_rows(program, places, segment, step)) for step in segment.steps)
        else:
            entries.append(tuple(_whole(program, places, segment.first)))
    return tuple(entries)


def _whole(program: Program, places: dict[int, Placed], layer: int) -> Iterator[Written]:
    for tensor in program.layers[layer].operator.outputs:
        item = places[program.graph.storage(tensor)]
        yield Written(layer, tensor, 0, program.graph.tensors[tensor].size_bytes, item.memory, item.offset)


def _rows(program: Program, places: dict[int, Placed], segment: Segment, step: Step) -> Iterator[Written]:
    """Rows of a step lie in a piece: steps divide rings."""
    layer = segment.first + step.stage
    tensor = program.layers[layer].operator.outputs[0]
    image = program.graph.tensors[tensor]
    pitch = image.size_bytes // image.shape[1]
    item = places[program.graph.storage(tensor)]
    row = step.first % segment.rings.get(tensor, image.shape[1])
    yield Written(layer, tensor, step.first * pitch, step.count * pitch, item.memory, item.offset + row * pitch)
