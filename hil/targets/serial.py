"""The target `serial`: real boards at this host, flashed over their debug probe and read over their serial port; or virtual ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from serial.tools import list_ports

from hilnas.boards.board import Board
from hilnas.errors import ConnectError
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.bench import Bench
from hilnas.hil.board_lock import BoardLock
from hilnas.hil.board_selection import BoardSelection
from hilnas.hil.flashers import choose_flasher
from hilnas.hil.flashers.virtual import PREFIX, is_virtual
from hilnas.hil.fleet import Fleet
from hilnas.hil.measurement import CYCLES_MEASURED, CYCLES_MODELLED
from hilnas.hil.probes import AUTO, choose_port
from hilnas.hil.target import TargetRun, Tensor

FLASH_S = 120.0
"""What flashing may take, its own repetitions included."""


def _absent(port: str, probe: str | None) -> ConnectError | None:
    """What is not there of a board that was named; whether a real probe is there its flasher knows best."""
    if probe is not None and is_virtual(probe):
        path = Path(probe.removeprefix(PREFIX))
        return (
            None
            if path.exists()
            else ConnectError(f"there is no virtual board at {path}", "Is `hilnas virtual-board`, which prints its probe, still running?")
        )
    if port == AUTO or "://" in port or Path(port).exists():
        return None
    present = ", ".join(sorted(known.device for known in list_ports.comports())) or "none"
    return ConnectError(
        f"there is no serial port {port}; there is {present}", "Check --port; `auto`, or leaving it out, takes the probe's."
    )


class SerialBench(BoardLock):
    """A board at this host. A virtual one is told by its probe: what its cycle counter counts is modelled."""

    def __init__(self, port: str, probe: str | None, flasher: str | None) -> None:
        super().__init__(probe or port)
        self._port, self._probe, self._flasher = port, probe, flasher
        self._flashed_by = ""
        self.cycles_source = CYCLES_MODELLED if is_virtual(probe) else CYCLES_MEASURED

    def flash(self, elf: Path, board: Board) -> tuple[str, ...]:
        """See `Bench`."""
        flasher = choose_flasher(self._flasher, board, self._probe)
        self._flashed_by = f"{flasher.name} {flasher.version()}"
        return flasher.flash(elf, board, self._probe, FLASH_S)

    def port(self) -> str:
        """See `Bench`."""
        return choose_port(self._port, self._probe)

    def version(self) -> str:
        """See `Bench`."""
        return f"{'virtual board' if is_virtual(self._probe) else 'board'} {self.name}, flashed by {self._flashed_by}"


class SerialTarget:
    """Runs images on attached boards: on whichever of the selected ones is free and in order."""

    name = "serial"

    def __init__(self, selection: BoardSelection) -> None:
        """Looks at what is named before anything is flashed.

        Raises:
            InputError: the boards are not named as they must be.
            ConnectError: nothing is named and not exactly one board is attached, or nothing that is named is there.
        """
        boards = selection.attached()
        absent = [error for port, probe in boards if (error := _absent(port, probe)) is not None]
        if len(absent) == len(boards):
            # A mistake of the user is not tried again; of several boards the others go on.
            raise absent[0]
        benches: list[Bench] = [SerialBench(port, probe, selection.flasher) for port, probe in boards]
        self._fleet = Fleet(benches, selection.persistence, selection.aside)

    def run(self, image: FirmwareImage, board: Board, inputs: Sequence[tuple[Tensor, ...]], take_exits: bool) -> TargetRun:
        """See `Target`."""
        return self._fleet.run(image, board, inputs, take_exits)
