"""Runs a memory plan on bytes that know what they are: every read must find what the tensor's writer left there.

It shares nothing with the planner but the plan itself, and what each kernel promises of the order in which it reads and writes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hilnas.firmware.graph import Convolution
from hilnas.firmware.kernel import Order
from hilnas.firmware.lower import Layer, Program
from hilnas.firmware.packing import Placed
from hilnas.firmware.plan import MemoryPlan
from hilnas.firmware.segments import Segment

GARBAGE = -1
GROUP = 4
Bytes = NDArray[np.int64]


class Simulation:
    """The arenas of a plan, a number for each byte: which byte of which tensor it holds."""

    def __init__(self, program: Program, plan: MemoryPlan) -> None:
        self.program, self.plan, self.graph = program, plan, program.graph
        self.arenas = {memory: np.full(size, GARBAGE, np.int64) for memory, size in plan.arenas.items()}
        self.placed = {item.buffer.tensor: item for item in plan.placed if item.buffer.tensor is not None}

    def run(self) -> None:
        """One inference; raises AssertionError where a byte is not what it must be."""
        kept = [index for index, tensor in enumerate(self.graph.tensors) if tensor.variable and index in self.placed]
        resident = () if self.plan.by_rows else self.graph.inputs
        for tensor in {*map(self.graph.storage, resident), *kept}:
            self.whole(tensor)[:] = self.numbers(tensor)
        for segment in self.plan.segments:
            scratch = [item for item in self.plan.placed if item.buffer.tensor is None and item.buffer.first == segment.first]
            for layer, first, count in self.calls(segment):
                for _ in self.accesses(layer, first, count):
                    for item in scratch:
                        self.bytes_of(item)[:] = GARBAGE
        for tensor in {*map(self.graph.storage, self.graph.outputs), *kept}:
            self.check(tensor, self.whole(tensor), self.numbers(tensor))

    def calls(self, segment: Segment) -> Iterator[tuple[Layer, int, int]]:
        layers = self.program.layers[segment.first : segment.last + 1]
        if not segment.streams:
            yield layers[0], 0, self.height(layers[0].operator.outputs[0])
            return
        assert segment.schedule is not None
        done = [0] * (len(layers) + segment.pushed)
        for step in segment.schedule.steps:
            assert step.first == done[step.stage], "rows come in order, each once"
            done[step.stage] += step.count
            if step.stage < len(layers):
                yield layers[step.stage], step.first, step.count
            else:
                for row in range(step.first, done[step.stage]):
                    self.write(self.graph.inputs[0], row)
        assert done[len(layers) - 1] == self.height(layers[-1].operator.outputs[0])

    def accesses(self, layer: Layer, first: int, count: int) -> Iterator[None]:
        """Does what a kernel does, in the order that it promises."""
        inputs = [index for index in layer.operator.inputs if index is not None and self.graph.tensors[index].data is None]
        outputs = layer.operator.outputs
        if layer.kernel.row_wise is None:
            # In any order: the inputs must still be there when all is written.
            for step in (self.read_whole, self.write_whole, self.read_whole):
                for tensor in outputs if step == self.write_whole else inputs:
                    step(self.graph.storage(tensor))
            yield
            return
        (output,) = outputs
        order, chunk = layer.kernel.row_wise.order, layer.kernel.row_wise.chunk
        for start in range(first, first + count, chunk):
            rows = range(start, min(start + chunk, first + count))
            if order is Order.PIXELS:
                self.by_pixels(layer, inputs, output, start)
            elif order is Order.CHANNELS:
                self.by_channels(layer, inputs, output, rows)
            else:
                self.touch(layer, inputs, rows)
                for row in rows:
                    self.write(output, row)
                if order is Order.LATE:
                    self.touch(layer, inputs, rows)
            yield

    def touch(self, layer: Layer, inputs: list[int], rows: range, columns: slice = slice(None)) -> None:
        """Reads the input rows that output rows take."""
        for tensor in inputs:
            for row in self.window(layer, tensor, rows):
                self.check(tensor, self.row(tensor, row)[:, columns], self.row_numbers(tensor, row)[:, columns])

    def by_pixels(self, layer: Layer, inputs: list[int], output: int, row: int) -> None:
        strides = layer.operator.attributes.strides if isinstance(layer.operator.attributes, Convolution) else (1, 1)
        for column in range(self.row(output, row).shape[0]):
            for tensor in inputs:
                place = column * strides[1]
                below = row * strides[0]
                self.check(tensor, self.row(tensor, below)[place], self.row_numbers(tensor, below)[place])
            self.row(output, row)[column] = self.row_numbers(output, row)[column]

    def by_channels(self, layer: Layer, inputs: list[int], output: int, rows: range) -> None:
        for channel in range(0, self.row(output, rows.start).shape[1], GROUP):
            columns = slice(channel, channel + GROUP)
            self.touch(layer, inputs, rows, columns)
            for row in rows:
                self.row(output, row)[:, columns] = self.row_numbers(output, row)[:, columns]

    def window(self, layer: Layer, tensor: int, rows: range) -> range:
        attributes = layer.operator.attributes
        if not isinstance(attributes, Convolution):
            return rows
        top = rows.start * attributes.strides[0] - attributes.padding.top
        reach = (self.graph.input_of(layer.operator, 1).shape[1] - 1) * attributes.dilations[0] + 1
        bottom = (rows.stop - 1) * attributes.strides[0] - attributes.padding.top + reach
        return range(max(0, top), min(self.height(tensor), bottom))

    def height(self, tensor: int) -> int:
        shape = self.graph.tensors[tensor].shape
        return shape[1] if len(shape) == 4 and shape[0] == 1 else 1

    def row_numbers(self, tensor: int, row: int) -> Bytes:
        shape = self.graph.tensors[tensor].shape
        size = self.graph.tensors[tensor].size_bytes // self.height(tensor)
        return self.numbers(self.graph.storage(tensor))[row * size : (row + 1) * size].reshape(-1, shape[-1])

    def row(self, tensor: int, row: int) -> Bytes:
        """The bytes of a row as they lie, (pixels, channels)."""
        item = self.placed[self.graph.storage(tensor)]
        kept = item.buffer.ring_rows or self.height(tensor)
        size = item.buffer.size_bytes // kept
        place = item.offset + row % kept * size
        return self.arenas[item.memory][place : place + size].reshape(-1, self.graph.tensors[tensor].shape[-1])

    def write(self, tensor: int, row: int) -> None:
        self.row(tensor, row)[:] = self.row_numbers(tensor, row)

    def read_whole(self, tensor: int) -> None:
        self.check(tensor, self.whole(tensor), self.numbers(tensor))

    def write_whole(self, tensor: int) -> None:
        self.whole(tensor)[:] = self.numbers(tensor)

    def numbers(self, tensor: int) -> Bytes:
        return tensor * 2**32 + np.arange(self.graph.tensors[tensor].size_bytes)

    def whole(self, tensor: int) -> Bytes:
        item = self.placed[tensor]
        assert item.buffer.ring_rows is None
        return self.bytes_of(item)

    def bytes_of(self, item: Placed) -> Bytes:
        return self.arenas[item.memory][item.offset : item.end]

    def check(self, tensor: int, found: Bytes, expected: Bytes) -> None:
        np.testing.assert_array_equal(found, expected, f"bytes of {self.graph.tensors[tensor].name} are overwritten too early")
