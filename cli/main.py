"""The `hilnas` command: finds the verb's file, runs it, and turns errors into one message and an exit code."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

import click

from hilnas import __version__
from hilnas import errors as e
from hilnas.cli.group import Group
from hilnas.extras import missing_package

VERBS = {
    "boards": "the boards, their memories, clocks and targets",
    "build": "a .tflite to C, ELF and a size report for a board",
    "calibrate-timing": "fit the timing model to cycles measured on a real board",
    "deploy": "build and measure any int8 .tflite, in one step",
    "doctor": "what is installed, what is missing, and how to get it",
    "experiment": "list and run the published experiments",
    "export": "a net to .onnx and int8 .tflite, verified",
    "flash": "write an image to a board",
    "loop": "the whole closed loop: train, search, export, build, measure, recalibrate",
    "measure": "run an image on a target",
    "measurements": "list, show, export and import stored measurements",
    "predictors": "build, evaluate and show predictors",
    "recalibrate": "feed stored measurements into predictors",
    "report": "one self-contained HTML page of a run",
    "run": "time any Cortex-M ELF on the emulator",
    "search": "search with predictors under a budget",
    "train": "train the supernet on a data set",
    "virtual-board": "a board behind a pseudo-terminal, for trying scripts",
}
"""Every verb, in its own file of the same name, with the line that `hilnas --help` shows: the file is imported when it runs."""

EXIT_CODES: tuple[tuple[type[e.HilnasError], int], ...] = (
    (e.CheckFailedError, 1),
    (e.InputError, 2),
    (e.BudgetError, 3),
    (e.DoesNotFitError, 3),
    (e.BuildError, 4),
    (e.ConnectError, 5),
    (e.TargetError, 6),
    (e.StoreError, 7),
)
INTERRUPTED = 130


class _Verbs(Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"hilnas.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hilnas")
def verbs() -> None:
    """Finds neural networks for microcontrollers and proves them on the device.

    Example: hilnas deploy model.tflite --board nucleo-h743zi2
    """


def exit_code(error: e.HilnasError) -> int:
    """The documented exit code of an error."""
    return next(code for branch, code in EXIT_CODES if isinstance(error, branch))


def _fail(error: e.HilnasError) -> NoReturn:
    click.echo(f"error: {error}", err=True)
    sys.exit(exit_code(error))


def main() -> None:
    """Entry point of the console script."""
    try:
        verbs(standalone_mode=False)
    except e.HilnasError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if missing is None:
            raise
        _fail(missing)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
