"""What a layer is on the device: the kernel that computes it, and the constants that the kernel reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hilnas.firmware.assembly.emitter import Schedule

INDENT = "    "
LINE = 116


class AssemblyRoutine(Protocol):
    """A routine in assembly; equal symbols have equal texts."""

    @property
    def symbol(self) -> str:
        """Its name."""

    def text(self, schedule: Schedule) -> str:
        """Its source, with the instructions of its blocks so ordered."""


class Order(Enum):
    """In which order a kernel reads and writes; what it has read it keeps in scratch memory or registers until it is used."""

    ROWS = "rows"
    """All inputs of an output row are read, then it is written; the next row follows."""
    PIXELS = "pixels"
    """All inputs of an output pixel are read, then it is written; the next pixel follows."""
    CHANNELS = "channels"
    """For a few channels at a time, their inputs of some rows are read, then their outputs are written; the other channels of these
    rows follow, then the next rows. Outputs take their inputs' channels."""
    LATE = "late"
    """An output row may be written before its inputs have been read for the last time; the next row follows."""


@dataclass(frozen=True)
class RowWise:
    """How a kernel goes over its images, from the top down.

    `function` computes some output rows from input rows that may lie in a ring; None if there is no such function. `chunk` is how many
    output rows the kernel does at a time, `fixed_scratch_bytes` and `row_scratch_bytes` are what `function` needs for a call and for
    each output row of the call. Instructions are estimates of what a call, and an input row of each call, add to the work that has to
    be done anyway; `whole_rows`: the kernel proper treats the image as one long row.
    """

    order: Order
    function: str | None = None
    chunk: int = 1
    fixed_scratch_bytes: int = 0
    row_scratch_bytes: int = 0
    call_instructions: int = 0
    row_instructions: int = 0
    whole_rows: bool = False


@dataclass(frozen=True)
class Kernel:
    """A C routine of kernels/ as one layer uses it: `source` is its file, `scratch_bytes` the memory that it needs while it runs.
    `row_wise` is None if nothing is known of the order in which it reads and writes.

    `constant_bytes` is what the layer keeps in flash for it: `weight_bytes` of weights; `channel_bytes` of numbers that every channel has,
    its bias and its scale; `table_bytes` of other tables and of parameters. `defines` (NAME=VALUE) is what the file is compiled for.
    `routines` are what the file calls in assembly. `constant_operands` are the positions of inputs that are constants and yet arguments:
    the table `operand_POSITION` is passed for each. `takes_lists`: the routine takes its inputs as one list and its outputs as another.
    `loop_bytes` are the pieces of code, with the usual form of requantisation, that its work goes round in; empty if that is not known.
    """

    function: str
    source: str
    weight_bytes: int = 0
    channel_bytes: int = 0
    table_bytes: int = 0
    scratch_bytes: int = 0
    defines: tuple[str, ...] = ()
    routines: tuple[AssemblyRoutine, ...] = ()
    row_wise: RowWise | None = None
    constant_operands: tuple[int, ...] = ()
    takes_lists: bool = False
    loop_bytes: tuple[int, ...] = ()

    @property
    def constant_bytes(self) -> int:
        """Everything of the layer that lies in flash beside code."""
        return self.weight_bytes + self.channel_bytes + self.table_bytes


@dataclass(frozen=True, eq=False)
class Table:
    """An array in flash: `values` one element a row, or one struct a row where it has more dimensions."""

    name: str
    c_type: str
    values: NDArray[np.integer]

    def declaration(self, prefix: str) -> str:
        """Its C definition."""
        cells = [_initialiser(row) for row in self.values.tolist()]
        return (
            f"static const {self.c_type} {prefix}_{self.name}[{len(self.values)}] __attribute__((aligned(4))) = {{\n{_wrapped(cells)}}};\n"
        )


def _initialiser(value: int | list[Any]) -> str:
    return str(value) if isinstance(value, int) else "{" + ", ".join(map(_initialiser, value)) + "}"


def _wrapped(cells: list[str]) -> str:
    lines: list[str] = []
    line = ""
    for cell in cells:
        if line and len(line) + len(cell) + 2 > LINE - len(INDENT):
            lines.append(line)
            line = ""
        line = f"{line} {cell}," if line else f"{cell},"
    return "".join(f"{INDENT}{text}\n" for text in (*lines, line))


@dataclass(frozen=True, eq=False)
class Constants:
    """The parameters of one layer: a struct of type `c_type` with `fields` (name, C text), and the tables they point to.

    In a field's text, `@name` stands for the table of that name. `prototypes` declare the routines that fields name.
    """

    c_type: str
    fields: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...] = ()
    prototypes: tuple[str, ...] = ()

    def declaration(self, prefix: str) -> str:
        """Its C definition."""
        tables = "".join(table.declaration(prefix) for table in self.tables)
        fields = "".join(f"{INDENT}.{name} = {text.replace('@', prefix + '_')},\n" for name, text in self.fields)
        prototypes = "".join(f"{prototype}\n" for prototype in self.prototypes)
        return f"{prototypes}{tables}static const {self.c_type} {prefix} = {{\n{fields}}};\n"
