"""A board in software: runs any ELF of the board, instruction by instruction counted, the same every time."""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from hilnas.boards.board import Board
from hilnas.errors import BoardError, InputError, TargetError
from hilnas.firmware.elf import Elf
from hilnas.hil.emulator.entry import Start
from hilnas.hil.emulator.native import MachineAccess, MachineMark, MachineStop, StopReason, library

_PAGE = 4096
_ON_QEMU = "Run it on the target qemu to see what it does there."
_RECEIVE_BYTES = 65_536
# Unicorn's numbers of the exceptions that code without interrupts can raise (QEMU, target/arm/cpu.h).
_EXCEPTIONS = {
    1: "an undefined instruction",
    2: "SVC",
    3: "a prefetch abort",
    4: "a data abort",
    14: "PendSV",
    15: "a SysTick interrupt",
    17: "no coprocessor",
    18: "invalid state",
}
_PLAIN_STOPS = (
    StopReason.LIMIT,
    StopReason.IDLE,
    StopReason.SYMBOL,
    StopReason.BREAKPOINT,
    StopReason.SLEEP,
    StopReason.ENDLESS,
)
# Unicorn's error for code that no decoder of it knows (UC_ERR_INSN_INVALID).
_INVALID_INSTRUCTION = 10


@dataclass(frozen=True)
class Stop:
    """Why the machine stopped, where, its counts since it was created, and the code with which the firmware ended itself."""

    reason: StopReason
    pc: int
    instructions: int
    cycles: int
    exit_code: int = 0


@dataclass(frozen=True)
class UnknownAccess:
    """Accesses to an address of a peripheral that is not modelled: the block that made the first, and how many there were."""

    address: int
    block: int
    is_write: bool
    count: int


@dataclass(frozen=True)
class RefusedCall:
    """A semihosting operation that failed: the block that called it first, and how often it was called."""

    operation: int
    block: int
    count: int


@dataclass(frozen=True)
class Mark:
    """A call of a marked function: its first argument, and the counts on entry and return (0 while it has not returned)."""

    argument: int
    entry_instructions: int
    entry_cycles: int
    return_instructions: int
    return_cycles: int


class Machine:
    """The board's core, memories and peripherals with an ELF loaded, about to leave reset. Use as a context manager.

    Raises:
        BoardError: the emulator cannot be that board.
        InputError: the ELF does not lie in the board's memories.
        ToolMissingError: the emulator is not installed.
    """

    def __init__(self, board: Board, elf: Elf) -> None:
        self.board = board
        self.elf = elf
        self._library = library()
        self._handle = c.c_void_p(
            self._library.machine_create(board.startup.encode(), board.uart.base, board.cycles_per_instruction),
        )
        if not self._handle:
            raise BoardError(f"the emulator has no part {board.startup!r}", "See docs/boards.md for the parts that it has.")
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Frees it. It cannot be used afterwards."""
        if self._handle:
            self._library.machine_destroy(self._handle)
            self._handle = c.c_void_p(None)

    def _load(self) -> None:
        for name, memory in self.board.memories.items():
            size = -(-memory.size // _PAGE) * _PAGE
            if not self._library.machine_map(self._handle, memory.base, size, memory.kind == "ram"):
                raise BoardError(f"the emulator cannot map memory {name} of {self.board.name}", "Its base must be a multiple of 4096.")
        for segment in self.elf.segments:
            if not self._library.machine_write(self._handle, segment.address, segment.data, len(segment.data)):
                raise InputError(
                    f"{self.elf.path} has {len(segment.data)} bytes at {segment.address:#010x}, where {self.board.name} has no memory",
                    "Was it linked for another board?",
                )
        self.reset()

    def reset(self) -> None:
        """Puts core and peripherals into reset and starts at the vector table, at the start of the board's code memory.

        Raises:
            TargetError: there is no vector table.
        """
        vectors = self.board.memories[self.board.placement.text].base
        if not self._library.machine_reset(self._handle, vectors):
            raise _cannot_start(vectors)

    def start_any(self, start: Start) -> None:
        """Puts core and peripherals into reset and starts a firmware that was not made for this machine.

        From now on peripherals that are not modelled read as zero, what cannot be done is noted, exceptions are taken, and a branch
        to itself ends the run.

        Raises:
            TargetError: the emulation library refuses to start.
        """
        heap = (c.c_uint32 * 4)(start.heap_base, start.heap_limit, start.stack_pointer, 0)
        self._library.machine_take_any_firmware(self._handle, heap, float(self.board.clock_hz))
        if not self._library.machine_start(self._handle, start.vectors, start.stack_pointer, start.entry):
            raise _cannot_start(start.vectors)

    def set_timing(self, timing: c.Structure) -> None:
        """Takes its time from a model (`TimingModel.machine_timing`), which must live longer. Before the first run."""
        if not self._library.machine_set_timing(self._handle, c.byref(timing)):
            raise TargetError("the emulator cannot follow the firmware's memory accesses", "Use --timing fast.")

    def unknown_accesses(self) -> tuple[UnknownAccess, ...]:
        """What was noted of peripherals that are not modelled."""
        count = self._library.machine_unknown_count(self._handle)
        rows: list[MachineAccess] = self._library.machine_unknown_accesses(self._handle)[:count]
        return tuple(UnknownAccess(row.address, row.block, bool(row.is_write), row.count) for row in rows)

    def refused_calls(self) -> tuple[RefusedCall, ...]:
        """The semihosting calls that could not be done."""
        count = self._library.machine_refused_count(self._handle)
        rows: list[MachineAccess] = self._library.machine_refused_calls(self._handle)[:count]
        return tuple(RefusedCall(row.address, row.block, row.count) for row in rows)

    def replaced_code(self) -> dict[int, int]:
        """How often code was replaced after it ran and ran again, by the address of its block."""
        count = self._library.machine_replaced_count(self._handle)
        rows: list[MachineAccess] = self._library.machine_replaced_code(self._handle)[:count]
        return {row.address: row.count for row in rows}

    def mark_calls(self, symbol: str) -> None:
        """Notes every call of a function from now on.

        Raises:
            InputError: the ELF has no such function, or too many are marked.
        """
        if not self._library.machine_mark_calls(self._handle, self.elf.address_of(symbol)):
            raise _too_many("marks", symbol)

    def stop_at(self, symbol: str) -> None:
        """Makes `run` stop whenever a function is about to be entered.

        Raises:
            InputError: the ELF has no such function, or it would stop at too many.
        """
        if not self._library.machine_stop_at(self._handle, self.elf.address_of(symbol)):
            raise _too_many("stops at", symbol)

    def run(self, instructions: int) -> Stop:
        """Runs `instructions` more, or until the machine stops. Stops only between blocks of code: a few more may run.

        Raises:
            TargetError: the firmware did what the machine cannot: it names the access or exception, and the function.
        """
        stop = MachineStop()
        self._library.machine_run(self._handle, instructions, c.byref(stop))
        reason = StopReason(stop.reason)
        if reason is StopReason.EXIT:
            return Stop(reason, stop.pc, stop.instructions, stop.cycles, stop.detail)
        if reason in _PLAIN_STOPS:
            return Stop(reason, stop.pc, stop.instructions, stop.cycles)
        if reason is StopReason.RESET:
            self.reset()
            return Stop(reason, stop.pc, stop.instructions, stop.cycles)
        raise self._error(reason, stop)

    def send(self, data: bytes) -> None:
        """Gives bytes to the UART."""
        self._library.machine_uart_send(self._handle, data, len(data))

    def receive(self) -> bytes:
        """Takes what the firmware has sent over its UART."""
        return self._take(self._library.machine_uart_receive)

    def receive_console(self) -> bytes:
        """Takes what the firmware has written by semihosting."""
        return self._take(self._library.machine_console_receive)

    def _take(self, receive: Callable[[c.c_void_p, c.Array[c.c_char], int], int]) -> bytes:
        buffer = c.create_string_buffer(_RECEIVE_BYTES)
        received = bytearray()
        while size := receive(self._handle, buffer, _RECEIVE_BYTES):
            received += buffer.raw[:size]
        return bytes(received)

    @property
    def mark_count(self) -> int:
        """How many calls of marked functions `take_marks` would give."""
        return int(self._library.machine_mark_count(self._handle))

    def take_marks(self) -> tuple[Mark, ...]:
        """The calls of marked functions since the last time, in order."""
        count = self._library.machine_mark_count(self._handle)
        marks: list[MachineMark] = self._library.machine_marks(self._handle)[:count]
        self._library.machine_forget_marks(self._handle)
        return tuple(
            Mark(mark.argument, mark.entry_instructions, mark.entry_cycles, mark.return_instructions, mark.return_cycles) for mark in marks
        )

    def read_memory(self, address: int, size: int) -> bytes:
        """Bytes of a memory.

        Raises:
            InputError: the board has no memory there.
        """
        buffer = c.create_string_buffer(size)
        if not self._library.machine_read(self._handle, address, buffer, size):
            raise InputError(f"{self.board.name} has no memory of {size} bytes at {address:#010x}", "See `hilnas boards`.")
        return buffer.raw

    @property
    def clock_hz(self) -> int | None:
        """The core's clock as the firmware has set the clock tree, in hertz; None for a part without one."""
        return self._library.machine_clock_hz(self._handle) or None

    def _error(self, reason: StopReason, stop: MachineStop) -> TargetError:
        place = f"in {self.elf.function_at(stop.block)} at {stop.block:#010x}"
        access = f"the firmware {'wrote' if stop.is_write else 'read'} {stop.size} bytes at {stop.address:#010x} {place}"
        if reason is StopReason.UNMAPPED:
            return TargetError(
                f"{access}: {self.board.name} has no memory or modelled peripheral there", "Check pointers and the board file."
            )
        if reason is StopReason.UNCLOCKED:
            return TargetError(f"{access}: the clock of that peripheral is off", "Enable it in RCC first.")
        if reason is StopReason.EXCEPTION or stop.detail == _INVALID_INSTRUCTION:
            number = stop.detail if reason is StopReason.EXCEPTION else 1
            name = _EXCEPTIONS.get(number, f"exception {number}")
            return TargetError(f"the firmware raised {name} {place}, and the emulator finds no handler that it could run", _ON_QEMU)
        return TargetError(f"the emulation failed {place}: Unicorn error {stop.detail}", _ON_QEMU)


def _cannot_start(vectors: int) -> TargetError:
    return TargetError(f"the emulated core cannot start from the vector table at {vectors:#010x}", "Is the board's code memory there?")


def _too_many(verb: str, symbol: str) -> InputError:
    return InputError(f"the emulator {verb} no more functions: {symbol} is one too many", "Name fewer functions.")
