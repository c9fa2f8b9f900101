"""The interface of a generated model towards a project: `hilnas_infer`, or, where the input comes by rows, `hilnas_begin`,
`hilnas_push_row` and `hilnas_finish`; and the header that declares them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hilnas.firmware.graph import Graph, Tensor

MODEL_HEADER = "hilnas_model.h"


@dataclass(frozen=True)
class Argument:
    """An argument of these functions: its name, its C type, and its tensor under its name in the file."""

    name: str
    c_type: str
    tensor: Tensor
    known_as: str


class Interface:
    """The arguments of these functions for a graph, whose input comes by rows or not. Exits keep their names, of other tensors there are
    one or several."""

    def __init__(self, graph: Graph, by_rows: bool) -> None:
        self.by_rows = by_rows
        exits = len(graph.exits) if graph.exits else 0
        self.exits = graph.exits
        self.inputs = _arguments(graph, graph.inputs, graph.input_names, _numbered("input", len(graph.inputs)))
        names = graph.output_names if exits else _numbered("output", len(graph.outputs))
        self.outputs = _arguments(graph, graph.outputs, graph.output_names, names)

    @property
    def declaration(self) -> str:
        """The function that gives the outputs as C declares it, without the semicolon."""
        outputs = [f"{argument.c_type} *{argument.name}" for argument in self.outputs]
        if self.by_rows:
            return f"uint32_t hilnas_finish({', '.join(outputs)})"
        arguments = [f"const {argument.c_type} *{argument.name}" for argument in self.inputs]
        return f"uint32_t hilnas_infer({', '.join((*arguments, *outputs))})"

    def header(self, origin: str, needs: Sequence[tuple[str, str]]) -> str:
        """The text of the header: what the model takes and gives, and what it needs, as (what, how much)."""
        return "\n".join((*self._comment(origin, needs), *self._code())) + "\n"

    def _comment(self, origin: str, needs: Sequence[tuple[str, str]]) -> Iterator[str]:
        yield f"/* {origin}"
        yield " *"
        width = max((len(what) for what, _ in needs), default=0)
        yield from (f" * {what:{width}}  {how_much}" for what, how_much in needs)
        yield " */"

    def _code(self) -> Iterator[str]:
        yield "#ifndef HILNAS_MODEL_H"
        yield "#define HILNAS_MODEL_H"
        yield ""
        yield '#include "hilnas.h"'
        yield ""
        yield "#ifdef __cplusplus"
        yield 'extern "C" {'
        yield "#endif"
        yield ""
        for argument in (*self.inputs, *self.outputs):
            yield f"/* {_described(argument)} */"
            yield f"#define HILNAS_{argument.name.upper()}_BYTES {argument.tensor.size_bytes}u"
        yield from self._by_rows() if self.by_rows else self._at_once()
        if len(self.outputs) > 1:
            yield " * An output that is not wanted may be NULL."
        yield from self._returned()
        yield f"{self.declaration};"
        yield ""
        yield "#ifdef __cplusplus"
        yield "}"
        yield "#endif"
        yield ""
        yield "#endif"

    def _at_once(self) -> Iterator[str]:
        yield ""
        yield "/* One inference. Tensors are copied, so they may lie anywhere and the input stays as it is; to save the copies,"
        yield " * write to hilnas_inputs[].data, call hilnas_run, and read hilnas_outputs[].data. Not reentrant."

    def _by_rows(self) -> Iterator[str]:
        (argument,) = self.inputs
        rows = argument.tensor.shape[1]
        yield f"#define HILNAS_INPUT_ROWS {rows}u"
        yield f"#define HILNAS_INPUT_ROW_BYTES {argument.tensor.size_bytes // rows}u"
        yield ""
        yield "/* One inference: hilnas_begin, then hilnas_push_row for every row of the input from the top down, then"
        yield " * hilnas_finish. A row is copied, and what can be computed with it is computed at once. Not reentrant. */"
        yield "void hilnas_begin(void);"
        yield "void hilnas_push_row(const int8_t *row);"
        yield ""
        yield "/* What follows the last row, the outputs being left in hilnas_outputs[].data; flags as for hilnas_run. */"
        yield "uint32_t hilnas_run_rest(uint32_t flags);"
        yield ""
        yield "/* What follows the last row; taken exits end it. The outputs are copied."

    def _returned(self) -> Iterator[str]:
        if not self.exits:
            yield " * Returns 0. */"
            return
        last = len(self.exits)
        thresholds = ", ".join(f"{threshold:g}" for threshold in self.exits.thresholds)
        yield f" * Returns the exit taken, 0 .. {last - 1}, or {last} for the final output. Outputs behind a taken exit are not"
        yield f" * written. Thresholds of the entropy, in nats: {thresholds}. */"


def _arguments(graph: Graph, tensors: Sequence[int], known_as: Sequence[str], names: Sequence[str]) -> tuple[Argument, ...]:
    return tuple(
        Argument(name, _c_type(graph.tensors[index].dtype), graph.tensors[index], known)
        for index, known, name in zip(tensors, known_as, names, strict=True)
    )


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return (name,) if count == 1 else tuple(f"{name}_{index}" for index in range(count))


def _c_type(dtype: str) -> str:
    return {"float32": "float", "bool": "bool"}.get(dtype, f"{dtype}_t")


def _described(argument: Argument) -> str:
    tensor = argument.tensor
    known = argument.known_as.replace("*/", "* /").replace("/*", "/ *")
    text = f'{argument.name}: "{known}", {"x".join(map(str, tensor.shape))} {tensor.dtype}'
    if tensor.quantization is None:
        return text
    return f"{text}, real value = {tensor.quantization.scale:.9g} * (value - {tensor.quantization.zero_point})"
