"""What flashers have in common that are programs: run, read what they say, try again under reset where that can help."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hilnas.boards.board import Board, Flashing
from hilnas.errors import ConnectError, InputError, ToolMissingError
from hilnas.hil.flashers.failures import Failure
from hilnas.progress import progress

ATTEMPTS = 3
"""The first as the tool does it by itself, the others with the part held in reset while the probe connects."""
_VERSION_S = 30.0
_SHOWN_LINES = 3
_NOTHING = re.compile(r"(?!)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Job:
    """One attempt: what is written to which part, over which probe (serial number), and how; `folder` is for the tool's own files."""

    elf: Path
    board: Board
    flashing: Flashing
    probe: str | None
    under_reset: bool
    folder: Path


class ToolFlasher(ABC):
    """A program that flashes. `proof` is what it says when the flash holds what was written; it must say that and end well."""

    name: str
    install: str
    proof: str
    failures: tuple[Failure, ...]

    @abstractmethod
    def program(self) -> list[str] | None:
        """How the program is started; None if it is not installed."""

    @abstractmethod
    def commands(self, job: Job) -> Sequence[Sequence[str | Path]]:
        """The arguments of each run of the program, in order; the last one gives the proof."""

    def version(self) -> str | None:
        """See `Flasher`."""
        program = self.program()
        if program is None:
            return None
        try:
            said = _run([*program, "--version"], _VERSION_S)[1]
        except (OSError, subprocess.TimeoutExpired):
            return None
        number = re.search(r"\d+(\.\d+)+", said)
        return number.group() if number else "present"

    def flash(self, elf: Path, board: Board, probe: str | None, timeout_s: float) -> tuple[str, ...]:
        """See `Flasher`."""
        program = self.program()
        if program is None:
            raise ToolMissingError(f"the flasher {self.name} is not installed", f"Install it: {self.install}")
        if board.flashing is None or self.name not in board.flashing.flashers:
            raise InputError(f"{self.name} cannot flash {board.name}", "See `flashing` in its board file and docs/boards.md.")
        give_up = time.monotonic() + timeout_s
        tried: list[str] = []
        with tempfile.TemporaryDirectory(prefix="hilnas-") as folder, progress(f"flashing {board.name} with {self.name}", None):
            while True:
                job = Job(elf, board, board.flashing, probe, under_reset=bool(tried), folder=Path(folder))
                failure, said = self._attempt(program, job, give_up - time.monotonic())
                if failure is None:
                    return tuple(tried)
                tried.append(f"{self.name}: {failure.problem}")
                if not failure.can_pass or len(tried) == ATTEMPTS or time.monotonic() >= give_up:
                    raise ConnectError(_message(self.name, failure, job, len(tried), said), failure.check)

    def _attempt(self, program: Sequence[str], job: Job, timeout_s: float) -> tuple[Failure | None, str]:
        """What went wrong, if anything, and what the tool said."""
        give_up = time.monotonic() + timeout_s
        said = ""
        command: list[str] = []
        for arguments in self.commands(job):
            command = [*program, *map(str, arguments)]
            try:
                code, said = _run(command, max(give_up - time.monotonic(), 1.0))
            except subprocess.TimeoutExpired as error:
                raise ConnectError(
                    f"{self.name} has not ended after {timeout_s:.0f} s",
                    f"Unplug the board and plug it in again; by hand: {shlex.join(command)}",
                ) from error
            except OSError as error:
                raise ToolMissingError(f"{command[0]} cannot be started: {error.strerror}", f"Install it again: {self.install}") from error
            if code:
                return self._failure(said, command, f"ended with exit code {code}"), said
        return (None if re.search(self.proof, said) else self._failure(said, command, "does not say that it verified the flash")), said

    def _failure(self, said: str, command: Sequence[str], otherwise: str) -> Failure:
        for failure in self.failures:
            if failure.pattern.search(said):
                return failure
        return Failure(_NOTHING, f"it {otherwise}", f"Run it by hand to see why: {shlex.join(command)}")


def _run(command: Sequence[str], timeout_s: float) -> tuple[int, str]:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s, check=False
    )
    return done.returncode, _COLOUR.sub("", done.stdout.decode(errors="replace"))


def _message(name: str, failure: Failure, job: Job, attempts: int, said: str) -> str:
    probe = f" {job.probe}" if job.probe else ""
    times = f", {attempts} times" if attempts > 1 else ""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if failure.pattern.search(line)][-1:] or lines[-_SHOWN_LINES:]
    return f"flashing {job.board.name}{probe} with {name}: {failure.problem}{times} (it said: {' / '.join(telling) or 'nothing'})"
