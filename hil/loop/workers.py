"""Worker processes that die with their parent, however it dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from hilnas.errors import BuildError
from hilnas.hil.child_process import die_with_parent
from hilnas.progress import Advance

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """Processes that start fresh (spawn) and do tasks in parallel; what they print goes to `log`.

    Results come in the order of the tasks, whichever worker was faster.
    """

    def __init__(self, count: int, log: Path) -> None:
        self._log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=_start, initargs=(os.getpid(), str(log)))

    def map(self, task: Callable[[T], R], items: Sequence[T], advance: Advance = lambda steps: None) -> list[R]:
        """Does `task` for every item and returns the results in order; tells `advance` of each that is done. The first error ends it.

        Raises:
            BuildError: a worker died.
            HilnasError: what the task raised.
        """
        futures = [self._pool.submit(task, item) for item in items]
        pending = set(futures)
        try:
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                advance(len(done))
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            said = self._last_words()
            if said:
                raise BuildError(f"a worker process died: {said}", f"{self._log} has the rest.") from error
            raise BuildError(
                "a worker process died and said nothing", "Was memory short? `dmesg` tells of processes that were killed."
            ) from error

    def _last_words(self) -> str:
        """The last line that a worker printed, which names the exception that it died of, if it did."""
        try:
            with self._log.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self._pool.shutdown()
            return
        # Nobody waits for what the workers are doing now: what they finished is in the run folder.
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()


def _start(parent: int, log: str) -> None:
    """Runs first in each worker."""
    # A killed parent cannot tell its children: the kernel does.
    if (prepare := die_with_parent()) is not None:
        prepare()
    if os.getppid() != parent:
        os._exit(1)
    # Ctrl-C reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
