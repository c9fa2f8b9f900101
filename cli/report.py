"""`hilnas report`: the page of a run."""

from __future__ import annotations

from pathlib import Path

import click

from hilnas.cli.output import json_option, print_json


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file to write; report.html in RUN by default.")
@json_option
def command(run: Path, out: Path | None, as_json: bool) -> None:
    """Writes one self-contained HTML page of the finished run in the folder RUN.

    Example: hilnas report runs/demo --out report.html
    """
    from hilnas.hil.loop.report import write_report
    from hilnas.hil.loop.run_folder import RunFolder

    path = write_report(RunFolder(run), out)
    if as_json:
        print_json({"report": str(path)})
    else:
        click.echo(path)
