"""`hilnas search`: searches with predictors under a budget."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hilnas.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from hilnas.nas.searches.job import SearchReport

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option(
    "--search", "name", default="ga", show_default=True, help="ga, rl, random, nsga2, regularised-evolution, controller, ppo or study-ga."
)
@click.option("--budget", "limits", default="", help="Limits: latency=0.9s,flash=1.4MB,sram=880kB; s, ms, us, B, kB, MB, KiB, MiB.")
@click.option("--predictors", type=_FOLDER, help="Folder with predictors; by default study 1's in the data folder.")
@click.option("--evaluations", type=click.IntRange(min=1), default=15_500, show_default=True, help="Architectures to predict at most.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the first search.")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Searches with rising seeds; the best one is shown."
)
@click.option("--margin", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Standard deviations by which to keep limits.")
@click.option("--early-stop", is_flag=True, help="Stop when the hypervolume of the front stops growing.")
@click.option("--warm-start", type=_FILE, help=".npz of nets with metrics that the search learns first.")
@click.option("--checkpoint", type=_FILE, help="File to save to, and to go on from if it exists.")
@click.option("--tensorboard", type=_FOLDER, help="Folder for TensorBoard scalars.")
@click.option("--ray", help='Runs many seeds on the Ray cluster at this address; "local" starts one.')
@click.option("--out", type=_FILE, help="A .json for what was found; `hilnas export --architecture` takes it.")
@json_option
def command(
    name: str,
    limits: str,
    predictors: Path | None,
    evaluations: int,
    seed: int,
    seeds: int,
    margin: float,
    early_stop: bool,
    warm_start: Path | None,
    checkpoint: Path | None,
    tensorboard: Path | None,
    ray: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Searches with predictors under a budget and shows the best network found. Its metrics are predicted, not measured.

    \b
    Example: hilnas search --budget latency=0.9s,flash=1.4MB,sram=880kB --search rl
             hilnas search --budget latency=0.9s --predictors runs/predictors --out best.json
    """
    import json

    from hilnas.files import check_writable, write_atomically
    from hilnas.nas.limits import parse_budget
    from hilnas.nas.searches.job import SearchJob, report, run_searches
    from hilnas.nas.searches.run import RunSettings

    if out is not None:
        if out.suffix != ".json":
            raise click.UsageError(f"--out writes JSON: name a file that ends in .json, not {out}.")
        check_writable(out)
    settings = RunSettings(evaluations=evaluations, margin=margin, early_stop=early_stop, tensorboard=tensorboard, checkpoint=checkpoint)
    job = SearchJob(name, parse_budget(limits), seed, settings, predictors, warm_start)
    results = run_searches(job, seeds, ray)
    found = report(job, results)
    if out is not None:
        write_atomically(out, json.dumps(asdict(found), indent=2, allow_nan=False) + "\n")
    if as_json:
        print_json(asdict(found))
    else:
        _print(found, seeds)


def _print(found: SearchReport, seeds: int) -> None:
    from hilnas.nas.limits import METRIC_WORDS

    print_table(
        f"{found.search}: best of {seeds}",
        ("metric", "predicted", "deviation", "limit"),
        (
            (
                METRIC_WORDS.get(metric, metric),
                *(_shown(metric, value) for value in (mean, found.standard_deviation[metric], found.budget.get(metric))),
            )
            for metric, mean in found.predicted.items()
        ),
    )
    for decision, choice in found.choices.items():
        click.echo(f"{decision} = {choice}")


def _shown(metric: str, value: float | None) -> str | None:
    if value is None:
        return None
    if metric == "latency_s":
        return f"{value * 1e3:,.3f} ms"
    return f"{value / 1e3:,.1f} kB" if metric.endswith("_bytes") else f"{value:.4f}"
