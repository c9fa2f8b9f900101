"""The flasher of virtual boards: its probe is `virtual:PATH`, the socket that `hilnas virtual-board` prints."""

from __future__ import annotations

from pathlib import Path

from hilnas import __version__
from hilnas.boards.board import Board
from hilnas.errors import InputError
from hilnas.files import read_input
from hilnas.hil.virtual_board.control import ask_probe

PREFIX = "virtual:"


def is_virtual(probe: str | None) -> bool:
    """Whether a probe is that of a virtual board."""
    return probe is not None and probe.startswith(PREFIX)


class VirtualFlasher:
    """See `Flasher`."""

    name = "virtual"

    def version(self) -> str | None:
        """See `Flasher`."""
        return __version__

    def flash(self, elf: Path, board: Board, probe: str | None, timeout_s: float) -> tuple[str, ...]:
        """See `Flasher`. It tries once."""
        if probe is None or not is_virtual(probe):
            raise InputError(f"the flasher virtual needs a probe {PREFIX}PATH, not {probe}", "`hilnas virtual-board` prints it.")
        path = Path(probe.removeprefix(PREFIX))
        kind = ask_probe(path, "identify", timeout_s=timeout_s)
        if kind != board.name:
            raise InputError(f"the virtual board at {path} is a {kind}, not a {board.name}", f"Start it with --board {board.name}.")
        ask_probe(path, "flash", read_input(elf), timeout_s)
        return ()
