"""`hilnas flash`: writes a built image to a board."""

from __future__ import annotations

from pathlib import Path

import click

from hilnas.cli.output import json_option, print_json


@click.command()
@click.argument("image_folder", metavar="IMAGE", type=click.Path(path_type=Path, file_okay=False))
@click.option("--board", "board_name", help="The board, where it is not the built-in one that the image is for: path of its YAML.")
@click.option("--probe", help="Serial number of the board's debug probe; `hilnas boards --attached` lists them.")
@click.option("--port", help="Serial port of the board, where it is not the probe's own.")
@click.option("--flasher", help="openocd, st-flash, pyocd or stm32cubeprogrammer; by default the first that is installed.")
@json_option
def command(image_folder: Path, board_name: str | None, probe: str | None, port: str | None, flasher: str | None, as_json: bool) -> None:
    """Writes the image in folder IMAGE, which `hilnas build` wrote, to the attached board, and checks that the board runs it.

    Example: hilnas flash build/nucleo-h743zi2 --flasher openocd
    """
    from hilnas.boards.board import load_board
    from hilnas.firmware.image import FirmwareImage
    from hilnas.hil.board_selection import BoardSelection
    from hilnas.hil.flash import flash

    image = FirmwareImage.load(image_folder)
    board = load_board(board_name or image.manifest.board)
    selection = BoardSelection(ports=(port,) if port else (), probes=(probe,) if probe else (), flasher=flasher)
    run = flash(image, board, selection)
    if as_json:
        manifest = image.manifest
        print_json(
            {
                "model": manifest.model,
                "board": board.name,
                "build_id": manifest.build_id,
                "target": run.target_version,
                "attempts": run.attempts,
            }
        )
        return
    for attempt in run.attempts:
        click.echo(f"tried again: {attempt}")
    click.echo(f"{board.name} runs {image.manifest.model}, build {image.manifest.build_id}: {run.target_version}")
