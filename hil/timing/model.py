"""The timing model of a board: parameters from its declarations, the native model, and what it says afterwards."""

from __future__ import annotations

import ctypes as c
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import TracebackType

from hilnas.boards.board import AcceleratedFlash, Board, BusTiming, Memory
from hilnas.boards.core import Core, load_core
from hilnas.errors import BoardError
from hilnas.hil.emulator.native import library

_BEAT_BYTES = 8
_NO_CACHE_LINE_BYTES = 32
_DATA_MISS = "data_miss"
_ONE_READER = {"flags": {"condition"}, "fp_compare": {"fp_move"}}
"""Results that cannot go to every reader of the core or of the FPU, as all others do."""


class TimingMode(StrEnum):
    """How time is made: the whole model; the model without what depends on addresses; or instructions times a constant."""

    FULL = "full"
    FAST = "fast"
    OFF = "off"


class CacheRule(StrEnum):
    """When the caches are on: from the start, and as the firmware sets them once it has set one; as it sets them; never."""

    ON = "on"
    AS_SET = "as-set"
    OFF = "off"


class WarningKind(StrEnum):
    """What a model met that it does not know; in the order of `enum model_warning_kind`."""

    UNKNOWN_INSTRUCTION = "unknown instruction"
    MODIFIED_CODE = "code that modifies itself"


@dataclass(frozen=True)
class TimingWarning:
    """Something that makes the cycles wrong: what, where (an address, for modified code that of the store), and how often."""

    kind: WarningKind
    address: int
    count: int


@dataclass(frozen=True)
class BlockTime:
    """A block of code that ran: its address, how often, its instructions in total, and its cycles in total by cause."""

    address: int
    executions: int
    instructions: int
    cycles: Mapping[str, int]


class _Memory(c.Structure):
    _fields_ = (
        ("base", c.c_uint32),
        ("size", c.c_uint32),
        ("on_bus", c.c_int32),
        ("fill", c.c_int32),
        ("sequential_fill", c.c_int32),
        ("beat", c.c_int32),
        ("occupancy", c.c_int32),
    )


class _Flash(c.Structure):
    _fields_ = (
        ("base", c.c_uint32),
        ("size", c.c_uint32),
        ("wait_states", c.c_int32),
        ("word_bytes", c.c_uint32),
        ("line_bytes", c.c_uint32),
        ("instruction_lines", c.c_uint32),
        ("data_lines", c.c_uint32),
    )


class _Warning(c.Structure):
    _fields_ = (("kind", c.c_uint32), ("address", c.c_uint32), ("count", c.c_uint64))


class _MachineTiming(c.Structure):
    """`timing_model` of hil/emulator/timing.h."""

    _fields_ = tuple(
        (name, c.c_void_p) for name in ("model", "decode", "enter", "access", "next_access", "cycles", "maintain", "sleep", "exception")
    )


@cache
def _native() -> c.CDLL:
    native = library()
    signatures: dict[str, tuple[object, tuple[object, ...]]] = {
        "model_create": (c.c_void_p, ()),
        "model_destroy": (None, (c.c_void_p,)),
        "model_set": (c.c_int, (c.c_void_p, c.c_char_p, c.c_int32)),
        "model_set_latency": (c.c_int, (c.c_void_p, c.c_uint32, c.c_uint32, c.c_int32)),
        "model_add_memory": (c.c_int, (c.c_void_p, c.POINTER(_Memory))),
        "model_add_flash": (c.c_int, (c.c_void_p, c.POINTER(_Flash))),
        "model_set_caches": (None, (c.c_void_p, c.c_int)),
        "model_caches_were_set": (c.c_bool, (c.c_void_p,)),
        "model_start": (c.c_int, (c.c_void_p,)),
        "model_cycles": (c.c_uint64, (c.c_void_p,)),
        "model_finish": (None, (c.c_void_p,)),
        "model_cause_count": (c.c_uint32, ()),
        "model_profile": (c.c_size_t, (c.c_void_p, c.c_void_p, c.c_size_t)),
        "model_warnings": (c.c_size_t, (c.c_void_p, c.c_void_p, c.c_size_t)),
        "model_as_timing": (None, (c.c_void_p, c.c_bool, c.POINTER(_MachineTiming))),
    }
    for name in ("model_parameter", "model_result_kind", "model_operand_role", "model_cause"):
        signatures[name] = (c.c_char_p, (c.c_uint32,))
    for name, (result, arguments) in signatures.items():
        function = getattr(native, name)
        function.restype = result
        function.argtypes = arguments
    return native


@cache
def _names(function: str) -> tuple[str, ...]:
    names: list[str] = []
    while (name := getattr(_native(), function)(len(names))) is not None:
        names.append(name.decode())
    return tuple(names)


def has_timing(board: Board) -> bool:
    """Whether the board declares what the timing model needs."""
    return all(memory.timing is not None for memory in board.memories.values())


def memory_cycles(timing: BusTiming, clock_hz: int, line_bytes: int) -> tuple[int, int, int, int]:
    """Core cycles of a line fill at a core clock: to its first word, the same for the next line, between words, and per line."""

    def core(bus_cycles: int) -> int:
        return -(-bus_cycles * clock_hz // timing.bus_hz)

    beat = max(1, _BEAT_BYTES // timing.width_bytes)
    beats = line_bytes // _BEAT_BYTES
    read = timing.wait_states + 1
    line = max(beats * beat, line_bytes // timing.width_bytes * read)
    between = max(beat, -(-(line - read) // (beats - 1)))
    first = timing.bus_cycles + timing.wait_states
    return (
        timing.core_cycles + core(first),
        timing.core_cycles + core(max(1, first - timing.sequential_saving)),
        core(between),
        core(line),
    )


class TimingModel:
    """The native model of a board's core, caches and memories. Use as a context manager; it must outlive the machine's runs.

    Raises:
        BoardError: the board declares no timing, or names what the model does not know.
    """

    def __init__(
        self, board: Board, core: Core | None = None, mode: TimingMode = TimingMode.FULL, caches: CacheRule = CacheRule.ON
    ) -> None:
        if mode is TimingMode.OFF:
            raise ValueError("a timing model is either full or fast")
        self._board = board
        self._mode = mode
        self._caches = caches
        self._native = _native()
        self._handle = c.c_void_p(self._native.model_create())
        if not self._handle:
            raise MemoryError("timing model")
        try:
            self._set_core(core or load_core(board.core))
            self._set_memories()
            self._native.model_set_caches(self._handle, list(CacheRule).index(caches))
            if self._native.model_start(self._handle):
                raise BoardError(
                    f"the timing model cannot be that of {board.name}",
                    "Sizes and ways of caches and of branch targets are powers of two; a return stack has at most 16 entries, and passes "
                    "are counted to 254.",
                )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> TimingModel:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Frees it. It cannot be used afterwards."""
        if self._handle:
            self._native.model_destroy(self._handle)
            self._handle = c.c_void_p(None)

    def _set(self, name: str, value: int) -> None:
        if self._native.model_set(self._handle, name.encode(), value):
            raise BoardError(f"the timing model has no parameter {name!r}", f"It has {', '.join(_names('model_parameter'))}.")

    def _set_core(self, core: Core) -> None:
        caches = self._board.caches
        geometry = {
            "instruction_cache_bytes": caches.instruction.bytes if caches else 0,
            "instruction_cache_ways": caches.instruction.ways if caches else 0,
            "data_cache_bytes": caches.data.bytes if caches else 0,
            "data_cache_ways": caches.data.ways if caches else 0,
            "cache_line_bytes": caches.line_bytes if caches else _NO_CACHE_LINE_BYTES,
        }
        if self._mode is TimingMode.FAST:
            geometry |= {"instruction_cache_bytes": 0, "data_cache_bytes": 0}
        for name in _names("model_parameter"):
            if name not in geometry and name not in core.parameters:
                raise BoardError(f"core {core.name} has no parameter {name}", "See docs/timing.md for what a core file holds.")
        for name, value in geometry.items():
            self._set(name, value)
        for name, parameter in core.parameters.items():
            self._set(name, parameter.value)
        self._set_latencies(core)

    def _set_latencies(self, core: Core) -> None:
        kinds, roles = _names("model_result_kind"), _names("model_operand_role")
        if unknown := set(kinds) ^ set(core.latencies):
            raise BoardError(f"core {core.name}: latencies {', '.join(sorted(unknown))} are missing or unknown", "See docs/timing.md.")
        of_fpu = {role for role in roles if role.startswith("fp_")}
        for kind, latencies in core.latencies.items():
            # What is left out would count as no cycles.
            readers = _ONE_READER.get(kind) or (of_fpu if of_fpu & set(latencies.cycles) else set(roles) - of_fpu)
            if missing := readers - set(latencies.cycles):
                raise BoardError(f"core {core.name}: latencies of {kind} lack {', '.join(sorted(missing))}", "See docs/timing.md.")
            for role, cycles in latencies.cycles.items():
                if role not in roles or self._native.model_set_latency(self._handle, kinds.index(kind), roles.index(role), cycles):
                    raise BoardError(f"core {core.name}: latency {kind} to {role} of {cycles} cycles is impossible", "See docs/timing.md.")

    def _set_memories(self) -> None:
        for name, memory in self._board.memories.items():
            if memory.timing is None:
                raise BoardError(
                    f"memory {name} of {self._board.name} declares no timing", "Use --timing off, or add it to the board file."
                )
            if isinstance(memory.timing, AcceleratedFlash) and self._mode is not TimingMode.FAST:
                self._add_flash(name, memory, memory.timing)
            else:
                self._add_memory(name, memory)

    def _add_flash(self, name: str, memory: Memory, timing: AcceleratedFlash) -> None:
        geometry = (timing.word_bytes, timing.line_bytes, timing.instruction_lines, timing.data_lines)
        if self._native.model_add_flash(self._handle, c.byref(_Flash(memory.base, memory.size, timing.wait_states, *geometry))):
            raise BoardError(
                f"memory {name} of {self._board.name} cannot be modelled",
                "One memory may be accelerated; words, lines and their numbers are powers of two, with at most 8 words a line.",
            )

    def _add_memory(self, name: str, memory: Memory) -> None:
        times = (0, 0, 0, 0)
        if isinstance(memory.timing, BusTiming):
            if self._board.caches is None:
                raise BoardError(
                    f"memory {name} of {self._board.name} is behind a bus, and the board declares no caches",
                    "Use --timing off, or add them.",
                )
            times = memory_cycles(memory.timing, self._board.clock_hz, self._board.caches.line_bytes)
        on_bus = isinstance(memory.timing, BusTiming)
        if self._native.model_add_memory(self._handle, c.byref(_Memory(memory.base, memory.size, on_bus, *times))):
            raise BoardError(f"{self._board.name} has more memories than the timing model can take", "Leave out those not used.")

    def machine_timing(self) -> c.Structure:
        """What `machine_set_timing` takes."""
        timing = _MachineTiming()
        self._native.model_as_timing(self._handle, self._mode is TimingMode.FULL, c.byref(timing))
        return timing

    @property
    def cycles(self) -> int:
        """Cycles so far."""
        return int(self._native.model_cycles(self._handle))

    @property
    def caches(self) -> str:
        """When the caches were on, in words."""
        if self._mode is TimingMode.FAST or self._caches is CacheRule.OFF:
            return "not modelled" if self._mode is TimingMode.FAST else "off"
        if self._native.model_caches_were_set(self._handle):
            return "as the firmware set them"
        return "assumed on: the firmware does not set them" if self._caches is CacheRule.ON else "off: the firmware does not set them"

    def finish(self) -> None:
        """Ends the running block: afterwards the cycles of all blocks sum to `cycles` exactly."""
        self._native.model_finish(self._handle)

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes of cycles; misses of the data cache are one cause a memory."""
        memories = (f"{_DATA_MISS}_{name}" for name, memory in self._board.memories.items() if not isinstance(memory.timing, str))
        return (*_names("model_cause")[:-1], *memories)

    def profile(self) -> tuple[BlockTime, ...]:
        """The blocks that have run, by address."""
        count = int(self._native.model_cause_count())

        class Row(c.Structure):
            _fields_ = (
                ("address", c.c_uint32),
                ("size", c.c_uint32),
                ("executions", c.c_uint64),
                ("instructions", c.c_uint64),
                ("cycles", c.c_uint64 * count),
            )

        rows = (Row * int(self._native.model_profile(self._handle, None, 0)))()
        self._native.model_profile(self._handle, rows, len(rows))
        names = [*_names("model_cause")[:-1], *(f"{_DATA_MISS}_{name}" for name in self._board.memories)]
        blocks = (BlockTime(row.address, row.executions, row.instructions, dict(zip(names, row.cycles, strict=False))) for row in rows)
        return tuple(sorted(blocks, key=lambda block: block.address))

    def warnings(self) -> tuple[TimingWarning, ...]:
        """What it met that it does not know."""
        rows = (_Warning * int(self._native.model_warnings(self._handle, None, 0)))()
        self._native.model_warnings(self._handle, rows, len(rows))
        kinds = tuple(WarningKind)
        return tuple(TimingWarning(kinds[row.kind], row.address, row.count) for row in rows)
