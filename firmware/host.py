"""The same generated C as a shared library of this computer: fast, and bit by bit what the device computes."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import BuildError
from hilnas.firmware.compile import DEFAULT_REQUEST, CompiledModel, compile_model
from hilnas.firmware.lowering import KernelSet
from hilnas.firmware.plan import PlanRequest
from hilnas.firmware.toolchain import HOST, KERNELS_FOLDER, RUNTIME_FOLDER, WARNINGS, compile_kernels

FLAGS = ("-std=gnu11", "-O2", "-fPIC", *WARNINGS)
TAKE_EXITS = 1
_MEMORY = {"host": 2**30}
_SECTIONS = {"host": ".arena.host"}


_Callback = ctypes.CFUNCTYPE(None, ctypes.c_uint32)


class _CTensor(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size_bytes", ctypes.c_uint32))


class HostModel:
    """A model that runs on this computer. Each one is a library of its own with its own arena and state."""

    def __init__(self, compiled: CompiledModel, library: Path) -> None:
        self.compiled = compiled
        self._library = ctypes.CDLL(str(library))
        self._library.hilnas_run.restype = ctypes.c_uint32
        self._library.hilnas_reset()
        graph = compiled.program.graph
        self._inputs = self._edges("hilnas_inputs", graph.inputs)
        self._outputs = self._edges("hilnas_outputs", graph.outputs)

    def run(
        self, *inputs: NDArray[np.generic], take_exits: bool = False, at_mark: Callable[[], None] | None = None
    ) -> tuple[tuple[NDArray[np.generic], ...], int]:
        """One inference: outputs in the manifest's order (stale behind a taken exit), and the exit taken. `at_mark` is called with every
        hilnas_layer_mark."""
        for edge, values in zip(self._inputs, inputs, strict=True):
            edge[...] = values.reshape(edge.shape)
        callback = _Callback(lambda _: at_mark()) if at_mark is not None else _Callback()
        ctypes.c_void_p.in_dll(self._library, "hilnas_host_mark").value = ctypes.cast(callback, ctypes.c_void_p).value
        taken = int(self._library.hilnas_run(ctypes.c_uint32(TAKE_EXITS if take_exits else 0)))
        return tuple(edge.copy() for edge in self._outputs), taken

    def read_arena(self, memory: str, offset: int, size_bytes: int) -> bytes:
        """Bytes of the arena."""
        graph, plan = self.compiled.program.graph, self.compiled.plan
        place = next(item for item in plan.placed if item.buffer.tensor == graph.storage(graph.outputs[0]))
        assert place.memory == memory
        return ctypes.string_at(int(self._outputs[0].ctypes.data) - place.offset + offset, size_bytes)

    def _edges(self, symbol: str, tensors: Sequence[int]) -> list[NDArray[np.generic]]:
        table = (_CTensor * len(tensors)).in_dll(self._library, symbol)
        edges: list[NDArray[np.generic]] = []
        for entry, index in zip(table, tensors, strict=True):
            tensor = self.compiled.program.graph.tensors[index]
            raw = (ctypes.c_uint8 * int(entry.size_bytes)).from_address(int(entry.data))
            edges.append(np.ctypeslib.as_array(raw).view(tensor.dtype).reshape(tensor.shape))
        return edges


def build_host(
    content: bytes,
    name: str = "model",
    kernel_set: KernelSet = KernelSet.PORTABLE,
    flags: Sequence[str] = (),
    request: PlanRequest = DEFAULT_REQUEST,
) -> HostModel:
    """Compiles a .tflite file for this computer and loads it. `flags` are further compiler flags, `request` is as in `compile_model`.

    With the kernels of the DSP extension its instructions are emulated: slower, for tests. Assembly cannot be had here.

    Raises:
        ModelError: the file is damaged or holds what the engine does not support.
        ToolMissingError: there is no C compiler.
        BuildError: it failed.
    """
    compiled = compile_for_host(content, name, kernel_set, request)
    with tempfile.TemporaryDirectory(prefix="hilnas-") as folder:
        compiled.write(Path(folder))
        library = Path(folder) / "model.so"
        link_shared(compiled, Path(folder), library, flags)
        try:
            return HostModel(compiled, library)
        except OSError as error:
            raise BuildError(f"the library of {name} cannot be loaded: {error}") from error


def compile_for_host(
    content: bytes, name: str, kernel_set: KernelSet = KernelSet.PORTABLE, request: PlanRequest = DEFAULT_REQUEST
) -> CompiledModel:
    """Compiles a .tflite file to C for this computer; see `build_host`."""
    return compile_model(content, name, _MEMORY, _SECTIONS, kernel_set, request)


def link_shared(compiled: CompiledModel, folder: Path, target: Path, flags: Sequence[str] = ()) -> None:
    """Makes a shared library from the model's sources in `folder`.

    Raises:
        ToolMissingError: there is no C compiler.
        BuildError: it failed.
    """
    _link(compiled, folder, ("-shared", RUNTIME_FOLDER / "host_mark.c"), target, flags)


def link_program(compiled: CompiledModel, folder: Path, target: Path, flags: Sequence[str] = ()) -> None:
    """Makes a program from the model's sources in `folder`; see runtime/host_main.c.

    Raises:
        ToolMissingError: there is no C compiler.
        BuildError: it failed.
    """
    _link(compiled, folder, (RUNTIME_FOLDER / "host_main.c",), target, flags)


def _link(compiled: CompiledModel, folder: Path, own: Sequence[str | Path], target: Path, flags: Sequence[str]) -> None:
    """`own` is what the compiler is told beside the model's files: sources, and what to make."""
    includes = [f"-I{include}" for include in (folder, KERNELS_FOLDER, RUNTIME_FOLDER)]
    sources = [folder / source for source in compiled.sources]
    kernels = compile_kernels(HOST, compiled.kernels, (*FLAGS, *flags))
    HOST.run([*FLAGS, *flags, *includes, *own, *sources, *kernels, "-o", target])
