"""Files that are either whole or not there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hilnas.errors import InputError, StoreError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes `content` to `path` so that a crash or a full disk leaves the old file or none, never half of one.

    Raises:
        StoreError: the disk refused.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror}", "Free some space or choose another folder.") from error


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `out` when the block ends; if it fails, `out` stays as it was.

    Raises:
        StoreError: the disk refused.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            made = Path(folder) / "made"
            made.mkdir()
            yield made
            if out.exists():
                out.rename(Path(folder) / "old")
            made.rename(out)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror}", "Free some space or choose another folder.") from error


def read_input(path: Path) -> bytes:
    """Reads a file that the user named.

    Raises:
        InputError: it is missing or unreadable.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "Check the path and its permissions.") from error


def sha256(data: bytes) -> str:
    """The SHA-256 of `data` in hexadecimal: how files are named in provenance."""
    return hashlib.sha256(data).hexdigest()
