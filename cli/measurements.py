"""`hilnas measurements`: what was measured, and moving it between stores."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from hilnas.cli.group import Group
from hilnas.cli.output import json_option, print_json, print_table

_store = click.argument("store", type=click.Path(path_type=Path))
_board = click.option("--board", help="Only measurements on this board.")
_target = click.option("--target", help="Only measurements by this target.")


@click.group(cls=Group)
def command() -> None:
    """Lists, shows, exports and imports stored measurements. STORE is a run folder or a store file.

    Example: hilnas measurements list runs/demo
    """


@command.command("list")
@_store
@_board
@_target
@json_option
def list_(store: Path, board: str | None, target: str | None, as_json: bool) -> None:
    """Lists the measurements of STORE, oldest first.

    Example: hilnas measurements list runs/demo --board nucleo-h743zi2
    """
    from hilnas.hil.store import MeasurementStore, measurement_key

    with MeasurementStore.existing(store) as measurements:
        found = [(measurement_key(one), one) for one in measurements.find(board=board, target=target)]
    if as_json:
        print_json([{"key": key, **asdict(one)} for key, one in found])
        return
    print_table(
        f"{len(found)} measurements in {store}",
        ("key", "model", "board", "target", "latency ms", "flash kB", "SRAM kB", "date"),
        (
            (
                key[:12],
                one.model,
                one.board,
                one.target,
                None if one.latency_s is None else f"{one.latency_s * 1e3:.3f}",
                f"{one.flash_bytes / 1e3:.1f}",
                f"{one.sram_bytes / 1e3:.1f}",
                one.provenance.get("date"),
            )
            for key, one in found
        ),
    )


@command.command()
@_store
@click.argument("key")
@json_option
def show(store: Path, key: str, as_json: bool) -> None:
    """Shows the measurement of STORE whose key starts with KEY.

    Example: hilnas measurements show runs/demo 3f9a
    """
    from hilnas.hil.store import MeasurementStore

    with MeasurementStore.existing(store) as measurements:
        found = asdict(measurements.get(key))
    if as_json:
        print_json(found)
        return
    layers = found.pop("layers")
    print_table("measurement", ("what", "value"), found.items())
    print_table("layers", ("name", "op", "MAC", "cycles", "instructions"), (layer.values() for layer in layers))


@command.command()
@_store
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_board
@_target
@json_option
def export(store: Path, file: Path, board: str | None, target: str | None, as_json: bool) -> None:
    """Writes the measurements of STORE to FILE as JSON lines.

    Example: hilnas measurements export runs/demo measurements.jsonl
    """
    from hilnas.hil.store import MeasurementStore, export_lines

    with MeasurementStore.existing(store) as measurements:
        found = measurements.find(board=board, target=target)
    export_lines(found, file)
    if as_json:
        print_json({"file": str(file), "exported": len(found)})
    else:
        click.echo(f"{len(found)} measurements written to {file}")


@command.command("import")
@_store
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def import_(store: Path, file: Path, as_json: bool) -> None:
    """Adds the measurements of FILE, JSON lines of `export`, to STORE, which is made if it is not there. All of them or none.

    Example: hilnas measurements import runs/demo measurements.jsonl
    """
    from hilnas.files import read_input
    from hilnas.hil.store import STORE_NAME, MeasurementStore, import_lines

    found = import_lines(read_input(file))
    with MeasurementStore(store / STORE_NAME if store.is_dir() else store) as measurements:
        added = measurements.add(*found)
    if as_json:
        print_json({"file": str(file), "read": len(found), "added": added})
    else:
        click.echo(f"{added} of {len(found)} measurements added to {store}; the others were there")
