"""`hilnas experiment`: lists and runs the published experiments."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from hilnas.cli.group import Group
from hilnas.cli.output import json_option, print_json, print_table

ROWS_SHOWN = 60
"""Of each table, on a terminal."""


@click.group(cls=Group)
def command() -> None:
    """Lists and runs the published experiments.

    Example: hilnas experiment run reward-table
    """


@command.command("list")
@json_option
def list_experiments(as_json: bool) -> None:
    """Lists the experiments.

    Example: hilnas experiment list
    """
    from hilnas.experiments.catalogue import EXPERIMENTS

    if as_json:
        print_json({"experiments": [{"name": name, "summary": summary} for name, summary in EXPERIMENTS.items()]})
    else:
        print_table("experiments", ("name", "reproduces"), EXPERIMENTS.items())


class _Experiments(Group):
    """One command per experiment; its options are the fields of the experiment's `Options`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from hilnas.experiments.catalogue import EXPERIMENTS

        return list(EXPERIMENTS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from hilnas.experiments.catalogue import EXPERIMENTS, find

        if cmd_name not in EXPERIMENTS:
            return None
        experiment = find(cmd_name)

        def run(as_json: bool, out: Path | None, **values: Any) -> None:
            report = experiment.run(experiment.Options(**values))
            if out is not None:
                report.write(out)
            if as_json:
                print_json(report.document)
                return
            for table in report.tables:
                print_table(table.title, table.columns, table.rows[:ROWS_SHOWN])
                if len(table.rows) > ROWS_SHOWN:
                    click.echo(f"... {len(table.rows) - ROWS_SHOWN} more rows; --out FOLDER writes them all to {table.name}.csv")
            for finding in report.findings:
                click.echo(finding)
            if out is not None:
                click.echo(f"written to {out}")

        summary = f"{EXPERIMENTS[cmd_name]}.\n\nExample: hilnas experiment run {cmd_name} --out runs/{cmd_name}"
        options: list[click.Parameter] = [
            click.Option(
                [f"--{field.name.replace('_', '-')}"],
                default=field.default,
                type=str if field.default is None else type(field.default),
                is_flag=isinstance(field.default, bool),
                help=field.metadata["help"],
                show_default=True,
            )
            for field in fields(experiment.Options)
        ]
        folder = click.Option(["--out"], type=click.Path(file_okay=False, path_type=Path), help="Folder for tables, figures and report.")
        command: click.Command = json_option(click.Command(cmd_name, callback=run, params=[*options, folder], help=summary))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from hilnas.experiments.catalogue import EXPERIMENTS

        with formatter.section("Experiments"):
            formatter.write_dl(list(EXPERIMENTS.items()))


@command.command("run", cls=_Experiments)
def run_experiment() -> None:
    """Runs one experiment; --help after its name shows its options.

    Example: hilnas experiment run reward-search --seeds 20 --out runs/reward-search
    """
