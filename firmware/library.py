"""The library folder of an image: the model's C with everything that it needs, to be added to another project.

A project includes hilnas_model.h and calls hilnas_infer or, where the input comes by rows, hilnas_push_row.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from string import Template

from hilnas.firmware.compile import CompiledModel
from hilnas.firmware.elf import read_sections
from hilnas.firmware.image import LibraryNeeds
from hilnas.firmware.stack_need import stack_need
from hilnas.firmware.toolchain import ARM, KERNELS_FOLDER, RUNTIME_FOLDER

LIBRARY_FOLDER = "library"
INTERFACE_HEADER = "hilnas.h"
_INFER = ("hilnas_infer",)
_BY_ROWS = ("hilnas_push_row", "hilnas_begin", "hilnas_finish")
_CMAKE = Template("""\
# Adds the library hilnas_model: add_subdirectory(this folder), target_link_libraries(your_target PRIVATE hilnas_model).
add_library(hilnas_model STATIC
$sources)
target_include_directories(hilnas_model PUBLIC $${CMAKE_CURRENT_LIST_DIR})
target_compile_options(hilnas_model PRIVATE -O2)
# The time goes into the kernels.
set_source_files_properties(model.c PROPERTIES COMPILE_OPTIONS -Os)
""")


def write_library(compiled: CompiledModel, folder: Path, needs: LibraryNeeds | None = None) -> None:
    """Writes the sources into a folder that is there. The header says what they need, if that is known."""
    compiled.write(folder, () if needs is None else _in_words(compiled, needs))
    names = list(compiled.sources)
    for kernel, defines in compiled.kernels:
        names.append(_variant(kernel, defines))
        (folder / names[-1]).write_text(_defined(defines) + (KERNELS_FOLDER / kernel).read_text())
    for header in (*KERNELS_FOLDER.glob("*.h"), RUNTIME_FOLDER / INTERFACE_HEADER):
        shutil.copyfile(header, folder / header.name)
    (folder / "CMakeLists.txt").write_text(_CMAKE.substitute(sources="\n".join(f"    {name}" for name in names)))


def library_needs(compiled: CompiledModel, flags: Sequence[str], objects: Sequence[Path]) -> LibraryNeeds:
    """What the model's objects need together, of everything that a project does not use being left out, and the few functions of the
    C library that it does use counted with it.

    Raises:
        ToolMissingError: the compiler is not installed.
        BuildError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="hilnas-") as name:
        elf = Path(name) / "library.elf"
        calls, data = (_BY_ROWS, ("hilnas_outputs",)) if compiled.plan.by_rows else (_INFER, ("hilnas_inputs", "hilnas_outputs"))
        keep = [f"-Wl,--undefined={entry}" for entry in (*calls, "hilnas_reset", *data)]
        link = ["-nostdlib", "-nostartfiles", "-Wl,--gc-sections", f"-Wl,--entry={calls[0]}", *keep]
        ARM.run([*flags, *objects, RUNTIME_FOLDER / "memory.c", *link, "-lgcc", "-o", elf])
        sections = read_sections(elf)
        stack = max(stack_need(elf, call, compiled.routines) for call in calls)
    flash = sum(section.size_bytes for section in sections if section.loaded)
    kernels = [layer.kernel for layer in compiled.program.layers]
    return LibraryNeeds(
        flash_bytes=flash,
        overhead_bytes=flash - sum(kernel.weight_bytes + kernel.channel_bytes for kernel in kernels),
        ram_bytes=sum(section.size_bytes for section in sections if not section.loaded),
        stack_bytes=stack,
    )


def _in_words(compiled: CompiledModel, needs: LibraryNeeds) -> tuple[tuple[str, str], ...]:
    arenas = ", ".join(f"{size} bytes in section .bss.hilnas_arena_{memory}" for memory, size in compiled.plan.arenas.items())
    return (
        ("Flash", f"{needs.flash_bytes} bytes: code {needs.overhead_bytes}, weights with biases and scales the rest"),
        ("RAM", f"{needs.ram_bytes} bytes: {arenas}"),
        ("Stack", f"{needs.stack_bytes} bytes for a call, without interrupts"),
        ("Core", "Cortex-M with the DSP extension and an FPU that is switched on" if compiled.routines else "any"),
        ("Work", f"{compiled.program.macs} multiply-accumulates"),
    )


def _variant(name: str, defines: Sequence[str]) -> str:
    """The file name of a kernel that is compiled for `defines`."""
    path = Path(name)
    return "_".join((path.stem, *(define.partition("=")[2] for define in defines))) + path.suffix


def _defined(defines: Sequence[str]) -> str:
    return "".join(f"#define {define.replace('=', ' ')}\n" for define in defines)
