"""Boards of one kind: takes one that is free, sets aside one that only fails, and goes on with the others."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hilnas.boards.board import Board
from hilnas.errors import ConnectError, HilnasError, TargetError
from hilnas.files import sha256, write_atomically
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.bench import Bench, BenchRun, Persistence
from hilnas.hil.board_lock import hold_any
from hilnas.hil.fault import FaultError
from hilnas.hil.target import TargetRun, Tensor
from hilnas.progress import progress

_log = logging.getLogger(__name__)


class Fleet:
    """Boards that measure. Fleets, also of several processes, that share the folder `aside` share what they know of broken boards."""

    def __init__(self, benches: Sequence[Bench], persistence: Persistence, aside: Path | None = None) -> None:
        self._benches = tuple(benches)
        self._persistence = persistence
        self._scratch = None if aside else tempfile.TemporaryDirectory()
        self._aside = aside or Path(self._scratch.name if self._scratch else "")
        self._aside.mkdir(parents=True, exist_ok=True)

    def run(self, image: FirmwareImage, board: Board, inputs: Sequence[tuple[Tensor, ...]], take_exits: bool) -> TargetRun:
        """See `Target`. All inferences are of one board: what a board did before it was set aside is not used.

        Raises:
            ConnectError: no board is left, or none became free.
            ConnectError, TargetError: what the last board failed with.
            FaultError: the image makes the processor fault.
        """
        attempts: list[str] = []
        while True:
            with (
                hold_any(self._candidates, self._persistence.wait_s, self._try_acquire) as bench,
                progress(f"running on {bench.name}", len(inputs)) as advance,
            ):
                self._used(bench).touch()
                try:
                    return BenchRun(bench, image, board, self._persistence, attempts).run(inputs, take_exits, advance)
                except FaultError:
                    raise
                except (ConnectError, TargetError) as error:
                    self._set_aside(bench, error)
                    if not self._left():
                        raise type(error)(f"{error.message}; no board is left after {len(attempts)} attempts", error.hint) from error

    def _left(self) -> list[Bench]:
        return [bench for bench in self._benches if not self._note(bench).exists()]

    def _candidates(self) -> list[Bench]:
        """The boards that are left, those first that have not measured for longest."""
        left = sorted(self._left(), key=self._last_used)
        if not left:
            raise ConnectError(f"no board is left: {'; '.join(set_aside(self._aside))}", "Repair them, or name others.")
        return left

    def _try_acquire(self, bench: Bench) -> bool:
        """Whether the board could be taken; one that cannot even be asked for is set aside."""
        try:
            return bench.try_acquire()
        except ConnectError as error:
            self._set_aside(bench, error)
            return False

    def _set_aside(self, bench: Bench, error: HilnasError) -> None:
        _log.warning("board %s is set aside: %s", bench.name, error.message)
        write_atomically(self._note(bench), f"{bench.name}: {error.message}")

    def _note(self, bench: Bench) -> Path:
        return self._aside / f"{sha256(bench.name.encode())[:16]}.txt"

    def _used(self, bench: Bench) -> Path:
        return self._note(bench).with_suffix(".used")

    def _last_used(self, bench: Bench) -> float:
        used = self._used(bench)
        return used.stat().st_mtime if used.exists() else 0.0


def set_aside(folder: Path) -> list[str]:
    """The boards that fleets which share that folder have set aside, each with the reason."""
    return sorted(path.read_text() for path in folder.glob("*.txt"))
