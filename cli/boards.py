"""`hilnas boards`: what boards there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import click

from hilnas.cli.output import json_option, print_json, print_table


@click.command()
@click.argument("name", required=False)
@click.option("--attached", is_flag=True, help="List the boards that are attached to this host instead: their ST-LINKs and ports.")
@json_option
def command(name: str | None, attached: bool, as_json: bool) -> None:
    """Lists the boards; with NAME (or the path of a board's YAML), shows that board's memories.

    Example: hilnas boards nucleo-h743zi2
    """
    if attached:
        _show_attached(as_json)
        return
    from hilnas.boards.board import board_names, load_board

    boards = [load_board(each) for each in ((name,) if name else board_names())]
    if as_json:
        documents = [board.model_dump() for board in boards]
        print_json(documents[0] if name else documents)
        return
    print_table(
        "Boards",
        ("board", "part", "core", "MHz", "flash kB", "RAM kB", "targets"),
        (
            (
                board.name,
                board.part,
                board.core,
                f"{board.clock_hz / 1e6:g}",
                _kilobytes(memory.size for memory in board.memories.values() if memory.kind == "flash"),
                _kilobytes(memory.size for memory in board.memories.values() if memory.kind == "ram"),
                ", ".join(board.targets),
            )
            for board in boards
        ),
    )
    if name:
        print_table(
            boards[0].description,
            ("memory", "from", "bytes", "kind"),
            ((memory, f"{place.base:#010x}", f"{place.size:,}", place.kind) for memory, place in boards[0].memories.items()),
        )


def _show_attached(as_json: bool) -> None:
    from hilnas.hil.probes import attached_boards

    probes = attached_boards()
    if as_json:
        print_json([asdict(probe) for probe in probes])
        return
    print_table(
        "Attached boards" if probes else "Attached boards: no ST-LINK found",
        ("serial number", "port", "vendor:product", "probe"),
        ((probe.serial_number, probe.port, f"{probe.vendor_id:04x}:{probe.product_id:04x}", probe.description) for probe in probes),
    )


def _kilobytes(sizes: Iterable[int]) -> str:
    return f"{sum(sizes) / 1e3:,.0f}"
