"""The flashers, by name."""

from __future__ import annotations

from hilnas.boards.board import Board
from hilnas.errors import InputError, ToolMissingError
from hilnas.hil.flashers.cubeprogrammer import CubeProgrammer
from hilnas.hil.flashers.flasher import Flasher
from hilnas.hil.flashers.openocd import OpenOcd
from hilnas.hil.flashers.pyocd import PyOcd
from hilnas.hil.flashers.stflash import StFlash
from hilnas.hil.flashers.tool import ToolFlasher
from hilnas.hil.flashers.virtual import VirtualFlasher, is_virtual

TOOLS: tuple[ToolFlasher, ...] = (OpenOcd(), StFlash(), PyOcd(), CubeProgrammer())
"""The flashers that are programs."""
_FLASHERS: dict[str, Flasher] = {tool.name: tool for tool in TOOLS}

FLASHER_NAMES = tuple(_FLASHERS)


def choose_flasher(name: str | None, board: Board, probe: str | None) -> Flasher:
    """The flasher of that name, or else the first of the board's that is installed; virtual boards have one of their own.

    Raises:
        InputError: there is none of that name, or the board has none.
        ToolMissingError: none of the board's is installed.
    """
    if is_virtual(probe):
        return VirtualFlasher()
    if board.flashing is None:
        raise InputError(f"board {board.name} cannot be flashed", "Its board file has no `flashing`; see docs/boards.md.")
    if name is not None:
        if name not in _FLASHERS:
            raise InputError(f"unknown flasher {name!r}", f"Known: {', '.join(FLASHER_NAMES)}.")
        return _FLASHERS[name]
    for candidate in board.flashing.flashers:
        if candidate in _FLASHERS and _FLASHERS[candidate].version() is not None:
            return _FLASHERS[candidate]
    raise ToolMissingError(
        f"none of {', '.join(board.flashing.flashers)} is installed, and {board.name} is flashed by them",
        "`hilnas doctor` says how to install one.",
    )
