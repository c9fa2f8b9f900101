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
    click.option("--place", "places", multiple=True, help="Place of a labgrid farm; again for each of several."),
    click.option("--coordinator", metavar="HOST:PORT", help="Coordinator of the farm; else LG_COORDINATOR, else this host's."),
)

NAMES = ("ports", "probes", "flasher", "places", "coordinator")


def board_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command, which gets them as one `selection`."""

    @wraps(command)
    def with_selection(*arguments: Any, **options: Any) -> Any:
        from hilnas.hil.board_selection import BoardSelection

        selection = BoardSelection(**{name: options.pop(name) for name in NAMES})
        return command(*arguments, selection=selection, **options)

    for option in reversed(_OPTIONS):
        with_selection = option(with_selection)
    return with_selection
