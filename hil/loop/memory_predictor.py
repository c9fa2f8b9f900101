"""Flash and SRAM of architectures, computed as the firmware lays them out, not guessed."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hilnas.boards.board import Board, InstructionCache
from hilnas.boards.core import load_core
from hilnas.errors import DoesNotFitError
from hilnas.firmware.assembly.emitter import PREAMBLE
from hilnas.firmware.assembly.scheduler import schedule_for
from hilnas.firmware.build import core_flags
from hilnas.firmware.codegen import EXIT_BYTES
from hilnas.firmware.compile import ASSEMBLY_NAME
from hilnas.firmware.elf import read_sections
from hilnas.firmware.fusion import fuse
from hilnas.firmware.kernel import AssemblyRoutine
from hilnas.firmware.lower import lower
from hilnas.firmware.plan import plan_memory
from hilnas.firmware.size import arena_memories
from hilnas.firmware.toolchain import ARM, compile_cached
from hilnas.hil.loop.weightless_graph import weightless_graph
from hilnas.nas.metrics import Estimate, FloatArray
from hilnas.nas.network import ADD, Network
from hilnas.nas.space import Architectures, SearchSpace

_WORD = 4
_BOUNDLESS = {"any": 2**31}


@dataclass(frozen=True)
class MemoryNeeds:
    """What a network keeps in flash: constants, and the routines made for its shapes; its arenas in whole words; all in bytes. What
    the rest of its code consists of; and how many instructions the memory plan costs, by the planner's estimate."""

    constant_bytes: int
    routine_bytes: int
    arena_bytes: int
    layers: int
    additions: int
    exits: int
    added_instructions: int


class RoutineSizes:
    """Bytes of code of the routines in assembly that are made for a network's shapes; each is assembled once."""

    def __init__(self, board: Board) -> None:
        self._flags = core_flags(board)
        self._schedule = schedule_for(load_core(board.core))
        self._known: dict[str, int] = {}

    def __call__(self, routine: AssemblyRoutine) -> int:
        """The size of one; routines of one name are the same.

        Raises:
            ToolMissingError: the compiler is not installed.
        """
        if routine.symbol not in self._known:
            with tempfile.TemporaryDirectory(prefix="hilnas-") as name:
                source = Path(name) / f"{routine.symbol}{Path(ASSEMBLY_NAME).suffix}"
                source.write_text(f"{PREAMBLE}\n{routine.text(self._schedule)}\n")
                sections = read_sections(compile_cached(ARM, source, self._flags, ()))
            self._known[routine.symbol] = sum(section.size_bytes for section in sections if section.executable)
        return self._known[routine.symbol]


@dataclass(frozen=True)
class NetworkPlanner:
    """Plans the memory of single architectures of a space on a board, as a build would."""

    network_of: Callable[[NDArray[np.int64]], Network]
    memories: Mapping[str, int]
    cache: InstructionCache | None
    routine_sizes: RoutineSizes

    @classmethod
    def of(cls, network_of: Callable[[NDArray[np.int64]], Network], board: Board) -> NetworkPlanner:
        """The planner for a board."""
        return cls(network_of, arena_memories(board), board.instruction_cache, RoutineSizes(board))

    def __call__(self, architecture: NDArray[np.int64]) -> MemoryNeeds:
        """The needs of one (D,). A network that does not fit the board gets what it would need in one memory."""
        return memory_needs(self.network_of(architecture), self.memories, self.cache, self.routine_sizes)


class MemoryPlanner:
    """The memory needs of batches of architectures; each network is planned once."""

    def __init__(self, space: SearchSpace, plan: Callable[[Architectures], Sequence[MemoryNeeds]]) -> None:
        """`plan` does the work for a batch (N, D), one after the other or in parallel."""
        self._space = space
        self._plan = plan
        self._known: dict[bytes, MemoryNeeds] = {}

    def __call__(self, architectures: Architectures) -> list[MemoryNeeds]:
        """The needs of each of a batch (N, D)."""
        batch = np.ascontiguousarray(self._space.canonical(architectures))
        missing = {row.tobytes(): row for row in batch if row.tobytes() not in self._known}
        if missing:
            self._known.update(zip(missing, self._plan(np.stack(list(missing.values()))), strict=True))
        return [self._known[row.tobytes()] for row in batch]


def memory_needs(network: Network, memories: Mapping[str, int], cache: InstructionCache | None, routine_sizes: RoutineSizes) -> MemoryNeeds:
    """The needs of one network, from its shapes alone; `memories` and `cache` are as in `plan_memory` and `lower`.

    Raises:
        ToolMissingError: the compiler, which knows how large a routine is, is not installed.
    """
    program = lower(fuse(weightless_graph(network)), cache=cache)
    try:
        plan = plan_memory(program, memories)
    except DoesNotFitError:
        plan = plan_memory(program, _BOUNDLESS)
    distinct = {routine.symbol: routine for layer in program.layers for routine in layer.kernel.routines}
    return MemoryNeeds(
        constant_bytes=program.constant_bytes + EXIT_BYTES * len(network.thresholds),
        routine_bytes=sum(map(routine_sizes, distinct.values())),
        # What the linker puts behind an arena starts at a word.
        arena_bytes=sum(-(-size // _WORD) * _WORD for size in plan.arenas.values()),
        layers=len(program.layers),
        additions=sum(layer.operator.op == ADD for layer in program.layers),
        exits=len(network.thresholds),
        added_instructions=sum(segment.schedule.added_instructions for segment in plan.segments if segment.streams and segment.schedule),
    )


class _ComputedBytes(ABC):
    """A computed part, plus a linear overhead that the images measured so far tell: what the linker adds for code and data."""

    def __init__(self, planner: MemoryPlanner) -> None:
        self._planner = planner
        self._columns: FloatArray | None = None
        self._overheads: FloatArray = np.zeros(0)
        self._coefficients: FloatArray = np.zeros(0)
        self._std = 0.0

    @abstractmethod
    def computed(self, needs: MemoryNeeds) -> float:
        """The part that is computed, in bytes."""

    @abstractmethod
    def columns(self, needs: MemoryNeeds) -> tuple[float, ...]:
        """What the overhead is linear in."""

    def predict(self, architectures: Architectures) -> Estimate:
        """Bytes of each of a batch (N, D); the deviation is the root mean square of what the overhead leaves unexplained."""
        needs = self._planner(architectures)
        computed = np.array([self.computed(one) for one in needs])
        overhead = np.array([self.columns(one) for one in needs]) @ self._coefficients if len(self._overheads) else 0.0
        return Estimate(np.rint(computed + overhead), np.full(len(needs), self._std))

    def update(self, architectures: Architectures, measured: Estimate) -> None:
        """Learns the overhead from measured bytes, in addition to those of earlier calls."""
        needs = self._planner(architectures)
        columns = np.array([self.columns(one) for one in needs])
        self._columns = columns if self._columns is None else np.concatenate([self._columns, columns])
        self._overheads = np.concatenate([self._overheads, measured.mean - [self.computed(one) for one in needs]])
        self._coefficients = np.asarray(np.linalg.lstsq(self._columns, self._overheads, rcond=None)[0], dtype=np.float64)
        residuals = self._overheads - self._columns @ self._coefficients
        self._std = float(np.sqrt(np.mean(residuals**2)))


class FlashPredictor(_ComputedBytes):
    """Constants and routines are computed; the rest of the code is the runtime, the shared kernels, and so much for each call."""

    def computed(self, needs: MemoryNeeds) -> float:
        """Bytes of constants and routines."""
        return needs.constant_bytes + needs.routine_bytes

    def columns(self, needs: MemoryNeeds) -> tuple[float, ...]:
        """A constant, the calls by kind, the kernels that not every network has."""
        return (1.0, needs.layers, needs.additions, float(needs.additions > 0), needs.exits, float(needs.exits > 0))


class SramPredictor(_ComputedBytes):
    """The arenas are computed; the rest is the runtime's, which keeps a few bytes for each layer that it reports."""

    def computed(self, needs: MemoryNeeds) -> float:
        """Bytes of arenas."""
        return needs.arena_bytes

    def columns(self, needs: MemoryNeeds) -> tuple[float, ...]:
        """A constant, the layers."""
        return (1.0, needs.layers)
