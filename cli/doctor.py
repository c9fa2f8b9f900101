"""`hilnas doctor`: what is installed and what is missing."""

from __future__ import annotations

from dataclasses import asdict

import click

from hilnas.cli.output import json_option, print_json, print_table


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Tells what is installed, what is missing, and the one command that installs it.

    Exit code 1 if the default path (build for a board, run on the emulator) does not work.

    Example: hilnas doctor
    """
    from hilnas.errors import CheckFailedError
    from hilnas.hil.doctor import examine

    findings = examine()
    missing = [finding for finding in findings if finding.required and finding.version is None]
    if as_json:
        print_json({"default_path_works": not missing, "tools": [asdict(finding) for finding in findings]})
    else:
        print_table(
            "hilnas doctor",
            ("tool", "for", "found", "or else"),
            (
                (finding.name, finding.purpose, finding.version or "missing", "" if finding.version else finding.install)
                for finding in findings
            ),
        )
    if missing:
        raise CheckFailedError(
            f"the default path does not work without {', '.join(finding.name for finding in missing)}",
            "\n".join(finding.install for finding in missing),
        )
