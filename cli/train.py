"""`hilnas train`: trains the supernet on a data set."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from hilnas.cli.output import json_option, print_json, print_table


@click.command()
@click.option("--data", default="digits", show_default=True, help="`digits`, or an .npz of images (x uint8 NHWC, y).")
@click.option("--out", type=click.Path(path_type=Path), default=Path("supernet.pt"), show_default=True, help="File; gone on from if there.")
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training images.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the weights and the order of the images.")
@json_option
def command(data: str, out: Path, epochs: int | None, seed: int, as_json: bool) -> None:
    """Trains the supernet that every network of the space takes its weights from.

    Example: hilnas train --data digits --out supernet.pt
    """
    from hilnas.nas.accuracy import train_and_evaluate
    from hilnas.nas.training import Recipe

    recipe = Recipe(seed=seed) if epochs is None else Recipe(seed=seed, epochs=epochs)
    networks = train_and_evaluate(data, recipe, out)
    if as_json:
        rows = [asdict(network) for network in networks]
        print_json({"supernet": str(out), "data": data, "recipe": asdict(recipe), "networks": rows})
        return
    print_table(
        f"{out}, trained on {data}",
        ("network", "MACs", "weights", "accuracy, no exit taken", "accuracy, exits taken"),
        (
            (
                network.name,
                f"{network.macs:,}",
                f"{network.weights:,}",
                f"{network.accuracy.by_output[-1]:.4f}",
                f"{network.accuracy.accuracy:.4f}",
            )
            for network in networks
        ),
    )
