"""The options that choose a memory plan and draw it, for every verb that builds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hilnas.limits import parse_limit

if TYPE_CHECKING:
    from hilnas.boards.board import Board
    from hilnas.firmware.image import Manifest
    from hilnas.firmware.plan import PlanRequest
    from hilnas.hil.target import Target

_OPTIONS = (
    click.option("--within-ram", "ram", metavar="SIZE", help="The fastest memory plan whose arenas fit: 64kB, 20KiB, 24000B."),
    click.option(
        "--within-latency", "latency", metavar="TIME", help="The smallest memory plan that is as fast, by measurement: 25ms, 0.02s."
    ),
    click.option("--memory-map", "drawing", type=click.Path(path_type=Path, dir_okay=False), help="Draws memory against time (.svg)."),
)
OUT_HELP = "Folder for the image. One that hilnas built is replaced as a whole; one with other files in it is refused."
NAMES = ("ram", "latency", "drawing")


@dataclass(frozen=True)
class PlanOptions:
    """What was asked for: bytes of arenas or seconds, None for neither; where to draw the plan."""

    ram: str | None
    latency: str | None
    drawing: Path | None

    def __post_init__(self) -> None:
        if self.ram is not None and self.latency is not None:
            raise click.UsageError("Give either --within-ram or --within-latency.")
        if self.drawing is not None and self.drawing.suffix != ".svg":
            raise click.UsageError(f"--memory-map writes SVG: name a file that ends in .svg, not {self.drawing}.")

    def check(self, out: Path | None) -> None:
        """Checks where the build goes, and its drawing, before anything is built.

        Raises:
            InputError: `out` holds what hilnas did not make.
            StoreError: the disk refuses.
        """
        from hilnas.files import check_replaceable, check_writable

        if out is not None:
            check_replaceable(out)
        if self.drawing is not None:
            check_writable(self.drawing)

    def request(self, model: Path, board: Board, target: Target) -> PlanRequest:
        """The plan that is wanted; with a limit on latency it is found by measuring on `target`.

        Raises:
            HilnasError: an option is no quantity, no plan keeps the limit, or a build fails.
        """
        from hilnas.firmware.compile import DEFAULT_REQUEST
        from hilnas.firmware.plan import PlanRequest
        from hilnas.hil.within_latency import smallest_within_latency

        if self.ram is not None:
            return PlanRequest(arena_bytes=int(parse_limit("sram", self.ram)))
        if self.latency is not None:
            return smallest_within_latency(model, board, target, parse_limit("latency", self.latency))
        return DEFAULT_REQUEST

    def draw(self, manifest: Manifest) -> None:
        """Draws the plan of an image, if that was asked for.

        Raises:
            StoreError: the disk refused.
        """
        from hilnas.files import write_atomically
        from hilnas.firmware.memory_map import memory_map

        if self.drawing is not None:
            write_atomically(self.drawing, memory_map(manifest))


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command, which gets them as one `planning`."""

    @wraps(command)
    def with_planning(*arguments: Any, **options: Any) -> Any:
        return command(*arguments, planning=PlanOptions(**{name: options.pop(name) for name in NAMES}), **options)

    for option in reversed(_OPTIONS):
        with_planning = option(with_planning)
    return with_planning
