"""`hilnas run`: times any Cortex-M ELF on the emulator."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hilnas.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hilnas.boards.board import Board
    from hilnas.hil.timing.profile import Profile
    from hilnas.hil.timing.timed_run import TimedRun

_SHOWN_FUNCTIONS = 20
_SHOWN_CAUSES = 8


@click.command()
@click.argument("elf", type=click.Path(path_type=Path))
@click.option("--board", required=True, help="Name of a board, or path of a board file.")
@click.option("--core", help="Another timing model of the core: path of a core file.")
@click.option("--mark", metavar="SYMBOL", help="Reports each interval between two calls of this function.")
@click.option("--stop", metavar="SYMBOL", help="Stops when this function is about to be entered.")
@click.option("--timing", type=click.Choice(["full", "fast", "off"]), default="full", help="fast: no caches; off: instructions only.")
@click.option(
    "--caches",
    type=click.Choice(["on", "as-set", "off"]),
    default="on",
    show_default=True,
    help="on: also before the firmware turns them on, or if it never does; as-set: as it sets them, off after reset.",
)
@click.option("--profile", is_flag=True, help="Where the cycles went, by function and cause.")
@click.option("--speedscope", type=click.Path(path_type=Path), help="Writes the profile as a file for speedscope.app.")
@click.option(
    "--timeout", default=600.0, type=click.FloatRange(min=0, min_open=True), show_default=True, help="Seconds after which it gives up."
)
@json_option
def command(
    elf: Path,
    board: str,
    core: str | None,
    mark: str | None,
    stop: str | None,
    timing: str,
    caches: str,
    profile: bool,
    speedscope: Path | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Times any Cortex-M ELF on the emulator, whatever toolchain made it.

    What the firmware writes by semihosting or over the board's UART is shown. The run ends at a semihosting exit, at BKPT, at
    --stop, in an endless loop, or when it waits for input or an interrupt that does not come; at the time-out, if there are
    intervals by then. Of a folder that `hilnas build` wrote, one inference runs: the interval is the inference, the total has the
    start-up and the conversation with the host, too. A SYMBOL may be an address, as 0x08000400.

    Example: hilnas run engine.elf --board nucleo-h743zi2 --mark invoke --profile
    """
    from hilnas.boards.board import load_board
    from hilnas.boards.core import load_core
    from hilnas.firmware.image import FirmwareImage
    from hilnas.hil.timing.model import CacheRule, TimingMode
    from hilnas.hil.timing.timed_run import RunOptions, run_elf, run_image

    the_board, the_core = load_board(board), load_core(core) if core else None
    options = RunOptions(mark, stop, TimingMode(timing), profile or speedscope is not None, timeout, CacheRule(caches))
    if elf.is_dir():
        run = run_image(FirmwareImage.load(elf), the_board, options, the_core)
    else:
        run = run_elf(elf, the_board, options, lambda text: click.echo(text.decode("utf-8", "replace"), nl=False, err=as_json), the_core)
    for warning in run.warnings:
        click.echo(f"warning: {warning}", err=True)
    if speedscope is not None and run.profile is not None:
        _write_speedscope(run.profile, elf.name, speedscope)
    if as_json:
        print_json({"elf": str(elf), "board": the_board.name, **asdict(run), "latency_s": run.cycles / the_board.clock_hz})
        return
    _print_counts(run, elf, the_board, is_inference=elf.is_dir() and mark is None)
    if run.profile is not None and profile:
        _print_profile(run.profile)


def _write_speedscope(profile: Profile, name: str, path: Path) -> None:
    import json

    from hilnas.files import write_atomically
    from hilnas.hil.timing.profile import speedscope

    write_atomically(path, json.dumps(speedscope(profile, name)))


def _print_counts(run: TimedRun, elf: Path, board: Board, *, is_inference: bool) -> None:
    names = ["inference"] if is_inference else [f"interval {index}" for index in range(len(run.intervals))]
    print_table(
        f"{elf.name} on {board.name}: {run.ended}; caches {run.caches}",
        ("", "instructions", "cycles", "ms"),
        [
            _row("total", run.instructions, run.cycles, board.clock_hz),
            *(_row(name, item.instructions, item.cycles, board.clock_hz) for name, item in zip(names, run.intervals, strict=True)),
        ],
    )


def _row(name: str, instructions: int, cycles: int, clock_hz: int) -> tuple[str, int, int, str]:
    return name, instructions, cycles, f"{1000 * cycles / clock_hz:.3f}"


def _print_profile(profile: Profile) -> None:
    causes = sorted(profile.causes, key=lambda cause: -profile.causes[cause])[:_SHOWN_CAUSES]

    def row(name: str, cycles: int, counts: Mapping[str, int]) -> list[str]:
        share = 100 / max(1, profile.cycles)
        return [name, str(cycles), f"{cycles * share:.1f}", *(f"{counts.get(cause, 0) * share:.1f}" for cause in causes)]

    shown = profile.functions[:_SHOWN_FUNCTIONS]
    rest = profile.functions[_SHOWN_FUNCTIONS:]
    rows = [row("all", profile.cycles, profile.causes), *(row(item.name, item.cycles, item.causes) for item in shown)]
    if rest:
        counts = {cause: sum(item.causes.get(cause, 0) for item in rest) for cause in causes}
        rows.append(row(f"{len(rest)} others", sum(item.cycles for item in rest), counts))
    print_table("Cycles by function, and their largest causes in % of all", ("function", "cycles", "%", *causes), rows)
