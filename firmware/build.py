"""From a .tflite file to a firmware image of a board: ELF, manifest, and the C that it was made from."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hilnas import __version__
from hilnas.boards.board import Board
from hilnas.boards.core import load_core
from hilnas.boards.linker import arena_section, linker_script
from hilnas.errors import BuildError, DoesNotFitError
from hilnas.files import read_input, replaced_folder
from hilnas.firmware.assembly.scheduler import schedule_for
from hilnas.firmware.board_support import STACK_GUARD_BYTES, support_header, support_sources
from hilnas.firmware.compile import DEFAULT_REQUEST, CompiledModel, compile_model
from hilnas.firmware.elf import read_sections
from hilnas.firmware.image import ELF_NAME, MODEL_COPY, Allocation, FirmwareImage, LayerInfo, LibraryNeeds, Manifest, TensorInfo
from hilnas.firmware.library import INTERFACE_HEADER, LIBRARY_FOLDER, library_needs, write_library
from hilnas.firmware.plan import PlanRequest
from hilnas.firmware.protocol import c_header
from hilnas.firmware.size import arena_memories, section_totals
from hilnas.firmware.stack_need import stack_need
from hilnas.firmware.toolchain import ARM, KERNELS_FOLDER, RUNTIME_FOLDER, WARNINGS, compile_cached, compile_kernels

SOURCE_FOLDER = "src"

# The last flag keeps the compiler from turning loops into calls of memcpy, which the runtime has only in a small form.
_COMMON_FLAGS = (
    *("-std=gnu11", "-mthumb", "-ffunction-sections", "-fdata-sections", "-fno-common", *WARNINGS),
    "-fno-tree-loop-distribute-patterns",
)
_SMALL, _FAST = "-Os", "-O2"
_PER_IMAGE = "report.c"
"""The one file of the runtime that names the image it is in; the others are compiled once for a board."""
_OVERFLOW = re.compile(r"region `(\w+)' overflowed by (\d+) bytes")


def build_image(model: Path, board: Board, out: Path, request: PlanRequest = DEFAULT_REQUEST) -> FirmwareImage:
    """Builds the image of a .tflite file in the folder `out`, which it replaces; on failure `out` stays as it was. `request` says which
    memory plan is wanted.

    Raises:
        InputError: the file cannot be read.
        ModelError: it is damaged or holds what the engine does not support.
        DoesNotFitError: the board has too little flash or RAM.
        BudgetError: no memory plan is as small as asked for.
        ToolMissingError: the compiler is not installed.
        BuildError: it failed.
        StoreError: the disk refused.
    """
    content = read_input(model)
    compiled = compile_for_board(content, model.name, board, request)
    _check_flash(compiled, board)
    with replaced_folder(out) as folder:
        (folder / MODEL_COPY).write_bytes(content)
        image = _build(compiled, board, _build_id(compiled, board), folder, request)
        image.save()
    return FirmwareImage(out, image.manifest)


def compile_for_board(content: bytes, name: str, board: Board, request: PlanRequest = DEFAULT_REQUEST) -> CompiledModel:
    """Compiles a .tflite file to C for a board; see `build_image`."""
    sections = {memory: arena_section(memory) for memory in board.placement.arena}
    schedule = schedule_for(load_core(board.core))
    return compile_model(content, name, arena_memories(board), sections, request=request, cache=board.instruction_cache, schedule=schedule)


def core_flags(board: Board) -> tuple[str, ...]:
    """The compiler flags of the board's core."""
    return (f"-mcpu={board.core}", f"-mfpu={board.fpu}", "-mfloat-abi=hard", *_COMMON_FLAGS)


def _build(compiled: CompiledModel, board: Board, build_id: str, folder: Path, request: PlanRequest) -> FirmwareImage:
    source, library = folder / SOURCE_FOLDER, folder / LIBRARY_FOLDER
    source.mkdir()
    library.mkdir()
    write_library(compiled, library)
    _write_sources(compiled, board, build_id, source)
    with tempfile.TemporaryDirectory(prefix="hilnas-") as scratch:
        objects = _model_objects(compiled, core_flags(board), library, Path(scratch))
        needs = library_needs(compiled, core_flags(board), objects)
        write_library(compiled, library, needs)
        elf = _link(compiled, board, folder, objects)
    manifest = _manifest(compiled, board, build_id, elf, needs, request)
    _check_stack(manifest, board)
    return FirmwareImage(folder, manifest)


def _link(compiled: CompiledModel, board: Board, folder: Path, objects: Sequence[Path]) -> Path:
    source, flags = folder / SOURCE_FOLDER, core_flags(board)
    link = ["-nostdlib", "-nostartfiles", "-Wl,--gc-sections", f"-Wl,-T,{source / 'linker.ld'}"]
    here: list[str | Path] = [f"-I{folder / LIBRARY_FOLDER}", f"-I{source}", source / _PER_IMAGE]
    elf = folder / ELF_NAME
    try:
        ARM.run([*flags, _SMALL, *here, *objects, *_runtime_objects(board, flags), *link, "-lgcc", "-o", elf])
    except BuildError as error:
        raise _overflow(error, compiled, board) or error from error
    return elf


def _model_objects(compiled: CompiledModel, flags: Sequence[str], library: Path, scratch: Path) -> list[Path]:
    """The model's own sources are compiled here, to the folder `scratch`, the kernels once for a core."""
    own = []
    for source in compiled.sources:
        own.append(scratch / f"{Path(source).stem}.o")
        ARM.run([*flags, _SMALL, f"-I{library}", "-c", library / source, "-o", own[-1]])
    return [*own, *compile_kernels(ARM, compiled.kernels, (*flags, _FAST))]


def _write_sources(compiled: CompiledModel, board: Board, build_id: str, folder: Path) -> None:
    """Everything beside the library that the image is compiled from, so that it can be compiled without hilnas."""
    (folder / "linker.ld").write_text(linker_script(board, compiled.plan.arenas))
    (folder / "hilnas_protocol.h").write_text(c_header())
    (folder / "hilnas_board.h").write_text(support_header(board, build_id, __version__, len(compiled.program.layers)))
    for path in (*RUNTIME_FOLDER.glob("*.h"), *support_sources(board)):
        if path.name != INTERFACE_HEADER:
            shutil.copyfile(path, folder / path.name)


def _runtime_objects(board: Board, flags: Sequence[str]) -> list[Path]:
    with tempfile.TemporaryDirectory(prefix="hilnas-") as name:
        folder = Path(name)
        (folder / "hilnas_board.h").write_text(support_header(board, "", "", 1))
        (folder / "hilnas_protocol.h").write_text(c_header())
        sources = (path for path in support_sources(board) if path.name != _PER_IMAGE)
        return [compile_cached(ARM, path, (*flags, _SMALL), (RUNTIME_FOLDER, folder)) for path in sources]


def _build_id(compiled: CompiledModel, board: Board) -> str:
    """Names the image by everything that it is made from."""
    digest = hashlib.sha256()
    sources = (*sorted(KERNELS_FOLDER.glob("*.[ch]")), *sorted(RUNTIME_FOLDER.glob("*.[ch]")))
    made = (compiled.sha256, compiled.source, compiled.assembly, linker_script(board, compiled.plan.arenas), c_header())
    for part in (*made, board.model_dump_json(), __version__, ARM.version, *core_flags(board), *(path.read_text() for path in sources)):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


def _check_flash(compiled: CompiledModel, board: Board) -> None:
    size = board.memories[board.placement.text].size
    needed = compiled.program.constant_bytes
    if needed > size:
        raise DoesNotFitError(
            f"{compiled.name} needs {needed - size} bytes more flash than {board.name} has, for its weights alone: {needed} of {size}",
            "Take a smaller model or a board with more flash.",
        )


def _check_stack(manifest: Manifest, board: Board) -> None:
    if manifest.stack_bytes > board.stack_bytes - STACK_GUARD_BYTES:
        raise DoesNotFitError(
            f"{manifest.model} needs {manifest.stack_bytes} bytes of stack, {board.name} has {board.stack_bytes} with a guard of "
            f"{STACK_GUARD_BYTES}",
            "Give the board file a larger stack_bytes.",
        )


def _overflow(error: BuildError, compiled: CompiledModel, board: Board) -> DoesNotFitError | None:
    found = _OVERFLOW.search(error.message)
    if found is None:
        return None
    memory, excess = found.group(1), int(found.group(2))
    return DoesNotFitError(
        f"{compiled.name} needs {excess} bytes more than {board.name} has in memory {memory!r} ({board.memories[memory].size} bytes)",
        "Take a smaller model or a larger board.",
    )


def _manifest(compiled: CompiledModel, board: Board, build_id: str, elf: Path, needs: LibraryNeeds, request: PlanRequest) -> Manifest:
    program, plan = compiled.program, compiled.plan
    graph = program.graph
    sections = read_sections(elf)
    totals = section_totals(sections, board)
    return Manifest(
        model=compiled.name,
        model_sha256=compiled.sha256,
        board=board.name,
        build_id=build_id,
        engine_version=__version__,
        compiler=ARM.version,
        flags=(*core_flags(board), f"kernels {_FAST}", f"other files {_SMALL}"),
        flash_bytes=totals.flash_bytes,
        sram_bytes=totals.sram_bytes,
        arena_bytes=plan.arena_bytes,
        weight_bytes=sum(layer.kernel.weight_bytes for layer in program.layers),
        channel_bytes=sum(layer.kernel.channel_bytes for layer in program.layers),
        code_bytes=totals.code_bytes,
        stack_bytes=stack_need(elf, "reset_handler", compiled.routines),
        library=needs,
        macs=program.macs,
        sections={section.name: section.size_bytes for section in sections},
        inputs=tuple(_tensor_info(compiled, name, index) for name, index in zip(graph.input_names, graph.inputs, strict=True)),
        outputs=tuple(_tensor_info(compiled, name, index) for name, index in zip(graph.output_names, graph.outputs, strict=True)),
        layers=tuple(LayerInfo(layer.name, layer.operator.op, layer.macs, layer.exit) for layer in program.layers),
        exit_thresholds=graph.exits.thresholds if graph.exits else (),
        stateful=any(tensor.variable for tensor in graph.tensors),
        plan_request=request,
        lower_bound_bytes=plan.lower_bound_bytes,
        least_bound_bytes=plan.least_bound_bytes,
        added_share=plan.added_share,
        memory_plan=tuple(
            Allocation(
                item.buffer.name,
                item.memory,
                item.offset,
                item.buffer.size_bytes,
                item.buffer.first,
                item.buffer.last,
                "scratch" if item.buffer.tensor is None else "tensor" if item.buffer.ring_rows is None else "rows",
            )
            for item in plan.placed
        ),
    )


def _tensor_info(compiled: CompiledModel, name: str, index: int) -> TensorInfo:
    tensor = compiled.program.graph.tensors[index]
    scale, zero_point = (tensor.quantization.scale, tensor.quantization.zero_point) if tensor.quantization else (0.0, 0)
    return TensorInfo(name, tensor.shape, tensor.dtype, scale, zero_point, tensor.size_bytes)
