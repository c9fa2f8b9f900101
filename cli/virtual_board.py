"""`hilnas virtual-board`: a board behind a pseudo-terminal."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hilnas.cli.output import json_option
from hilnas.hil.virtual_board.faults import DESCRIPTIONS, Fault, FaultPlan

_FAULTS = "\n".join(f"  {fault:18} {description}" for fault, description in DESCRIPTIONS.items())


@click.command(epilog=f"\b\nFaults:\n{_FAULTS}")
@click.option("--board", "board_name", default="nucleo-h743zi2", show_default=True, help="Name of a board, or path of a board's YAML.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    type=click.Choice([fault.value for fault in Fault]),
    help="What goes wrong; again for several, in their order.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides where faults strike.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Keeps port, probe and flash; else a scratch folder.")
@json_option
def command(board_name: str, faults: tuple[str, ...], seed: int, folder: Path | None, as_json: bool) -> None:
    """Emulates a board behind a serial port and a debug probe, to try scripts without hardware, until Ctrl-C.

    Faults that are not lasting strike one after the other, each when the board is flashed.

    Example: hilnas virtual-board --board nucleo-h743zi2 --fault noise --fault reset
    """
    import signal
    import tempfile
    from contextlib import ExitStack

    from hilnas.boards.board import load_board
    from hilnas.hil.flashers.virtual import PREFIX
    from hilnas.hil.virtual_board.board import VirtualBoard

    with ExitStack() as stack:
        place = (folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hilnas-")))).absolute()
        board = stack.enter_context(VirtualBoard(load_board(board_name), place, FaultPlan([Fault(fault) for fault in faults], seed)))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: board.stop())
        probe = f"{PREFIX}{board.probe}"
        if as_json:
            click.echo(json.dumps({"board": board.board.name, "port": str(board.port), "probe": probe}))
        else:
            click.echo(f"{board.board.name} on {board.port}, probe {probe}; Ctrl-C ends it. For example:")
            click.echo(f"  hilnas measure IMAGE --target serial --probe {probe}")
        board.serve()
