"""The one tree of errors. Each says what was wrong, where, and what to do next; `cli` maps each branch to an exit code."""

from __future__ import annotations


class HilnasError(Exception):
    """Base of every error that hilnas raises on purpose.

    `message` says what was wrong and with which file or device; `hint` says what to do next.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class CheckFailedError(HilnasError):
    """A check came out negative: a tool is missing for the default path, an output is not bit-exact."""


class InputError(HilnasError):
    """Wrong usage or wrong input: a file, an option, a value that the user gave."""


class ModelError(InputError):
    """A model file that cannot be read or holds what the engine does not support."""


class BoardError(InputError):
    """A board file that cannot be read or contradicts itself."""


class BudgetError(HilnasError):
    """No candidate meets the budget."""


class DoesNotFitError(HilnasError):
    """The model needs more flash or RAM than the board has."""


class BuildError(HilnasError):
    """The compiler or the linker failed, or the exporter did."""


class ToolMissingError(BuildError):
    """A program that the step needs is not installed."""


class ConnectError(HilnasError):
    """Flashing a target or connecting to it failed."""


class TargetError(HilnasError):
    """The target was reached but did not do its part."""


class TargetTimeoutError(TargetError):
    """The target did not answer in time."""


class ProtocolError(TargetError):
    """The target broke the report protocol: noise, a truncated line, a reset midway, yesterday's firmware."""


class StoreError(HilnasError):
    """The disk or the measurement store failed."""
