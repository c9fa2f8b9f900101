"""`hilnas predictors`: builds, evaluates and shows predictors."""

from __future__ import annotations

from dataclasses import asdict, astuple
from pathlib import Path

import click

from hilnas.cli.group import Group
from hilnas.cli.output import json_option, print_json, print_table

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(cls=Group)
def command() -> None:
    """Builds, evaluates and shows predictors.

    Nets with metrics are .npz files: architectures (N, D), accuracy, latency_s, flash_bytes, sram_bytes (N,).

    Example: hilnas predictors evaluate runs/predictors --data nets.npz
    """


@command.command("train")
@click.option("--data", type=_FILE, required=True, help=".npz of nets with metrics.")
@click.option("--space", "name", default="mcu", show_default=True, help="mcu or mcu-digits.")
@click.option("--out", type=_FOLDER, required=True, help="Folder for the predictors.")
@click.option("--epochs", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@json_option
def train(data: Path, name: str, out: Path, epochs: int, seed: int, as_json: bool) -> None:
    """Trains one predictor a metric, with study 1's architecture.

    Example: hilnas predictors train --data nets.npz --out runs/predictors
    """
    from hilnas.nas.predictors.files import space_named, train_predictors

    errors = train_predictors(data, space_named(name), out, epochs, seed)
    if as_json:
        print_json({"folder": str(out), "held_out_rmse": errors})
    else:
        print_table(f"predictors in {out}", ("metric", "RMSE on held-out nets"), ((name, f"{error:.5g}") for name, error in errors.items()))


@command.command("evaluate")
@click.argument("folder", type=_FOLDER)
@click.option("--data", type=_FILE, required=True, help=".npz of nets with metrics.")
@json_option
def evaluate(folder: Path, data: Path, as_json: bool) -> None:
    """Shows the errors of predictors on nets: mean absolute, root mean square, R2, Pearson, Spearman.

    Example: hilnas predictors evaluate runs/predictors --data nets.npz
    """
    from hilnas.nas.predictors.errors import MEASURES
    from hilnas.nas.predictors.files import evaluate_predictor, open_predictor

    predictor, space = open_predictor(folder)
    errors = evaluate_predictor(predictor, space, data)
    if as_json:
        print_json({"folder": str(folder), "errors": {name: asdict(one) for name, one in errors.items()}})
    else:
        rows = ((name, *(f"{value:.5g}" for value in astuple(one))) for name, one in errors.items())
        print_table(f"errors of {folder}, in SI units", ("metric", *MEASURES), rows)


@command.command("show")
@click.argument("folder", type=_FOLDER)
@click.option("--nets", type=click.IntRange(min=1), default=1000, show_default=True, help="Random nets to predict.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--out", type=_FILE, help="Writes the nets with their predicted metrics as .npz.")
@json_option
def show(folder: Path, nets: int, seed: int, out: Path | None, as_json: bool) -> None:
    """Shows what predictors say of random nets: the range of each metric and its standard deviation.

    Example: hilnas predictors show runs/predictors --nets 1000
    """
    from hilnas.nas.predictors.files import open_predictor, predict_random, save_nets, summary

    predictor, space = open_predictor(folder)
    architectures, metrics = predict_random(predictor, space, nets, seed)
    if out is not None:
        save_nets(out, architectures, metrics)
    shown = summary(metrics)
    if as_json:
        rows = {name: asdict(one) for name, one in shown.items()}
        print_json({"folder": str(folder), "space": space.name, "nets": nets, "seed": seed, "metrics": rows})
    else:
        columns = ("minimum", "mean", "maximum", "deviation")
        print_table(f"{nets} random nets of {space.name}", ("metric", *columns), ((name, *astuple(one)) for name, one in shown.items()))
