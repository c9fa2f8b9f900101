"""`hilnas loop`: the whole closed loop."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hilnas.cli.board_options import NAMES, board_options
from hilnas.cli.output import json_option, print_json, print_table
from hilnas.limits import parse_limit

if TYPE_CHECKING:
    from hilnas.hil.board_selection import BoardSelection
    from hilnas.hil.loop.result import LoopResult
    from hilnas.hil.loop.run_folder import RunFolder

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--out", type=_FOLDER, default=Path("runs/loop"), show_default=True, help="Folder of a new run.")
@click.option("--resume", type=_FOLDER, help="Goes on with the run in this folder, as it was asked for.")
@click.option("--board", default="nucleo-h743zi2", show_default=True, help="A board by name or path.")
@click.option("--target", default="emulator", show_default=True, help="What measures.")
@click.option("--data", default="digits", show_default=True, help="`digits`, or an .npz of images by path.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="At most so many rounds.")
@click.option("--latency", metavar="TIME", help="Limit on the longest path: 25ms, 0.02s.")
@click.option("--flash", metavar="SIZE", help="Limit on flash: 64kB, 1.4MB.")
@click.option("--sram", metavar="SIZE", help="Limit on SRAM: 20kB, 32KiB.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that build and measure: 2, or one for each board if those are more.")
@board_options
@json_option
@click.pass_context
def command(
    context: click.Context,
    out: Path,
    resume: Path | None,
    board: str,
    target: str,
    data: str,
    seed: int,
    rounds: int,
    latency: str | None,
    flash: str | None,
    sram: str | None,
    workers: int | None,
    selection: BoardSelection,
    as_json: bool,
) -> None:
    """Trains a supernet, measures a sample of its nets on the target, searches under a budget with predictors, builds and
    measures the best, recalibrates, and searches again until predicted and measured latency agree within 5 %.

    A limit that is not given is chosen so that it excludes 30 % of random nets. An interrupted run goes on with --resume.

    Example: hilnas loop --board nucleo-h743zi2 --out runs/first --latency 0.6ms --sram 4kB
    """
    from hilnas.errors import InputError
    from hilnas.hil.loop.closed_loop import resume_run, start_run
    from hilnas.hil.loop.configuration import LoopConfiguration
    from hilnas.hil.loop.run_folder import RunFolder
    from hilnas.nas.metrics import Budget

    folder = RunFolder(resume or out)
    if resume:
        kept = {"resume", "workers", "as_json", *NAMES}
        given = [name for name in context.params if name not in kept and context.get_parameter_source(name) is _COMMAND_LINE]
        if given:
            raise InputError(f"--{given[0]} cannot be changed by --resume", "Leave it out, or start another run.")
    else:
        limits = Budget(_limit("latency", latency), _limit("flash", flash), _limit("sram", sram))
        start_run(folder, LoopConfiguration(board, target, data, seed, rounds, limits), selection)
    try:
        result = resume_run(folder, workers or max(2, selection.count), lambda line: click.echo(line, err=True), selection)
    except KeyboardInterrupt:
        click.echo(f"\ngo on with: hilnas loop --resume {folder.path}", err=True)
        raise
    if as_json:
        print_json(_document(folder, result))
    else:
        _print(folder, result)
    result.check_budget()


_COMMAND_LINE = click.core.ParameterSource.COMMANDLINE


def _limit(key: str, text: str | None) -> float | None:
    return None if text is None else parse_limit(key, text)


def _document(folder: RunFolder, result: LoopResult) -> dict[str, object]:
    best = folder.candidate(result.best)
    files = {path.name: str(path) for path in sorted(best.iterdir()) if path.is_file()} | {"firmware": str(best / "firmware")}
    return {
        "run": str(folder.path),
        "report": str(folder.report_path),
        "best_files": files,
        "timings_s": folder.stopwatch().seconds,
        **asdict(result),
    }


def _print(folder: RunFolder, result: LoopResult) -> None:
    print_table(
        f"candidates on {result.board} ({result.target}); predicted -> measured",
        ("net", "round", "accuracy pred.", "float", "int8", "latency ms", "error", "expected ms", "flash kB", "SRAM kB", "budget"),
        (
            (
                f"{candidate.name}{' *' if candidate.name == result.best else ''}",
                one.number,
                f"{candidate.predicted.accuracy:.1%}",
                f"{candidate.float_accuracy:.1%}",
                f"{candidate.measured.accuracy:.1%}",
                f"{candidate.predicted.latency_s * 1e3:.3f} -> {candidate.measured.latency_s * 1e3:.3f}",
                f"{candidate.predicted.latency_s / candidate.measured.latency_s - 1:+.1%}",
                f"{candidate.expected_latency_s * 1e3:.3f}",
                f"{candidate.predicted.flash_bytes / 1e3:.2f} -> {candidate.measured.flash_bytes / 1e3:.2f}",
                f"{candidate.predicted.sram_bytes / 1e3:.2f} -> {candidate.measured.sram_bytes / 1e3:.2f}",
                "met" if candidate.meets_budget else "missed",
            )
            for one in result.rounds
            for candidate in one.candidates
        ),
    )
    held_out = [("first fit", None, None, f"{result.first_fit_error.mean:.2%}")]
    rounds = [
        (f"round {one.number}", f"{one.candidate_error.mean:.2%}", f"{one.candidate_error.worst:.2%}", f"{one.held_out_error.mean:.2%}")
        for one in result.rounds
    ]
    print_table(
        f"latency error of predictions; held-out: {len(result.held_out.measured)} random nets that no predictor learned from",
        ("after", "its candidates, mean", "worst", "held-out, mean"),
        [*held_out, *rounds],
    )
    seconds = folder.stopwatch().seconds
    print_table(
        "time", ("stage", "seconds"), [(name, f"{value:.1f}") for name, value in (seconds | {"all": sum(seconds.values())}).items()]
    )
    best = folder.candidate(result.best)
    click.echo(f"best: {result.best}: {result.best_candidate.description}")
    for path in (best / "model.tflite", best / "model.onnx", best / "firmware", folder.report_path):
        click.echo(f"  {path}")
