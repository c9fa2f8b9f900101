"""Times any Cortex-M ELF on the emulator: what it wrote, its counts, the intervals between marked calls, its profile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from hilnas.boards.board import Board
from hilnas.boards.core import Core
from hilnas.errors import TargetTimeoutError
from hilnas.firmware.elf import Elf, read_elf
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.emulator.entry import find_start
from hilnas.hil.emulator.machine import Machine, Stop
from hilnas.hil.emulator.native import StopReason
from hilnas.hil.measurement import CYCLES_FROM_INSTRUCTIONS, CYCLES_MODELLED
from hilnas.hil.session import Patience, Session
from hilnas.hil.targets.emulator import LAYER_MARK, MachineTransport
from hilnas.hil.timing.model import CacheRule, TimingMode, TimingModel, TimingWarning, WarningKind
from hilnas.hil.timing.profile import Profile, function_profile
from hilnas.hil.verify import verification_inputs
from hilnas.progress import progress

_SLICE = 20_000_000
_WAITS_FOR_HOST = "this is firmware of hilnas, which waits for the host's commands: give the folder that it lies in to time an inference"
_SEMIHOSTING = {0x01: "SYS_OPEN", 0x0D: "SYS_TMPNAM", 0x0E: "SYS_REMOVE", 0x0F: "SYS_RENAME", 0x12: "SYS_SYSTEM"}


@dataclass(frozen=True)
class Interval:
    """Instructions and cycles between two calls of the marked function."""

    instructions: int
    cycles: int


@dataclass(frozen=True)
class TimedRun:
    """What a run took. `ended` says why it ended, `caches` when they were on; `warnings` are what makes the cycles doubtful."""

    ended: str
    exit_code: int
    instructions: int
    cycles: int
    cycles_source: str
    caches: str
    intervals: tuple[Interval, ...]
    profile: Profile | None
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class RunOptions:
    """What to time: marked function, where to stop, how to make time, the time-out (seconds of the host), when caches are on."""

    mark: str | None = None
    stop: str | None = None
    timing: TimingMode = TimingMode.FULL
    profile: bool = False
    timeout_s: float = 600.0
    caches: CacheRule = CacheRule.ON


def run_elf(path: Path, board: Board, options: RunOptions, console: Callable[[bytes], None], core: Core | None = None) -> TimedRun:
    """Runs an ELF from reset until it ends: a semihosting exit, a breakpoint, the function to stop at, an endless wait or loop.

    `console` gets what it writes by semihosting and over the board's UART, as it comes. The time-out ends it too, if the marked
    function has been called twice by then.

    Raises:
        InputError: no such ELF or symbol, or it does not lie in the board's memories.
        BoardError: the board has no timing.
        TargetError: it raised an exception or left the memories.
        TargetTimeoutError: it did not end in time.
    """
    elf = read_elf(path)
    with _machine(elf, board, options, core) as (machine, model):
        stop = _run(machine, options, console)
        result = _result(machine, model, options, stop, _ENDED[stop.reason])
    if stop.reason is StopReason.IDLE and LAYER_MARK in elf.symbols and not result.intervals:
        return replace(result, warnings=(*result.warnings, _WAITS_FOR_HOST))
    return result


def run_image(image: FirmwareImage, board: Board, options: RunOptions, core: Core | None = None) -> TimedRun:
    """Runs one inference of a built image on a random input, from reset, with what the conversation with the host takes.

    Without a mark there is one interval: the inference alone, from the first layer to the end of the last.

    Raises:
        InputError: the image is for another board.
        BoardError: the board has no timing.
        TargetError: the firmware failed, or did not answer.
    """
    image.require_board(board.name)
    marked = options if options.mark is not None else replace(options, mark=LAYER_MARK)
    elf = read_elf(image.elf)
    with _machine(elf, board, marked, core) as (machine, model):
        patience = Patience(reply_s=options.timeout_s, run_s=options.timeout_s, attempts=1)
        session = Session(MachineTransport(machine, _SLICE), image, patience)
        session.connect()
        session.infer(verification_inputs(image.manifest, seed=0)[-1], take_exits=False)
        result = _result(machine, model, marked, machine.run(1), "inference")
    if options.mark is not None:
        return result
    layers = result.intervals
    return replace(result, intervals=(Interval(sum(layer.instructions for layer in layers), sum(layer.cycles for layer in layers)),))


def _result(machine: Machine, model: TimingModel | None, options: RunOptions, stop: Stop, ended: str) -> TimedRun:
    if model is not None:
        model.finish()
    entries = [(mark.entry_instructions, mark.entry_cycles) for mark in machine.take_marks()]
    return TimedRun(
        ended=ended,
        exit_code=stop.exit_code,
        instructions=stop.instructions,
        cycles=stop.cycles if model is None else model.cycles,
        cycles_source=CYCLES_FROM_INSTRUCTIONS if model is None else CYCLES_MODELLED,
        caches="not modelled" if model is None else model.caches,
        intervals=tuple(Interval(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(entries)),
        profile=function_profile(model, machine.elf) if model is not None and options.profile else None,
        warnings=(
            *_mark_warnings(options, len(entries)),
            *_peripheral_warnings(machine),
            *_refusal_warnings(machine),
            *_replacement_warnings(machine),
            *(_timing_warnings(model, machine.elf) if model is not None else ()),
        ),
    )


_ENDED = {
    StopReason.LIMIT: "time-out",
    StopReason.EXIT: "exit",
    StopReason.BREAKPOINT: "breakpoint",
    StopReason.SYMBOL: "symbol",
    StopReason.IDLE: "waits for input",
    StopReason.RESET: "reset",
    StopReason.SLEEP: "sleeps: waits for an interrupt that does not come",
    StopReason.ENDLESS: "endless loop",
}


@contextmanager
def _machine(elf: Elf, board: Board, options: RunOptions, core: Core | None) -> Iterator[tuple[Machine, TimingModel | None]]:
    with Machine(board, elf) as machine:
        machine.start_any(find_start(elf, board))
        if options.mark is not None:
            machine.mark_calls(options.mark)
        if options.stop is not None:
            machine.stop_at(options.stop)
        if options.timing is TimingMode.OFF:
            yield machine, None
            return
        with TimingModel(board, core, options.timing, options.caches) as model:
            machine.set_timing(model.machine_timing())
            yield machine, model


def _run(machine: Machine, options: RunOptions, console: Callable[[bytes], None]) -> Stop:
    started = time.monotonic()
    with progress("running, million instructions") as report:
        while True:
            try:
                stop = machine.run(_SLICE)
            finally:
                for text in (machine.receive_console(), machine.receive()):
                    if text:
                        console(text)
            if stop.reason is not StopReason.LIMIT:
                return stop
            report(_SLICE // 1_000_000)
            if time.monotonic() - started > options.timeout_s:
                if machine.mark_count >= 2:
                    return stop
                place = machine.elf.function_at(stop.pc)
                raise TargetTimeoutError(
                    f"{machine.elf.path} did not end within {options.timeout_s:g} s; it was in {place} at {stop.pc:#010x}",
                    "Give it a semihosting exit, name the function to stop at (--stop), or more time (--timeout).",
                )


def _mark_warnings(options: RunOptions, calls: int) -> Iterator[str]:
    if options.mark is not None and calls < 2:
        yield f"{options.mark} was called {('never', 'once')[calls]}: there is no interval; was it inlined?"


def _peripheral_warnings(machine: Machine) -> Iterator[str]:
    for access in machine.unknown_accesses():
        verb = "writes to" if access.is_write else "reads"
        yield (
            f"{machine.elf.function_at(access.block)} at {access.block:#010x} {verb} a peripheral that is not modelled, "
            f"at {access.address:#010x} ({access.count} times): it reads as zero"
        )


def _refusal_warnings(machine: Machine) -> Iterator[str]:
    for call in machine.refused_calls():
        name = _SEMIHOSTING.get(call.operation, f"operation {call.operation:#x}")
        place = f"{machine.elf.function_at(call.block)} at {call.block:#010x}"
        yield f"{place} asks by semihosting for {name} ({call.count} times), which fails: firmware gets no files of the host"


def _replacement_warnings(machine: Machine) -> Iterator[str]:
    for address, count in machine.replaced_code().items():
        yield f"code was replaced after it ran, and ran again, in {machine.elf.function_at(address)} at {address:#010x} ({count} times)"


def _timing_warnings(model: TimingModel, elf: Elf) -> Iterator[str]:
    for warning in model.warnings():
        yield f"{_describe(warning)} in {elf.function_at(warning.address)} at {warning.address:#010x} ({warning.count} times)"


def _describe(warning: TimingWarning) -> str:
    if warning.kind is WarningKind.UNKNOWN_INSTRUCTION:
        return "an instruction that the timing model does not know, taken as one cycle,"
    return "code is overwritten after it ran, its cycles are doubtful,"
