"""`hilnas doctor`: what is installed and what is missing."""

from __future__ import annotations

from dataclasses import asdict

import click

from hilnas.cli.output import json_option, print_json, print_table


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Tells what is installed, what is missing, and the one command that installs it; and which targets work.

    Exit code 1 if the default path (build for a board, run on the emulator) does not work.

    Example: hilnas doctor
    """
    from hilnas.errors import CheckFailedError
    from hilnas.hil.doctor import examine

    found = examine()
    if as_json:
        print_json(
            {
                "default_path_works": not found.missing,
                "tools": [asdict(tool) for tool in found.tools],
                "targets": [asdict(target) | {"works": target.works} for target in found.targets],
            }
        )
    else:
        print_table(
            "Tools",
            ("tool", "for", "found"),
            ((tool.name, tool.purpose, tool.version or "missing") for tool in found.tools),
        )
        print_table(
            "Targets",
            ("target", "works", "with", "needs"),
            (
                (target.name, "yes" if target.works else "no", ", ".join(target.tools), ", ".join(target.missing))
                for target in found.targets
            ),
        )
        # Outside of the table, where no column cuts a command in two.
        for tool in found.tools:
            if tool.version is None:
                click.echo(f"{tool.name}: {tool.install}")
    if found.missing:
        raise CheckFailedError(
            f"the default path does not work without {', '.join(tool.name for tool in found.missing)}",
            "\n".join(tool.install for tool in found.missing),
        )
