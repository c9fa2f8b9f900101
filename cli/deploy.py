"""`hilnas deploy`: build and measure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hilnas.cli.board_options import board_options
from hilnas.cli.data_option import data_option
from hilnas.cli.output import json_option
from hilnas.cli.plan_options import OUT_HELP, PlanOptions, plan_options
from hilnas.cli.show_measurement import show_measurement

if TYPE_CHECKING:
    from hilnas.hil.board_selection import BoardSelection


@click.command()
@click.argument("model", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--board", "board_name", required=True, help="Name of a board, or path of a board's YAML.")
@click.option(
    "--target", "target_name", default="emulator", show_default=True, help="Where it runs; `hilnas boards` lists what each board can."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help=OUT_HELP)
@data_option
@click.option("--seed", default=0, show_default=True, help="Of the random inputs that are compared with the reference.")
@click.option("--per-layer", is_flag=True, help="Show each layer.")
@click.option("--verify-layers", is_flag=True, help="Compare the output of every layer, too, and name the first that differs.")
@plan_options
@board_options
@json_option
def command(
    model: Path,
    board_name: str,
    target_name: str,
    out: Path | None,
    data_file: Path | None,
    seed: int,
    per_layer: bool,
    verify_layers: bool,
    planning: PlanOptions,
    selection: BoardSelection,
    as_json: bool,
) -> None:
    """Builds an int8 .tflite file MODEL for a board, runs it, and compares every output with the reference kernels'.

    Exit code 1 if an output differs. The target host runs the model in portable C on this computer: fast, for accuracy on data sets.

    \b
    Example: hilnas deploy model.tflite --board nucleo-h743zi2 --per-layer
             hilnas deploy model.tflite --board nucleo-h743zi2 --target host --verify-layers --data test.npz
             hilnas deploy model.tflite --board nucleo-h743zi2 --within-ram 40kB --memory-map memory.svg
    """
    import tempfile

    from hilnas.boards.board import load_board
    from hilnas.firmware.image import FirmwareImage
    from hilnas.hil.measure import deploy
    from hilnas.hil.samples import Samples
    from hilnas.hil.targets import create_target

    planning.check(out)
    board, target = load_board(board_name), create_target(target_name, selection)
    data = None if data_file is None else Samples.load(data_file)
    with tempfile.TemporaryDirectory() as scratch:
        folder = out or Path(scratch) / "image"
        measurement = deploy(model, board, target, folder, seed, data, verify_layers, planning.request(model, board, target))
        planning.draw(FirmwareImage.load(folder).manifest)
    show_measurement(measurement, per_layer, as_json)
