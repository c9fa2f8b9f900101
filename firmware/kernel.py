"""What a layer is on the device: the kernel that computes it, and the constants that the kernel reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

INDENT = "    "
LINE = 116


class AssemblyRoutine(Protocol):
    """A routine in assembly; equal symbols have equal texts."""

    @property
    def symbol(self) -> str:
        """Its name."""

    def text(self) -> str:
        """Its source."""


@dataclass(frozen=True)
class Kernel:
    """A C routine of kernels/ as one layer uses it: `source` is its file, `scratch_bytes` the memory that it needs while it runs.

    `constant_bytes` is what the layer keeps in flash for it: weights, tables and parameters. `weight_bytes` is the part of it
    that holds weights. `defines` (NAME=VALUE) is what the file is compiled for. `routines` are what the file calls in assembly.
    """

    function: str
    source: str
    weight_bytes: int = 0
    table_bytes: int = 0
    scratch_bytes: int = 0
    defines: tuple[str, ...] = ()
    routines: tuple[AssemblyRoutine, ...] = ()

    @property
    def constant_bytes(self) -> int:
        """Everything of the layer that lies in flash beside code."""
        return self.weight_bytes + self.table_bytes


@dataclass(frozen=True, eq=False)
class Table:
    """An array in flash: `values` one element a row, or one struct a row where it has two dimensions."""

    name: str
    c_type: str
    values: NDArray[np.integer]

    def declaration(self, prefix: str) -> str:
        """Its C definition."""
        if self.values.ndim == 1:
            cells = [str(int(value)) for value in self.values]
        else:
            cells = ["{" + ", ".join(str(int(value)) for value in row) + "}" for row in self.values]
        return (
            f"static const {self.c_type} {prefix}_{self.name}[{len(self.values)}] __attribute__((aligned(4))) = {{\n{_wrapped(cells)}}};\n"
        )


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
