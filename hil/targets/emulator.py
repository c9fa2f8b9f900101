"""The target `emulator`: the board's own ELF on the board in software, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise

from hilnas.boards.board import Board
from hilnas.errors import BoardError
from hilnas.firmware.elf import read_elf
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.emulator.machine import Machine, Mark
from hilnas.hil.emulator.native import StopReason
from hilnas.hil.measurement import CYCLES_FROM_INSTRUCTIONS, CYCLES_MODELLED
from hilnas.hil.session import Patience, Session
from hilnas.hil.target import Inference, TargetRun, Tensor
from hilnas.hil.timing.model import TimingMode, TimingModel, has_timing
from hilnas.progress import progress

LAYER_MARK = "hilnas_layer_mark"
_SILENT = (StopReason.IDLE, StopReason.ENDLESS, StopReason.SLEEP)
SLICE_INSTRUCTIONS = 20_000_000
"""Instructions between two looks at the clock and at Ctrl-C: some tenths of a second."""


class MachineTransport:
    """The UART of a machine: reading runs it, `slice_instructions` at a time, until it says something or waits for the host.

    `at_symbol` is called wherever the machine stops at a function (`Machine.stop_at`), which is then entered.
    """

    def __init__(self, machine: Machine, slice_instructions: int, at_symbol: Callable[[], None] = lambda: None) -> None:
        self._machine = machine
        self._slice = slice_instructions
        self._at_symbol = at_symbol

    def read(self, timeout_s: float) -> bytes:
        """See `Transport`. An idle machine says nothing more, however long one waits.

        Raises:
            TargetError: the firmware did what the machine cannot.
        """
        give_up = time.monotonic() + timeout_s
        while not (data := self._machine.receive()):
            if time.monotonic() > give_up:
                break
            reason = self._machine.run(self._slice).reason
            if reason in _SILENT:
                return self._machine.receive()
            if reason is StopReason.SYMBOL:
                self._at_symbol()
        return data

    def write(self, data: bytes) -> None:
        """See `Transport`."""
        self._machine.send(data)


class EmulatorTarget:
    """Runs images on the emulator.

    Args:
        slice_instructions: how often the machine is stopped; no result depends on it.
        limit_s: what one layer may take, in seconds of the host.
        timing: how time is made on boards that declare their timing; on others it is instructions times a constant.
    """

    name = "emulator"

    def __init__(self, slice_instructions: int = SLICE_INSTRUCTIONS, limit_s: float = 600.0, timing: TimingMode = TimingMode.FULL) -> None:
        self._slice = slice_instructions
        self._limit_s = limit_s
        self._timing = timing

    def run(self, image: FirmwareImage, board: Board, inputs: Sequence[tuple[Tensor, ...]], take_exits: bool) -> TargetRun:
        """See `Target`."""
        with ExitStack() as stack:
            machine = stack.enter_context(Machine(board, read_elf(image.elf)))
            advance = stack.enter_context(progress("running on the emulator", len(inputs)))
            is_modelled = self._timing is not TimingMode.OFF and has_timing(board)
            if is_modelled:
                machine.set_timing(stack.enter_context(TimingModel(board, mode=self._timing)).machine_timing())
            machine.mark_calls(LAYER_MARK)
            # No byte is lost on this line: asking once is enough.
            patience = Patience(reply_s=self._limit_s, run_s=self._limit_s, attempts=1)
            session = Session(MachineTransport(machine, self._slice), image, patience)
            session.connect()
            if machine.clock_hz not in (None, board.clock_hz):
                raise BoardError(f"the start-up code brings {board.name} to {machine.clock_hz} Hz, its board file says {board.clock_hz} Hz")
            inferences = []
            for tensors in inputs:
                machine.take_marks()
                inferences.append(_with_instructions(session.infer(tensors, take_exits), machine.take_marks()))
                advance(1)
            return TargetRun(
                inferences=tuple(inferences),
                stack_bytes=session.stack_bytes,
                cycles_source=CYCLES_MODELLED if is_modelled else CYCLES_FROM_INSTRUCTIONS,
                target_version=f"unicorn {version('unicorn')}",
                attempts=tuple(session.attempts),
            )


def _with_instructions(inference: Inference, marks: Sequence[Mark]) -> Inference:
    """Adds the instructions between the marks: from the return of one to the entry of the next. Streamed layers have many."""
    layers: list[int | None] = [None] * len(inference.layer_cycles)
    for mark, following in pairwise(marks):
        layers[mark.argument] = (layers[mark.argument] or 0) + following.entry_instructions - mark.return_instructions
    return replace(inference, layer_instructions=tuple(layers), instructions=sum(count for count in layers if count is not None))
