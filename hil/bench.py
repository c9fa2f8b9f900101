"""A board within reach, and one image's run on it: flashed, opened, checked, and repeated where a fault spoiled it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hilnas.boards.board import Board
from hilnas.errors import ConnectError, HilnasError, ProtocolError, TargetError
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.board_lock import Holdable
from hilnas.hil.fault import FaultError
from hilnas.hil.session import Patience, Session
from hilnas.hil.target import Inference, TargetRun, Tensor
from hilnas.hil.transport import PortForbiddenError, SerialTransport
from hilnas.progress import Advance

_log = logging.getLogger(__name__)


class Bench(Holdable, Protocol):
    """A board within reach: how to hold, flash and open it. `cycles_source` says what its cycle counter counts."""

    cycles_source: str

    def flash(self, elf: Path, board: Board) -> tuple[str, ...]:
        """Writes an ELF and starts it. Says what had to be tried again.

        Raises:
            ConnectError: the board cannot be reached, or its flash does not hold what was written.
        """

    def port(self) -> str:
        """What pyserial opens to talk to it.

        Raises:
            ConnectError: there is no port.
        """

    def version(self) -> str:
        """What it is and what flashed it, with versions."""


@dataclass(frozen=True)
class Persistence:
    """How often to try, and how long to wait, in seconds: `failures` in a row make a board one that fails, with `pause_s` between
    them; `wait_s` for a board that others use."""

    failures: int = 3
    pause_s: float = 1.0
    wait_s: float = 600.0
    patience: Patience = field(default_factory=Patience)


class BenchRun:
    """An image on a board that is held. `attempts` gets what had to be tried again."""

    def __init__(self, bench: Bench, image: FirmwareImage, board: Board, persistence: Persistence, attempts: list[str]) -> None:
        self._bench = bench
        self._image = image
        self._board = board
        self._persistence = persistence
        self._attempts = attempts
        self._done: list[Inference] = []
        self._stack_bytes: int | None = None

    def run(self, inputs: Sequence[tuple[Tensor, ...]], take_exits: bool, advance: Advance) -> TargetRun:
        """All inferences. A fault repeats no inference that is done, unless the model has a memory; a board that restarted by itself
        is not flashed again.

        Raises:
            ConnectError, TargetError: the last of so many failures in a row that the board must be one that fails.
            FaultError: the image makes the processor fault.
        """
        failures, must_flash = 0, True
        while True:
            before = len(self._done)
            try:
                self._try(inputs, take_exits, must_flash, advance)
                break
            except (FaultError, PortForbiddenError):
                raise
            except (ConnectError, TargetError) as error:
                failures = 1 if len(self._done) > before else failures + 1
                must_flash = not isinstance(error, ProtocolError) or failures > 1
                self._note(error)
                if failures == self._persistence.failures:
                    raise
                if self._image.manifest.stateful:
                    self._done.clear()
                time.sleep(self._persistence.pause_s)
        return TargetRun(tuple(self._done), self._stack_bytes, self._bench.cycles_source, self._bench.version(), tuple(self._attempts))

    def _try(self, inputs: Sequence[tuple[Tensor, ...]], take_exits: bool, must_flash: bool, advance: Advance) -> None:
        if must_flash:
            self._attempts += [f"{self._bench.name}: {retry}" for retry in self._bench.flash(self._image.elf, self._board)]
        with SerialTransport(self._bench.port(), self._board.uart.baud_rate) as transport:
            session = Session(transport, self._image, self._persistence.patience)
            try:
                session.connect()
                for tensors in inputs[len(self._done) :]:
                    self._done.append(session.infer(tensors, take_exits))
                    advance(1)
            finally:
                self._stack_bytes = max(self._stack_bytes or 0, session.stack_bytes or 0) or None
                if session.attempts:
                    self._attempts.append(
                        f"{self._bench.name}: asked again for {len(session.attempts)} replies, first {session.attempts[0]}"
                    )

    def _note(self, error: HilnasError) -> None:
        self._attempts.append(f"{self._bench.name}: {error.message}")
        _log.warning("board %s: %s", self._bench.name, error.message)
