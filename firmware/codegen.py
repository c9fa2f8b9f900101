"""Writes the C of a model: its constants, its arenas, and a function that runs its layers one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import floor, frexp

import numpy as np

from hilnas.firmware.graph import Graph, Tensor
from hilnas.firmware.interface import MODEL_HEADER, Interface
from hilnas.firmware.kernel import Constants, Table
from hilnas.firmware.lower import Layer, Program
from hilnas.firmware.lowering import quantization_of
from hilnas.firmware.plan import MemoryPlan
from hilnas.firmware.segments import Segment

_STEPS_A_LINE = 10

EXIT_BYTES = 4 * 256 + 20
"""Flash bytes of the table and parameters of one exit."""


def generate(program: Program, plan: MemoryPlan, sections: Mapping[str, str], origin: str) -> str:
    """The text of model.c, which implements hilnas.h.

    `sections` names the linker section of each memory's arena, `origin` says in a comment what the code was made from.
    """
    return "\n".join(_Writer(program, plan).lines(sections, origin)) + "\n"


def generate_whole_input(program: Program, origin: str) -> str:
    """The text of whole_input.c, for callers that have the whole input of a model that takes rows, as the measuring firmware has."""
    size = program.graph.tensors[program.graph.inputs[0]].size_bytes
    return f"""\
/* {origin} */
/* For a caller that has the whole input: pushes its rows. What pushes rows itself does not need this file. */
#include "{MODEL_HEADER}"

static int8_t input[{size}] __attribute__((aligned(32)));

const hilnas_tensor hilnas_inputs[] = {{{{input, {size}u}}}};

uint32_t hilnas_run(uint32_t flags) {{
    hilnas_begin();
    for (uint32_t row = 0; row < HILNAS_INPUT_ROWS; row++) {{
        hilnas_push_row(input + row * HILNAS_INPUT_ROW_BYTES);
    }}
    return hilnas_run_rest(flags);
}}
"""


class _Writer:
    def __init__(self, program: Program, plan: MemoryPlan) -> None:
        self.by_rows = plan.by_rows
        self.program = program
        self.graph = program.graph
        self.tensors = {item.buffer.tensor: item for item in plan.placed if item.buffer.tensor is not None}
        self.scratch = {item.buffer.first: item for item in plan.placed if item.buffer.tensor is None}
        self.arenas = plan.arenas
        self.segments = plan.segments

    def lines(self, sections: Mapping[str, str], origin: str) -> Iterator[str]:
        yield f"/* {origin} */"
        yield f'#include "{MODEL_HEADER}"'
        yield '#include "kernels.h"'
        if any(layer.kernel.routines for layer in self.program.layers):
            yield '#include "assembly.h"'
        yield "#include <string.h>"
        yield ""
        for memory, size in self.arenas.items():
            yield f'static int8_t arena_{memory}[{size}] __attribute__((aligned(32), section("{sections[memory]}")));'
        for index, layer in enumerate(self.program.layers):
            yield ""
            yield from self._constants(index, layer)
        for segment in self.segments:
            if segment.streams:
                yield ""
                yield from self._chain(segment)
        yield ""
        yield from self._interface()
        yield ""
        yield from self._reset()
        yield ""
        yield from self._run()
        yield ""
        if self.by_rows:
            yield from self._push()
            yield ""
        yield from self._infer()

    def _constants(self, index: int, layer: Layer) -> Iterator[str]:
        operator = layer.operator
        activations = [self.graph.tensors[i] for i in operator.inputs if i is not None and self.graph.tensors[i].data is None]
        yield f"/* Layer {index}: {operator.op} {_comment(layer.name)}, {layer.macs} multiply-accumulates"
        for tensor in activations:
            yield f" *   from {_described(tensor)}"
        yield f" *   to   {_described(self.graph.output_of(operator))} */"
        yield layer.constants(self.graph, operator).declaration(f"layer_{index}").rstrip()
        if layer.exit is not None:
            yield ""
            yield f"/* Exit {layer.exit}, after layer {index} */"
            yield exit_constants(self.graph, layer.exit).declaration(f"exit_{layer.exit}").rstrip()

    def _interface(self) -> Iterator[str]:
        graph = self.graph
        counts = {
            "input": len(graph.inputs),
            "output": len(graph.outputs),
            "layer": len(self.program.layers),
            "exit": len(graph.exits) if graph.exits else 0,
        }
        for name, count in counts.items():
            yield f"const uint32_t hilnas_{name}_count = {count}u;"
        edges = (("inputs", graph.inputs), ("outputs", graph.outputs))
        for name, indices in edges[1:] if self.by_rows else edges:
            entries = ", ".join(f"{{{self._place(index)}, {graph.tensors[index].size_bytes}u}}" for index in indices)
            yield f"const hilnas_tensor hilnas_{name}[] = {{{entries}}};"

    def _reset(self) -> Iterator[str]:
        yield "void hilnas_reset(void) {"
        for index, item in self.tensors.items():
            tensor = self.graph.tensors[index]
            if tensor.variable:
                value = tensor.quantization.zero_point if tensor.quantization else 0
                yield f"    for (uint32_t i = 0; i < {item.buffer.size_bytes}u; i++) {{"
                yield f"        arena_{item.memory}[{item.offset}u + i] = {value}; /* {_comment(tensor.name)} */"
                yield "    }"
        yield "}"

    def _run(self) -> Iterator[str]:
        exits = [layer.exit for layer in self.program.layers if layer.exit is not None]
        yield "__attribute__((weak)) void hilnas_layer_mark(uint32_t index) {"
        yield "    (void)index;"
        yield "}"
        yield ""
        yield f"uint32_t {'hilnas_run_rest' if self.by_rows else 'hilnas_run'}(uint32_t flags) {{"
        if not exits:
            yield "    (void)flags; /* no exit to take */"
        for segment in self.segments[1:] if self.by_rows else self.segments:
            if segment.streams:
                yield from self._streamed(segment)
            else:
                yield from self._called(segment.first)
        yield "    hilnas_layer_mark(hilnas_layer_count);"
        yield "    return hilnas_exit_count;"
        yield "}"

    def _push(self) -> Iterator[str]:
        """The first segment: a row of the input enters its ring, and the steps follow that need no further one."""
        segment, tensor = self.segments[0], self.graph.inputs[0]
        name, caller = f"chain_{segment.first}", segment.last - segment.first + 1
        rows, pitch = self._rows(segment, tensor)
        yield "static uint32_t rows_pushed, steps_done;"
        yield ""
        yield "/* All steps up to the next one that waits for rows of the input. */"
        yield "static void run_steps(void) {"
        yield f"    for (; steps_done < sizeof {name} / sizeof {name}[0] && {name}[steps_done].layer != {caller}u; steps_done++) {{"
        yield from self._step(segment, "steps_done")
        yield "    }"
        yield "}"
        yield ""
        yield "void hilnas_begin(void) {"
        yield "    rows_pushed = 0;"
        yield "    steps_done = 0;"
        yield "    run_steps();"
        yield "}"
        yield ""
        yield "void hilnas_push_row(const int8_t *row) {"
        yield f"    if (steps_done == sizeof {name} / sizeof {name}[0]) {{"
        yield "        return; /* nothing needs this row */"
        yield "    }"
        yield f"    memcpy({self._place(tensor)} + rows_pushed % {rows}u * {pitch}u, row, {pitch}u);"
        yield "    rows_pushed++;"
        yield f"    if (rows_pushed == (uint32_t){name}[steps_done].first + {name}[steps_done].count) {{"
        yield "        steps_done++;"
        yield "        run_steps();"
        yield "    }"
        yield "}"

    def _infer(self) -> Iterator[str]:
        """The caller's tensors are copied to the arenas and back."""
        graph = self.graph
        interface = Interface(graph, self.by_rows)
        yield f"{interface.declaration} {{"
        if not self.by_rows:
            for argument, index in zip(interface.inputs, graph.inputs, strict=True):
                yield f"    memcpy({self._place(index)}, {argument.name}, {graph.tensors[index].size_bytes}u);"
        yield f"    const uint32_t taken = {'hilnas_run_rest' if self.by_rows else 'hilnas_run'}(HILNAS_TAKE_EXITS);"
        for position, (argument, index) in enumerate(zip(interface.outputs, graph.outputs, strict=True)):
            conditions = []
            if len(graph.outputs) > 1:
                conditions.append(f"{argument.name} != 0")
            if graph.exits and position > 0:
                conditions.append(f"taken >= {position}u")
            if conditions:
                yield f"    if ({' && '.join(conditions)}) {{"
            yield f"    {'    ' if conditions else ''}memcpy({argument.name}, {self._place(index)}, {graph.tensors[index].size_bytes}u);"
            if conditions:
                yield "    }"
        yield "    return taken;"
        yield "}"

    def _called(self, index: int) -> Iterator[str]:
        """One layer, by one call."""
        layer = self.program.layers[index]
        yield f"    /* {index}: {self._summary(layer)} */"
        yield f"    hilnas_layer_mark({index}u);"
        if layer.batch > 1:
            yield f"    for (uint32_t image = 0; image < {layer.batch}u; image++) {{"
            yield f"        {layer.kernel.function}({', '.join(self._arguments(index, layer))});"
            yield "    }"
        else:
            yield f"    {layer.kernel.function}({', '.join(self._arguments(index, layer))});"
        if layer.exit is not None:
            logits = self._place(self.graph.outputs[layer.exit])
            yield f"    if (hilnas_decide_exit(&exit_{layer.exit}, {logits}) && (flags & HILNAS_TAKE_EXITS)) {{"
            yield "        hilnas_layer_mark(hilnas_layer_count);"
            yield f"        return {layer.exit}u;"
            yield "    }"

    def _streamed(self, segment: Segment) -> Iterator[str]:
        """A chain of layers, by its steps."""
        name = f"chain_{segment.first}"
        yield f"    for (uint32_t i = 0; i < sizeof {name} / sizeof {name}[0]; i++) {{"
        yield from self._step(segment, "i")
        yield "    }"

    def _step(self, segment: Segment, number: str) -> Iterator[str]:
        """One step of a chain."""
        yield f"        const hilnas_step *step = &chain_{segment.first}[{number}];"
        yield "        switch (step->layer) {"
        for index in range(segment.first, segment.last + 1):
            layer = self.program.layers[index]
            assert layer.kernel.row_wise is not None
            yield f"        case {index - segment.first}u: /* {index}: {self._summary(layer)} */"
            yield f"            hilnas_layer_mark({index}u);"
            yield f"            {layer.kernel.row_wise.function}({', '.join(self._row_arguments(segment, index, layer))});"
            yield "            break;"
        yield "        default:"
        yield "            break;"
        yield "        }"

    def _chain(self, segment: Segment) -> Iterator[str]:
        """Where the rows of a chain's inputs are, and its steps."""
        assert segment.schedule is not None
        yield f"/* Layers {segment.first} to {segment.last}: rows stream through them */"
        layers = self.program.layers[segment.first : segment.last + 1]
        for tensor in dict.fromkeys(tensor for layer in layers for tensor in self._activations(layer)):
            rows, pitch = self._rows(segment, tensor)
            yield f"static const hilnas_rows chain_{segment.first}_{tensor} = {{{self._place(tensor)}, {pitch}, {rows}}};"
        steps = [f"{{{step.stage}, {step.count}, {step.first}}}" for step in segment.schedule.steps]
        yield f"static const hilnas_step chain_{segment.first}[{len(steps)}] = {{"
        yield from (f"    {', '.join(steps[first : first + _STEPS_A_LINE])}," for first in range(0, len(steps), _STEPS_A_LINE))
        yield "};"

    def _row_arguments(self, segment: Segment, index: int, layer: Layer) -> Iterator[str]:
        yield f"&layer_{index}"
        for tensor in self._activations(layer):
            yield f"&chain_{segment.first}_{tensor}"
        yield from ("step->first", "step->count")
        output = layer.operator.outputs[0]
        rows, pitch = self._rows(segment, output)
        row = "step->first" if rows == self.graph.tensors[output].shape[1] else f"step->first % {rows}u"
        yield f"{self._place(output)} + {row} * {pitch}u"
        if layer.kernel.scratch_bytes:
            yield self._scratch(segment.first)

    def _summary(self, layer: Layer) -> str:
        shapes = [_shape(self.graph.tensors[index]) for index in (*self._activations(layer)[:1], layer.operator.outputs[0])]
        return f"{layer.operator.op} {_comment(layer.name)}, {' to '.join(shapes)}"

    def _rows(self, segment: Segment, tensor: int) -> tuple[int, int]:
        """Rows of a tensor that are kept, and bytes of a row."""
        height = self.graph.tensors[tensor].shape[1]
        return segment.rings.get(tensor, height), self.graph.tensors[tensor].size_bytes // height

    def _activations(self, layer: Layer) -> list[int]:
        return [index for index in layer.operator.inputs if index is not None and self.graph.tensors[index].data is None]

    def _arguments(self, index: int, layer: Layer) -> Iterator[str]:
        yield f"&layer_{index}"
        inputs, outputs = self._inputs(index, layer), [self._argument(layer, tensor) for tensor in layer.operator.outputs]
        if layer.kernel.takes_lists:
            yield f"(const void *const[]){{{', '.join(inputs)}}}"
            yield f"(void *const[]){{{', '.join(outputs)}}}"
        else:
            yield from (*inputs, *outputs)
        if layer.kernel.scratch_bytes:
            yield self._scratch(index)

    def _inputs(self, index: int, layer: Layer) -> list[str]:
        """Activations, and the constants that the kernel takes as such."""
        places = []
        for position, tensor in enumerate(layer.operator.inputs):
            if position in layer.kernel.constant_operands:
                places.append(f"layer_{index}_operand_{position}")
            elif tensor is not None and self.graph.tensors[tensor].data is None:
                places.append(self._argument(layer, tensor))
        return places

    def _argument(self, layer: Layer, tensor: int) -> str:
        """Where a tensor is; of a batch, where the image is that is being computed."""
        if layer.batch == 1:
            return self._place(tensor)
        return f"{self._place(tensor)} + image * {self.graph.tensors[tensor].size_bytes // layer.batch}u"

    def _scratch(self, index: int) -> str:
        item = self.scratch[index]
        return f"arena_{item.memory} + {item.offset}"

    def _place(self, tensor: int) -> str:
        item = self.tensors[self.graph.storage(tensor)]
        place = f"arena_{item.memory} + {item.offset}"
        return place if self.graph.tensors[tensor].dtype == "int8" else f"(void *)({place})"


def exit_constants(graph: Graph, exit_index: int) -> Constants:
    """The parameters of the decision at an exit; see kernels/exit.c for their formats."""
    assert graph.exits is not None
    logits = graph.tensors[graph.outputs[exit_index]]
    scale = quantization_of(logits).scale
    fraction, exponent = frexp(scale)
    differences = np.arange(256, dtype=np.float64)
    exponentials = np.rint(np.exp(-differences * scale) * 2.0**31).astype(np.int64)
    threshold = min(floor(graph.exits.thresholds[exit_index] * 2**28 + 0.5), 2**32 - 1)
    fields = (
        ("classes", str(logits.elements)),
        ("step", f"{floor(fraction * 2**32)}u"),
        ("step_bits", str(32 - exponent)),
        ("threshold", f"{threshold}u"),
        ("exponentials", "@exponentials"),
    )
    return Constants("hilnas_exit", fields, (Table("exponentials", "uint32_t", exponentials),))


def _comment(name: str) -> str:
    """A name of the file inside a C comment."""
    return '"' + name.replace("*/", "* /").replace("/*", "/ *") + '"'


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def _described(tensor: Tensor) -> str:
    if tensor.quantization is None:
        return f"{_shape(tensor)} {tensor.dtype}"
    return f"{_shape(tensor)} {tensor.dtype}, scale {tensor.quantization.scale:.6g}, zero point {tensor.quantization.zero_point}"
