"""A virtual board: the emulator behind a pseudo-terminal and a debug probe, which does wrong what it is told to do wrong."""

from __future__ import annotations

import logging
import os
import selectors
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from hilnas.boards.board import Board
from hilnas.errors import HilnasError, StoreError
from hilnas.files import write_atomically
from hilnas.firmware.elf import read_elf
from hilnas.hil.emulator.machine import Machine
from hilnas.hil.emulator.native import StopReason
from hilnas.hil.timing.model import TimingModel, has_timing
from hilnas.hil.virtual_board.cable import Cable
from hilnas.hil.virtual_board.control import PORT_NAME, PROBE_NAME, answer, listen, receive_request
from hilnas.hil.virtual_board.faults import Fault, FaultPlan

FLASH_NAME = "flash.elf"

_SLICE_INSTRUCTIONS = 2_000_000
"""Instructions between two looks at the cable and the probe: some hundredths of a second."""
_REQUEST_S = 10.0
_TICK = 0x80

_log = logging.getLogger(__name__)


class VirtualBoard:
    """A board in the folder `folder`: its serial port, its probe's socket, and its flash, which keeps what was written to it.

    `plan` says what goes wrong. `serve` is its life; `stop`, from another thread or a signal handler, ends it. Use as a context manager.
    """

    def __init__(self, board: Board, folder: Path, plan: FaultPlan) -> None:
        self.board = board
        self.port, self.probe = folder / PORT_NAME, folder / PROBE_NAME
        self._flash = folder / FLASH_NAME
        self._plan = plan
        self._is_dead = False
        self._running = ExitStack()
        self._machine: Machine | None = None
        self._is_busy = False
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._listener = listen(self.probe)
            self._cable = Cable(self.port)
        except OSError as error:
            raise StoreError(f"cannot make a virtual board in {folder}: {error}", "Choose another folder.") from error
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._selector.register(self._listener, selectors.EVENT_READ, self._serve_probe)
        self._watched = -1

    def __enter__(self) -> VirtualBoard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._running.close()
        self._cable.unplug()
        self._selector.close()
        self._listener.close()
        self.probe.unlink(missing_ok=True)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def stop(self) -> None:
        """Makes `serve` return."""
        os.write(self._wake_write, b"x")

    def serve(self) -> None:
        """Runs the board until it is stopped."""
        self._power_on()
        while True:
            self._watch_cable()
            for key, _ in self._selector.select(0 if self._is_busy else None):
                if key.data is None:
                    return
                serve: Callable[[], None] = key.data
                serve()
            if self._is_busy:
                self._run()

    def _watch_cable(self) -> None:
        """Waits for bytes of the host and, only when some wait to be sent, for room."""
        if self._watched >= 0:
            self._selector.unregister(self._watched)
        self._watched = self._cable.descriptor
        if self._watched >= 0:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._cable.is_waiting else 0)
            self._selector.register(self._watched, events, self._serve_cable)

    def _serve_cable(self) -> None:
        self._cable.write()
        data = self._plan.damage(self._cable.read())
        if data and self._machine is not None:
            self._machine.send(data)
            self._is_busy = True

    def _run(self) -> None:
        """Runs the firmware for a while and sends what it says."""
        assert self._machine is not None
        try:
            stop = self._machine.run(_SLICE_INSTRUCTIONS)
        except HilnasError as error:
            _log.warning("the firmware on the virtual board stopped: %s", error.message)
            self._power_off()
            return
        self._is_busy = stop.reason is not StopReason.IDLE
        self._say(self._machine.receive())

    def _say(self, data: bytes) -> None:
        """Sends what the firmware said, up to where a fault strikes: the byte before each layer is what tells how far it is."""
        for position, byte in enumerate(data):
            fault = self._plan.layer() if byte & _TICK else None
            if fault is not None:
                self._cable.write(self._plan.damage(data[: position + 1]))
                self._strike(fault)
                return
        self._cable.write(self._plan.damage(data))

    def _strike(self, fault: Fault) -> None:
        _log.warning("the virtual board does what it was told to do wrong: %s", fault)
        if fault is Fault.RESET:
            self._power_on()
            return
        self._power_off()
        if fault in (Fault.DISCONNECT, Fault.DIES):
            self._cable.unplug()
        self._is_dead = fault is Fault.DIES

    def _serve_probe(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(_REQUEST_S)
            try:
                command, elf = receive_request(connection)
                error = self._obey(command, elf)
                answer(connection, done=self.board.name, error=error)
            except (OSError, ValueError) as problem:
                _log.warning("virtual board: a request that makes no sense: %s", problem)

    def _obey(self, command: str, elf: bytes) -> str | None:
        """Does what the probe was asked; returns what went wrong."""
        if self._is_dead:
            return "the target has no power (target voltage 0.0 V)"
        if command == "flash":
            return self._write_flash(elf)
        if command == "reset":
            self._power_on()
            return None
        return None if command == "identify" else f"unknown command {command!r}"

    def _write_flash(self, elf: bytes) -> str | None:
        self._plan.flash()
        fault = self._plan.current
        self._power_off()
        self._cable.plug()
        if fault is Fault.FIRST_CONNECT:
            return "cannot connect to the core: no answer to the reset"
        if fault is Fault.VERIFY:
            self._flash.unlink(missing_ok=True)
            return "verify failed: flash differs from the image at 0x08000000"
        if fault is not Fault.STALE_BUILD:
            write_atomically(self._flash, elf)
        self._power_on()
        return None

    def _power_off(self) -> None:
        self._running.close()
        self._machine, self._is_busy = None, False

    def _power_on(self) -> None:
        """Starts the firmware that is in flash, if there is any, from the state after a reset."""
        self._power_off()
        fault = self._plan.current
        match fault:
            case Fault.PORT_MISSING:
                self._cable.hide()
            case Fault.PORT_BUSY:
                self._cable.occupy()
            case Fault.PERMISSION_DENIED:
                self._cable.forbid()
            case _:
                self._cable.plug()
        if fault is Fault.SILENCE or not self._flash.exists():
            return
        try:
            machine = self._running.enter_context(Machine(self.board, read_elf(self._flash)))
            if has_timing(self.board):
                machine.set_timing(self._running.enter_context(TimingModel(self.board)).machine_timing())
        except HilnasError as error:
            _log.warning("the virtual board cannot start what is in its flash: %s", error.message)
            self._power_off()
            return
        self._machine, self._is_busy = machine, True
