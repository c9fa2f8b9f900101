"""How long each stage of a run took, summed over all its resumptions. Kept apart from results, which hold no times."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hilnas.files import write_atomically


class Stopwatch:
    """Seconds by stage, recorded in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seconds: dict[str, float] = json.loads(path.read_bytes()) if path.exists() else {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time that the block takes to the stage `name`, if it comes to its end.

        Raises:
            StoreError: the disk refused.
        """
        start = time.monotonic()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - start, 2)
        write_atomically(self._path, json.dumps(self.seconds, indent=1) + "\n")
