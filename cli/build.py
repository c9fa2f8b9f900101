"""`hilnas build`: a .tflite to C, ELF and a size report."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import click

from hilnas.cli.output import json_option, print_json, print_table
from hilnas.cli.plan_options import OUT_HELP, PlanOptions, plan_options


@click.command()
@click.argument("model", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--board", "board_name", help="Name of a board, or path of a board's YAML.")
@click.option("--host", "for_host", is_flag=True, help="For this computer instead of a board: portable C, a library and a program.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help=OUT_HELP)
@click.option(
    "--input",
    "taken",
    type=click.Choice(["whole", "rows"]),
    default="whole",
    show_default=True,
    help="How library/ takes the image: at once, or row by row, which needs no memory for the rest of it.",
)
@plan_options
@json_option
def command(model: Path, board_name: str | None, for_host: bool, out: Path, taken: str, planning: PlanOptions, as_json: bool) -> None:
    """Compiles an int8 .tflite file MODEL for a board.

    Writes firmware.elf and manifest.json; in library/ the model's C with hilnas_infer, to be added to another project
    (docs/integrate.md); in src/ the rest of the C that the firmware is made from.

    With --host, DIR/library is portable C for any processor, DIR/libhilnas_model.so it for this computer, and DIR/hilnas_model a
    program that reads input tensors from standard input and writes, for each inference, the exit taken and the output tensors.

    \b
    Example: hilnas build model.tflite --board nucleo-h743zi2 --out build/model
             hilnas build model.tflite --host --out build/host
             hilnas build model.tflite --board nucleo-h743zi2 --out build/model --input rows
             hilnas build model.tflite --board nucleo-h743zi2 --out build/model --within-latency 25ms --memory-map memory.svg
    """
    if for_host == (board_name is not None):
        raise click.UsageError("Give either --board or --host.")
    planning.check(out)
    if board_name is None:
        if planning != PlanOptions(None, None, None):
            raise click.UsageError("--within-ram, --within-latency and --memory-map need --board.")
        _build_for_host(model, out, taken == "rows", as_json)
        return
    if taken == "rows" and planning.latency is not None:
        raise click.UsageError("--within-latency measures with the whole input; with --input rows give --within-ram.")
    _build_for_board(model, board_name, out, planning, taken == "rows", as_json)


def _build_for_host(model: Path, out: Path, by_rows: bool, as_json: bool) -> None:
    from hilnas.firmware.host_library import build_host_folder
    from hilnas.firmware.interface import MODEL_HEADER
    from hilnas.firmware.plan import PlanRequest

    build = build_host_folder(model, out, PlanRequest(by_rows=by_rows))
    program, plan = build.compiled.program, build.compiled.plan
    document = {
        "model": build.compiled.name,
        "model_sha256": build.compiled.sha256,
        "macs": program.macs,
        "arena_bytes": plan.arena_bytes,
        "weight_bytes": sum(layer.kernel.weight_bytes for layer in program.layers),
        "out": str(out),
        "library": str(build.sources),
        "shared_library": str(build.shared),
        "program": str(build.program),
    }
    if as_json:
        print_json(document)
        return
    click.echo(f"{build.shared} and {build.program} are for this computer; {build.sources} is portable C, include {MODEL_HEADER}.")


def _build_for_board(model: Path, board_name: str, out: Path, planning: PlanOptions, by_rows: bool, as_json: bool) -> None:
    from hilnas.boards.board import load_board
    from hilnas.firmware.build import build_image
    from hilnas.firmware.elf import read_sections
    from hilnas.firmware.interface import MODEL_HEADER
    from hilnas.firmware.size import memory_use
    from hilnas.hil.targets import create_target

    board = load_board(board_name)
    request = replace(planning.request(model, board, create_target("emulator")), by_rows=by_rows)
    image = build_image(model, board, out, request)
    manifest, memories = image.manifest, memory_use(read_sections(image.elf), board)
    planning.draw(manifest)
    if as_json:
        print_json({**asdict(manifest), "memories": [asdict(one) for one in memories], "out": str(out)})
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
        "    lower bound, these segments": manifest.lower_bound_bytes,
        "    lower bound, any segments": manifest.least_bound_bytes,
        "stack, not in SRAM": manifest.stack_bytes,
        "library alone: flash": manifest.library.flash_bytes,
        "library alone: SRAM": manifest.library.ram_bytes,
        "library alone: stack, not in SRAM": manifest.library.stack_bytes,
    }
    print_table("Sizes", ("", "bytes"), ((name, f"{size:,}") for name, size in sizes.items()))
    print_table(
        f"Memories of {board.name}, {board.placement.stack} with the {board.stack_bytes:,} bytes that are reserved for the stack",
        ("memory", "bytes used", "of", "share"),
        (
            (one.memory, f"{one.used_bytes:,}", f"{one.size_bytes:,}", f"{one.used_bytes / one.size_bytes:.1%}")
            for one in memories
            if one.used_bytes
        ),
    )
    click.echo(f"The image is in {out}; {out / 'library'} is for other projects, include {MODEL_HEADER}.")
