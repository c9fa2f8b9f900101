"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hilnas.errors import InputError, StoreError

MANIFEST_NAME = "manifest.json"
"""The file that says that a folder was made by hilnas, and of what."""
_MAKER = "engine_version"

_SPACE = "Free some space or choose another folder."
_FILE_IN_PATH = "A part of the path is a file: choose another folder."
_PERMISSION = "You may not write there: choose another folder, or change its permissions."
_ADVICE = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.ENOTDIR: _FILE_IN_PATH,
    errno.EEXIST: _FILE_IN_PATH,
    errno.EISDIR: "It is a folder: name a file.",
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: "The file system is read-only: choose another folder.",
}


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
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> StoreError:
    """The error of a disk that refused `path`, with the advice that goes with its cause."""
    advice = _ADVICE.get(error.errno or 0, "Choose another folder.")
    return StoreError(f"cannot write {path}: {error.strerror}", advice)


def check_writable(path: Path) -> None:
    """Checks that a file can be made at `path`, before anything is computed for it.

    Raises:
        StoreError: the disk refuses.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _try_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def check_replaceable(out: Path) -> None:
    """Checks that the folder `out` can be made or replaced: it does not exist, is empty, or was made by hilnas.

    Raises:
        InputError: it holds what hilnas did not make, or it is the folder that one is in.
        StoreError: the disk refuses.
    """
    if Path.cwd().is_relative_to(out.resolve()):
        raise InputError(f"{out} is or holds the folder that you are in", "Name another folder: this one would be replaced.")
    try:
        _try_folder(out.parent)
        taken = out.exists() and any(out.iterdir())
    except OSError as error:
        raise cannot_write(out, error) from error
    if taken and not _made_by_hilnas(out):
        raise InputError(
            f"{out} holds files that hilnas did not make, and would be replaced as a whole",
            "Name a folder that does not exist yet or is empty, or empty this one yourself.",
        )


def _try_folder(folder: Path) -> None:
    """Makes a file, for a moment, in `folder` or in the nearest folder above it that exists."""
    while not folder.exists():
        folder = folder.parent
    tempfile.TemporaryFile(dir=folder).close()


def _made_by_hilnas(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and _MAKER in manifest


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `out` when the block ends; if it fails, `out` stays as it was. The block writes a manifest
    into it, which lets it be replaced again.

    Raises:
        InputError: `out` holds what hilnas did not make.
        StoreError: the disk refused.
    """
    check_replaceable(out)
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
        raise cannot_write(out, error) from error


def data_folder(missing: str, instead: str) -> Path:
    """The folder that HILNAS_DATA names.

    Raises:
        InputError: it names none; says that `missing`, and what to do `instead` of naming one.
    """
    folder = os.environ.get("HILNAS_DATA")
    if folder is None:
        raise InputError(missing, f"{instead}, or set HILNAS_DATA to the data folder.")
    return Path(folder)


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
