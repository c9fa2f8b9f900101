"""The folder of one run: its journal. Every finished step is a file that is whole or not there, so a run can go on from any moment."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from hilnas import __version__
from hilnas.errors import InputError, StoreError
from hilnas.files import read_input, write_atomically
from hilnas.hil.loop.configuration import LoopConfiguration
from hilnas.hil.loop.stopwatch import Stopwatch
from hilnas.hil.store import STORE_NAME

T = TypeVar("T")

RUN_NAME = "run.json"
RESULT_NAME = "result.json"
TIMINGS_NAME = "timings.json"
REPORT_NAME = "report.html"
BOARDS_NAME = "boards"
SELECTION_NAME = f"{BOARDS_NAME}/selection.json"


@dataclass(frozen=True)
class RunDescription:
    """What was asked of a run; by which versions, where and when it was started."""

    configuration: LoopConfiguration
    provenance: dict[str, str]


class RunFolder:
    """Where a run keeps everything.

    run.json (what was asked, by what and when), supernet.pt, stages/ (one JSON document for each finished step),
    candidates/NAME/ (files and measurements of one net), boards/ (those that measure now), measurements.db, result.json, report.html.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def store_path(self) -> Path:
        """The measurement store of the run."""
        return self.path / STORE_NAME

    @property
    def supernet_path(self) -> Path:
        """The checkpoint of the supernet."""
        return self.path / "supernet.pt"

    @property
    def report_path(self) -> Path:
        """The report of the run."""
        return self.path / REPORT_NAME

    @property
    def boards_path(self) -> Path:
        """What the processes of a run share about the boards: which are meant, and which are set aside."""
        return self.path / BOARDS_NAME

    def stopwatch(self) -> Stopwatch:
        """Measures the stages of the run."""
        return Stopwatch(self.path / TIMINGS_NAME)

    def candidate(self, name: str) -> Path:
        """The folder of one net."""
        return self.path / "candidates" / name

    def create(self, configuration: LoopConfiguration) -> None:
        """Starts a run here.

        Raises:
            InputError: there is a run here already.
            StoreError: the disk refused.
        """
        if (self.path / RUN_NAME).exists():
            raise InputError(f"{self.path} holds a run already", f"Go on with `hilnas loop --resume {self.path}`, or choose another --out.")
        self.write(RUN_NAME, RunDescription, RunDescription(configuration, _provenance()))

    def description(self) -> RunDescription:
        """What was asked of this run, and by what it was started.

        Raises:
            InputError: this is not the folder of a run.
        """
        if not (self.path / RUN_NAME).is_file():
            raise InputError(f"{self.path} is not the folder of a run: it has no {RUN_NAME}", "Give the folder of `hilnas loop --out`.")
        return self.read(RUN_NAME, RunDescription)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps every other process from working in this folder. The lock dies with its process.

        Raises:
            InputError: another process works here.
            StoreError: the disk refused.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / ".lock").open("w")
        except OSError as error:
            raise StoreError(f"cannot write in {self.path}: {error.strerror}", "Choose another folder.") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(f"another process works in {self.path}", "Wait for it to end, or choose another folder.") from error
            yield

    def once(self, step: str, kind: type[T], compute: Callable[[], T]) -> T:
        """What the step came to: read if it is finished, else computed and recorded. `kind` is a dataclass or a JSON type.

        Raises:
            InputError: the record is damaged.
            StoreError: the disk refused.
        """
        name = f"stages/{step}.json"
        if not (self.path / name).exists():
            self.write(name, kind, compute())
        # Read back also when just computed: a run that goes on sees the very values that an undisturbed one sees.
        return self.read(name, kind)

    def write(self, name: str, kind: type[T], value: T) -> None:
        """Records a document.

        Raises:
            StoreError: the disk refused.
        """
        write_atomically(self.path / name, _pretty(TypeAdapter(kind).dump_python(value, mode="json")))

    def read(self, name: str, kind: type[T]) -> T:
        """Reads a document that `write` recorded.

        Raises:
            InputError: it is missing or damaged.
        """
        path = self.path / name
        if not path.exists() and (self.path / RUN_NAME).is_file():
            raise InputError(f"the run in {self.path} is not finished: it has no {name}", f"Go on with `hilnas loop --resume {self.path}`.")
        try:
            return TypeAdapter(kind).validate_json(read_input(path))
        except ValidationError as error:
            raise InputError(
                f"{path} is damaged: {error.errors()[0]['msg']}", "Remove it; `hilnas loop --resume` makes it anew."
            ) from error


def _pretty(document: Any) -> str:
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _provenance() -> dict[str, str]:
    packages = {name: importlib.metadata.version(name) for name in ("numpy", "torch", "tensorflow", "ai-edge-litert", "unicorn")}
    here = {"hilnas": __version__, "python": platform.python_version(), "host": platform.node(), "system": platform.platform()}
    return here | packages | {"started": datetime.now(UTC).isoformat(timespec="seconds")}
