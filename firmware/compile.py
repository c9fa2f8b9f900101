"""From the bytes of a .tflite to a program, its memory plan and its C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hilnas import __version__
from hilnas.boards.board import InstructionCache
from hilnas.files import sha256
from hilnas.firmware.assembly.emitter import PREAMBLE, Schedule, as_given
from hilnas.firmware.codegen import generate, generate_whole_input
from hilnas.firmware.fusion import fuse
from hilnas.firmware.interface import MODEL_HEADER, Interface
from hilnas.firmware.kernel import AssemblyRoutine
from hilnas.firmware.lower import Program, lower
from hilnas.firmware.lowering import KernelSet
from hilnas.firmware.plan import MemoryPlan, PlanRequest
from hilnas.firmware.reader import read_model

MODEL_NAME = "model.c"
DEFAULT_REQUEST = PlanRequest()
ASSEMBLY_NAME = "kernels.S"
WHOLE_INPUT_NAME = "whole_input.c"


@dataclass(frozen=True, eq=False)
class CompiledModel:
    """A model as C, with what it was made from. `sha256` is that of the .tflite file, `schedule` orders instructions in assembly."""

    name: str
    sha256: str
    program: Program
    plan: MemoryPlan
    source: str
    schedule: Schedule

    @property
    def kernels(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The files of kernels/ that the model needs, each with what it is compiled for."""
        exits = {("exit.c", ())} if self.program.graph.exits else set()
        return tuple(sorted({(layer.kernel.source, layer.kernel.defines) for layer in self.program.layers} | exits))

    @property
    def routines(self) -> dict[str, AssemblyRoutine]:
        """The routines in assembly that the kernels call, by symbol."""
        found = {routine.symbol: routine for layer in self.program.layers for routine in layer.kernel.routines}
        return {symbol: found[symbol] for symbol in sorted(found)}

    @property
    def assembly(self) -> str:
        """The text of the routines; empty if there are none."""
        return "\n".join((PREAMBLE, *(routine.text(self.schedule) for routine in self.routines.values()))) if self.routines else ""

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the files that are the model's own."""
        assembly = (ASSEMBLY_NAME,) if self.routines else ()
        return (MODEL_NAME, *assembly, WHOLE_INPUT_NAME) if self.plan.by_rows else (MODEL_NAME, *assembly)

    @property
    def origin(self) -> str:
        """What it was made by and from, in words."""
        return _origin(self.name, self.sha256)

    def write(self, folder: Path, needs: Sequence[tuple[str, str]] = ()) -> None:
        """Writes `sources` and the header into a folder. The header says what the model needs, as (what, how much)."""
        (folder / MODEL_HEADER).write_text(Interface(self.program.graph, self.plan.by_rows).header(self.origin, needs))
        (folder / MODEL_NAME).write_text(self.source)
        if self.routines:
            (folder / ASSEMBLY_NAME).write_text(self.assembly)
        if self.plan.by_rows:
            (folder / WHOLE_INPUT_NAME).write_text(generate_whole_input(self.program, self.origin))


def compile_model(
    content: bytes,
    name: str,
    memories: Mapping[str, int],
    sections: Mapping[str, str],
    kernel_set: KernelSet = KernelSet.ASSEMBLY,
    request: PlanRequest = DEFAULT_REQUEST,
    cache: InstructionCache | None = None,
    schedule: Schedule = as_given,
) -> CompiledModel:
    """Compiles the .tflite file `content` to C. `memories`, `sections`, and `kernel_set` and `cache` are as in `plan_memory`, `generate`,
    and `lower`; `schedule` orders instructions in assembly, see `schedule_for`.

    Raises:
        ModelError: the file is damaged or holds what the engine does not support, or its input cannot be taken by rows as requested.
        BudgetError: no memory plan is as small as requested.
        DoesNotFitError: the tensors do not fit the memories.
    """
    program = lower(fuse(read_model(content, name)), kernel_set, cache)
    plan = request.plan(program, memories)
    digest = sha256(content)
    source = generate(program, plan, sections, _origin(name, digest))
    return CompiledModel(name, digest, program, plan, source, schedule)


def _origin(name: str, digest: str) -> str:
    printable = "".join(character if character.isalnum() or character in "._-" else "_" for character in name)
    return f"Made by hilnas {__version__} from {printable}, SHA-256 {digest}."
