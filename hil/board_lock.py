"""One process at a time on a board: a lock that the operating system holds, so that a dead process frees it at once."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import methodcaller
from pathlib import Path
from typing import Protocol, TypeVar

from hilnas.errors import ConnectError
from hilnas.files import sha256

_FOLDERS = (Path("/run/lock"), Path("/tmp"))  # noqa: S108
"""Where every user of this host may write: a board is everybody's."""
_LOOK_S = 0.2
"""How often a waiting process looks whether a board is free."""

_log = logging.getLogger(__name__)


class BoardLock:
    """The lock of a board, named as its debug probe, for all processes and threads of this host."""

    def __init__(self, name: str) -> None:
        self.name = name
        folder = next((folder for folder in _FOLDERS if os.access(folder, os.W_OK)), _FOLDERS[-1])
        readable = re.sub("[^A-Za-z0-9]+", "-", name)[-40:]
        self._path = folder / f"hilnas-{readable}-{sha256(name.encode())[:8]}.lock"
        self._file = -1

    def try_acquire(self) -> bool:
        """Takes the board unless somebody else has it.

        Raises:
            ConnectError: the lock's file cannot be opened.
        """
        file = self._open()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} ({' '.join(sys.argv)[:200]})".encode(), 0)
        return True

    def release(self) -> None:
        """Gives the board back."""
        os.close(self._file)
        self._file = -1

    def holder(self) -> str:
        """Who has the board, in words: process and command."""
        try:
            return self._path.read_text() or "another process"
        except OSError:
            return "another process"

    def _open(self) -> int:
        # In a folder of everybody's, the kernel lets nobody create over another user's file: open it first.
        try:
            return os.open(self._path, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._unusable(error) from error
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            os.fchmod(file, 0o666)
        except OSError as error:
            raise self._unusable(error) from error
        return file

    def _unusable(self, error: OSError) -> ConnectError:
        return ConnectError(f"cannot lock the board {self.name}: {self._path}: {error.strerror}", "Check who owns that file.")


class Holdable(Protocol):
    """What one process at a time can hold."""

    name: str

    def try_acquire(self) -> bool:
        """Takes it unless somebody else has it."""

    def release(self) -> None:
        """Gives it back."""

    def holder(self) -> str:
        """Who has it, in words."""


H = TypeVar("H", bound=Holdable)


@contextmanager
def hold_any(
    candidates: Callable[[], Sequence[H]], wait_s: float, try_acquire: Callable[[H], bool] = methodcaller("try_acquire")
) -> Iterator[H]:
    """Holds the first candidate that `try_acquire` gets; waits for one at most `wait_s` seconds, asking again who they are; says for whom.

    Raises:
        ConnectError: all stay in use.
    """
    give_up = time.monotonic() + wait_s
    is_said = False
    while (held := next((one for one in candidates() if try_acquire(one)), None)) is None:
        holders = "; ".join(f"{one.name} is used by {one.holder()}" for one in candidates())
        if time.monotonic() >= give_up:
            raise ConnectError(f"no board is free after {wait_s:g} s: {holders}", "Wait for it to end, or end it.")
        if not is_said:
            _log.warning("waiting for a board: %s", holders)
            is_said = True
        time.sleep(_LOOK_S)
    try:
        yield held
    finally:
        held.release()
