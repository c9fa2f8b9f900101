"""`hilnas build`: a .tflite to C, ELF and a size report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from hilnas.cli.output import json_option, print_json, print_table


@click.command()
@click.argument("model", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--board", "board_name", required=True, help="Name of a board, or path of a board's YAML.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the image; it is replaced.")
@json_option
def command(model: Path, board_name: str, out: Path, as_json: bool) -> None:
    """Compiles an int8 .tflite file MODEL for a board.

    Writes firmware.elf and manifest.json; in library/ the model's C with hilnas_infer, to be added to another project
    (docs/integrate.md); in src/ the rest of the C that the firmware is made from.

    Example: hilnas build model.tflite --board nucleo-h743zi2 --out build/model
    """
    from hilnas.boards.board import load_board
    from hilnas.firmware.build import build_image
    from hilnas.firmware.interface import MODEL_HEADER

    board = load_board(board_name)
    manifest = build_image(model, board, out).manifest
    if as_json:
        print_json({**asdict(manifest), "out": str(out)})
        return
    print_table(
        f"{manifest.model} for {manifest.board}, build {manifest.build_id}",
        ("layer", "operator", "multiply-accumulates"),
        ((layer.name, layer.op, f"{layer.macs:,}") for layer in manifest.layers),
    )
    sizes = {
        "flash": manifest.flash_bytes,
        "  code": manifest.code_bytes,
        "  weights": manifest.weight_bytes,
        "  biases, scales": manifest.channel_bytes,
        "SRAM": manifest.sram_bytes,
        "  arenas": manifest.arena_bytes,
        "stack": manifest.stack_bytes,
        "library alone: flash": manifest.library.flash_bytes,
        "library alone: SRAM": manifest.library.ram_bytes,
        "library alone: stack": manifest.library.stack_bytes,
    }
    print_table("Sizes", ("", "bytes"), ((name, f"{size:,}") for name, size in sizes.items()))
    click.echo(f"The image is in {out}; {out / 'library'} is for other projects, include {MODEL_HEADER}.")
