"""The targets, by name."""

from __future__ import annotations

from collections.abc import Callable

from hilnas.errors import InputError
from hilnas.hil.board_selection import BoardSelection
from hilnas.hil.target import Target


def _emulator(_: BoardSelection) -> Target:
    from hilnas.hil.targets.emulator import EmulatorTarget

    return EmulatorTarget()


def _host(_: BoardSelection) -> Target:
    from hilnas.hil.targets.host import HostTarget

    return HostTarget()


def _qemu(_: BoardSelection) -> Target:
    from hilnas.hil.targets.qemu import QemuTarget

    return QemuTarget()


def _renode(_: BoardSelection) -> Target:
    from hilnas.hil.targets.renode import RenodeTarget

    return RenodeTarget()


def _serial(selection: BoardSelection) -> Target:
    from hilnas.hil.targets.serial import SerialTarget

    return SerialTarget(selection)


def _farm(selection: BoardSelection) -> Target:
    from hilnas.hil.targets.farm import FarmTarget

    return FarmTarget(selection)


_CREATE: dict[str, Callable[[BoardSelection], Target]] = {
    "emulator": _emulator,
    "host": _host,
    "qemu": _qemu,
    "renode": _renode,
    "serial": _serial,
    "farm": _farm,
}

TARGET_NAMES = tuple(_CREATE)


def create_target(name: str, selection: BoardSelection | None = None) -> Target:
    """The target of that name; `selection` says which boards are meant, where it has boards.

    Raises:
        InputError: there is none, or the selection contradicts itself.
        ConnectError: the boards that are meant are not there.
    """
    if name not in _CREATE:
        raise InputError(f"unknown target {name!r}", f"Known: {', '.join(TARGET_NAMES)}.")
    return _CREATE[name](selection or BoardSelection())


def check_board(target: str, board_name: str, targets: tuple[str, ...]) -> None:
    """Checks that a board can run on a target; this computer runs what is for any board.

    Raises:
        InputError: it cannot.
    """
    if target != "host" and target not in targets:
        raise InputError(f"board {board_name} does not run on target {target}", f"It runs on: {', '.join(targets)}.")
