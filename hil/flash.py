"""Writes an image to a board and lets the board say that it runs it."""

from __future__ import annotations

from hilnas.boards.board import Board
from hilnas.errors import InputError
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.board_selection import BoardSelection
from hilnas.hil.flashers import choose_flasher
from hilnas.hil.probes import attached_boards
from hilnas.hil.target import TargetRun
from hilnas.hil.targets import check_board
from hilnas.hil.targets.serial import FLASH_S, SerialTarget


def flash(image: FirmwareImage, board: Board, selection: BoardSelection) -> TargetRun:
    """Flashes the selected board, and checks that the build id which it reports is the image's: a run without an inference.

    Raises:
        InputError: the image is for another board, or the board cannot be flashed.
        ToolMissingError: the flasher is not installed.
        ConnectError: there is no board, or several to choose from, or it cannot be flashed.
        TargetError: it does not report, or reports another firmware.
    """
    if image.manifest.board != board.name:
        raise InputError(f"the image in {image.folder} is for board {image.manifest.board}, not {board.name}", "Build it for this board.")
    check_board(SerialTarget.name, board.name, board.targets)
    if not (selection.ports or selection.probes or attached_boards()):
        # No probe in sight: the flasher says why.
        choose_flasher(selection.flasher, board, None).flash(image.elf, board, None, FLASH_S)
    return SerialTarget(selection).run(image, board, (), take_exits=False)
