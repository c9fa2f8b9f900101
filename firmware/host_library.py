"""A model for this computer, or for any other without an engine of its own: portable C, a shared library and a program."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hilnas import __version__
from hilnas.files import MANIFEST_NAME, read_input, replaced_folder, write_atomically
from hilnas.firmware.compile import DEFAULT_REQUEST, CompiledModel
from hilnas.firmware.host import compile_for_host, link_program, link_shared
from hilnas.firmware.library import LIBRARY_FOLDER, write_library
from hilnas.firmware.plan import PlanRequest

SHARED_NAME = "libhilnas_model.so"
PROGRAM_NAME = "hilnas_model"


@dataclass(frozen=True, eq=False)
class HostBuild:
    """What was built: the model, its sources, the shared library, and the program (runtime/host_main.c says what it reads and writes)."""

    compiled: CompiledModel
    sources: Path
    shared: Path
    program: Path


def build_host_folder(model: Path, out: Path, request: PlanRequest = DEFAULT_REQUEST) -> HostBuild:
    """Builds a .tflite file for this computer in the folder `out`, which it replaces; on failure `out` stays as it was.

    Raises:
        InputError: the file cannot be read.
        ModelError: it is damaged or holds what the engine does not support.
        ToolMissingError: there is no C compiler.
        BuildError: it failed.
        StoreError: the disk refused.
    """
    compiled = compile_for_host(read_input(model), model.name, request=request)
    with replaced_folder(out) as folder:
        sources = folder / LIBRARY_FOLDER
        sources.mkdir()
        write_library(compiled, sources)
        link_shared(compiled, sources, folder / SHARED_NAME)
        link_program(compiled, sources, folder / PROGRAM_NAME)
        manifest = {"model": compiled.name, "model_sha256": compiled.sha256, "engine_version": __version__}
        write_atomically(folder / MANIFEST_NAME, json.dumps(manifest, indent=2) + "\n")
    return HostBuild(compiled, out / LIBRARY_FOLDER, out / SHARED_NAME, out / PROGRAM_NAME)
