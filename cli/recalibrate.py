"""`hilnas recalibrate`: measurements back into predictors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from hilnas.cli.output import json_option, print_json, print_table


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--board", help="Measurements on this board; the run's own by default.")
@click.option("--target", help="Measurements by this target; the run's own by default.")
@json_option
def command(run: Path, board: str | None, target: str | None, as_json: bool) -> None:
    """Feeds the stored measurements of the run in the folder RUN into its latency predictor; prints the error before and after.

    Both errors are on held-out nets, which are not learned from.

    Example: hilnas recalibrate runs/demo
    """
    from hilnas.hil.loop.recalibrate import recalibrate
    from hilnas.hil.loop.run_folder import RunFolder

    result = recalibrate(RunFolder(run), board, target)
    if as_json:
        print_json(asdict(result))
        return
    print_table(
        f"latency error on {result.judged} held-out nets, {result.target} on {result.board}",
        ("predictor", "mean", "worst"),
        (
            ("before: the first fit", f"{result.before.mean:.2%}", f"{result.before.worst:.2%}"),
            (f"after: {result.learned} measured nets", f"{result.after.mean:.2%}", f"{result.after.worst:.2%}"),
        ),
    )
