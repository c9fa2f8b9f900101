"""What writes an image into a board's flash. One protocol, one small file a tool."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hilnas.boards.board import Board


class Flasher(Protocol):
    """Writes images over a debug probe and starts them."""

    name: str

    def version(self) -> str | None:
        """The version of the tool behind it; None if that is not installed."""

    def flash(self, elf: Path, board: Board, probe: str | None, timeout_s: float) -> tuple[str, ...]:
        """Writes an ELF, reads it back, and resets the board, which then runs it. Says what had to be tried again.

        `probe` is the serial number of the debug probe; None only where the tool cannot be mistaken. `timeout_s` is for all attempts.

        Raises:
            ToolMissingError: the tool is not installed.
            InputError: it cannot flash this board.
            ConnectError: the probe or the board cannot be reached, or the flash does not hold what was written.
        """
