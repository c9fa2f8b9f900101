"""From the bytes of a .tflite to a program, its memory plan and its C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hilnas import __version__
from hilnas.files import sha256
from hilnas.firmware.assembly.emitter import PREAMBLE
from hilnas.firmware.codegen import generate
from hilnas.firmware.fusion import fuse
from hilnas.firmware.lower import Program, lower
from hilnas.firmware.plan import MemoryPlan, plan_memory
from hilnas.firmware.reader import read_model


@dataclass(frozen=True, eq=False)
class CompiledModel:
    """A model as C, with what it was made from. `sha256` is that of the .tflite file."""

    name: str
    sha256: str
    program: Program
    plan: MemoryPlan
    source: str

    @property
    def kernels(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The files of kernels/ that the model needs, each with what it is compiled for."""
        exits = {("exit.c", ())} if self.program.graph.exits else set()
        return tuple(sorted({(layer.kernel.source, layer.kernel.defines) for layer in self.program.layers} | exits))

    @property
    def assembly(self) -> str:
        """The routines in assembly that the kernels call, each once; empty if there are none."""
        routines = {routine.symbol: routine for layer in self.program.layers for routine in layer.kernel.routines}
        return "\n".join((PREAMBLE, *(routines[symbol].text() for symbol in sorted(routines)))) if routines else ""


def compile_model(
    content: bytes, name: str, memories: Mapping[str, int], sections: Mapping[str, str], dsp: bool = True, assembly: bool = True
) -> CompiledModel:
    """Compiles the .tflite file `content` to C. `memories`, `sections`, `dsp` and `assembly` are as in
    `plan_memory`, `generate` and `lower`.

    Raises:
        ModelError: the file is damaged or holds what the engine does not support.
        DoesNotFitError: the tensors do not fit the memories.
    """
    program = lower(fuse(read_model(content, name)), dsp, assembly)
    plan = plan_memory(program, memories)
    digest = sha256(content)
    source = generate(program, plan, sections, f"Made by hilnas {__version__} from {_printable(name)}, SHA-256 {digest}.")
    return CompiledModel(name, digest, program, plan, source)


def _printable(name: str) -> str:
    return "".join(character if character.isalnum() or character in "._-" else "_" for character in name)
