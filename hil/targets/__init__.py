"""The targets, by name."""

from __future__ import annotations

from collections.abc import Callable

from hilnas.errors import InputError
from hilnas.hil.target import Target


def _emulator() -> Target:
    from hilnas.hil.targets.emulator import EmulatorTarget

    return EmulatorTarget()


def _qemu() -> Target:
    from hilnas.hil.targets.qemu import QemuTarget

    return QemuTarget()


_CREATE: dict[str, Callable[[], Target]] = {"emulator": _emulator, "qemu": _qemu}

TARGET_NAMES = tuple(_CREATE)


def create_target(name: str) -> Target:
    """The target of that name.

    Raises:
        InputError: there is none.
    """
    if name not in _CREATE:
        raise InputError(f"unknown target {name!r}", f"Known: {', '.join(TARGET_NAMES)}.")
    return _CREATE[name]()


def check_board(target: str, board_name: str, targets: tuple[str, ...]) -> None:
    """Checks that a board can run on a target.

    Raises:
        InputError: it cannot.
    """
    if target not in targets:
        raise InputError(f"board {board_name} does not run on target {target}", f"It runs on: {', '.join(targets)}.")
