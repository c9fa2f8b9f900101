"""`hilnas calibrate-timing`: fits the timing model to cycles measured on a real board."""

from __future__ import annotations

from pathlib import Path

import click

from hilnas.cli.output import json_option, print_json, print_table


@click.command()
@click.argument("points", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the new core and board files.")
@click.option("--core", help="Start from another timing model of the core: path of a core file.")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME", help="Fit only this parameter; may be repeated.")
@json_option
def command(points: Path, out: Path, core: str | None, parameters: tuple[str, ...], as_json: bool) -> None:
    """Fits the parameters marked "fitted" to measured cycles and writes new core and board files.

    POINTS is a YAML file with a list `points`, each with `elf`, `board`, `cycles`, and `mark` and `interval` or `stop`.

    Example: hilnas calibrate-timing measured.yaml --out calibrated
    """
    from dataclasses import asdict

    from hilnas.errors import InputError
    from hilnas.hil.timing.calibration import calibrate, fitted_knobs, load_declarations, load_points, write_calibrated

    measured = load_points(points)
    the_core, boards = load_declarations(measured, core)
    knobs = fitted_knobs(the_core, boards)
    if unknown := set(parameters) - {knob.name for knob in knobs}:
        raise InputError(f"no fitted parameter {', '.join(sorted(unknown))}", f"There are {', '.join(knob.name for knob in knobs)}.")
    calibration = calibrate(measured, the_core, boards, [knob for knob in knobs if not parameters or knob.name in parameters])
    written = write_calibrated(calibration, the_core, boards, out)
    moved = [knob.name for knob, value in zip(calibration.knobs, calibration.values, strict=True) if value != knob.value]
    if len(moved) >= len(measured):
        click.echo(
            f"warning: {len(measured)} measurements do not determine {len(moved)} parameters ({', '.join(moved)}): give more of them, of "
            "code that does different things, or name the parameters to fit; judge by the errors of points that were left out",
            err=True,
        )
    if as_json:
        document = asdict(calibration) | {
            "points": [point.model_dump(mode="json") for point in measured],
            "files": [str(path) for path in written],
        }
        print_json(document)
        return
    rows = zip(calibration.knobs, calibration.values, strict=True)
    print_table(
        "Parameters",
        ("parameter", "before", "after", "bounds"),
        [(k.name, k.value, f"{v}, at its bound" if v != k.value and v in (k.low, k.high) else v, f"{k.low} to {k.high}") for k, v in rows],
    )
    left_out = calibration.errors_left_out or (None,) * len(measured)
    errors = zip(measured, calibration.errors_before, calibration.errors_after, left_out, strict=True)
    print_table(
        "Error of modelled cycles, in %",
        ("point", "before", "after", "left out"),
        [(f"{point.elf.name} {point.interval}", _percent(before), _percent(after), _percent(out)) for point, before, after, out in errors],
    )
    for path in written:
        click.echo(f"wrote {path}")
    click.echo("A core file is used by --core, a board file by --board, of `hilnas run` and of the next calibration.")


def _percent(error: float | None) -> str | None:
    return None if error is None else f"{100 * error:+.2f}"
