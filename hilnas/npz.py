"""Arrays of the .npz files that users give."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from hilnas.errors import InputError
from hilnas.files import read_input

_DAMAGED = (
    *(OSError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, EOFError, MemoryError, RuntimeError),
    *(BadZipFile, zlib.error),
)
"""What NumPy and zipfile raise for files that are no .npz, or not whole."""


def read_npz(path: Path, required: Sequence[str], hint: str, optional: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """The arrays of these names. Nothing in the file is executed.

    Raises:
        InputError: unreadable, no .npz, damaged, or without a required array; `hint` says what the file must hold.
    """
    content = read_input(path)
    try:
        arrays = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(arrays, NpzFile):
            raise InputError(f"{path} is one array, not an .npz", hint)
        missing = [name for name in required if name not in arrays]
        if missing:
            raise InputError(f"{path} has no {', '.join(missing)}; it has {', '.join(arrays) or 'nothing'}", hint)
        return {name: arrays[name] for name in (*required, *optional) if name in arrays}
    except _DAMAGED as error:
        # NumPy's own words are about pickles.
        raise InputError(f"{path} is not an .npz of numbers, or it is damaged", hint) from error
