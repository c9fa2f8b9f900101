"""The options that say which boards are meant, for every verb that measures."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

_OPTIONS = (
    click.option("--port", "ports", multiple=True, help="Serial port of a board; `auto`, or leave it out: that of the probe."),
    click.option("--probe", "probes", multiple=True, help="Serial number of a board's debug probe; again for each of several boards."),
    click.option("--flasher", help="What flashes; else the first of the board's that is installed."),
)

NAMES = ("ports", "probes", "flasher")


def board_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command, which gets them as one `selection`."""

    @wraps(command)
    def with_selection(*arguments: Any, ports: tuple[str, ...], probes: tuple[str, ...], flasher: str | None, **others: Any) -> Any:
        from hilnas.hil.board_selection import BoardSelection

        return command(*arguments, selection=BoardSelection(ports, probes, flasher), **others)

    for option in reversed(_OPTIONS):
        with_selection = option(with_selection)
    return with_selection
