"""`hilnas measure`: runs a built image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hilnas.cli.board_options import board_options
from hilnas.cli.data_option import data_option
from hilnas.cli.output import json_option
from hilnas.cli.show_measurement import show_measurement

if TYPE_CHECKING:
    from hilnas.hil.board_selection import BoardSelection


@click.command()
@click.argument("image_folder", metavar="[IMAGE]", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--suite", type=click.Choice(["timing"]), help="Measures this suite of micro-benchmarks instead of an image.")
@click.option(
    "--target", "target_name", default="emulator", show_default=True, help="Where it runs; `hilnas boards` lists what each board can."
)
@click.option("--board", "board_name", help="Of a suite: the board. Of an image: path of its board's YAML, where that is not built in.")
@click.option(
    "--model", type=click.Path(path_type=Path, dir_okay=False), help="The .tflite it was built from, to compare every output with."
)
@data_option
@click.option("--seed", default=0, show_default=True, help="Of the random inputs.")
@click.option("--per-layer", is_flag=True, help="Show each layer.")
@board_options
@json_option
def command(
    image_folder: Path | None,
    suite: str | None,
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

    With --suite timing it builds and measures what is known of the core instead, on the emulator or on a board: expected and
    counted cycles of each micro-benchmark.

    Example: hilnas measure build/model --target serial --port auto --per-layer
    Example: hilnas measure --suite timing --board nucleo-h743zi2 --target serial
    """
    from hilnas.boards.board import load_board
    from hilnas.firmware.image import FirmwareImage
    from hilnas.hil.measure import measure
    from hilnas.hil.samples import Samples
    from hilnas.hil.targets import create_target
    from hilnas.tflite.reference import ReferenceModel

    if suite is not None:
        from hilnas.cli.show_suite import show_suite
        from hilnas.hil.timing.suite import measure_suite

        if image_folder is not None or board_name is None:
            raise click.UsageError("--suite takes --board and no IMAGE")
        show_suite(measure_suite(load_board(board_name), target_name, selection), as_json)
        return
    if image_folder is None:
        raise click.UsageError("name the folder of an IMAGE, or a --suite")
    image = FirmwareImage.load(image_folder)
    board = load_board(board_name or image.manifest.board)
    reference = None if model is None else ReferenceModel(image.model_content(model), str(model))
    data = None if data_file is None else Samples.load(data_file)
    show_measurement(measure(image, board, create_target(target_name, selection), reference, seed, data), per_layer, as_json)
