"""`hilnas measure`: runs a built image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hilnas.cli.board_options import board_options
from hilnas.cli.output import json_option
from hilnas.cli.show_measurement import show_measurement

if TYPE_CHECKING:
    from hilnas.hil.board_selection import BoardSelection


@click.command()
@click.argument("image_folder", metavar="IMAGE", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--target", "target_name", default="emulator", show_default=True, help="Where it runs; `hilnas boards` lists what each board can."
)
@click.option("--board", "board_name", help="The board, where it is not the built-in one that the image is for: path of its YAML.")
@click.option(
    "--model", type=click.Path(path_type=Path, dir_okay=False), help="The .tflite it was built from, to compare every output with."
)
@click.option(
    "--data", "data_file", type=click.Path(path_type=Path, dir_okay=False), help="Data set (.npz with x and y) for exits and accuracy."
)
@click.option("--seed", default=0, show_default=True, help="Of the random inputs.")
@click.option("--per-layer", is_flag=True, help="Show each layer.")
@board_options
@json_option
def command(
    image_folder: Path,
    target_name: str,
    board_name: str | None,
    model: Path | None,
    data_file: Path | None,
    seed: int,
    per_layer: bool,
    selection: BoardSelection,
    as_json: bool,
) -> None:
    """Runs the image in folder IMAGE, which `hilnas build` or `hilnas deploy --out` wrote, on a target.

    The target serial flashes the board first; with several boards it takes one that is free.

    Example: hilnas measure build/model --target serial --port auto --per-layer
    """
    from hilnas.boards.board import load_board
    from hilnas.firmware.image import FirmwareImage
    from hilnas.hil.measure import measure
    from hilnas.hil.samples import Samples
    from hilnas.hil.targets import create_target
    from hilnas.tflite.reference import ReferenceModel

    image = FirmwareImage.load(image_folder)
    board = load_board(board_name or image.manifest.board)
    reference = None if model is None else ReferenceModel.load(model)
    data = None if data_file is None else Samples.load(data_file)
    show_measurement(measure(image, board, create_target(target_name, selection), reference, seed, data), per_layer, as_json)
