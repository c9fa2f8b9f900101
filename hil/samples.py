"""Samples of a data set as a device takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import InputError
from hilnas.files import sha256
from hilnas.firmware.image import TensorInfo
from hilnas.hil.target import Tensor

_HINT = "Give an .npz with the samples as x and, for the accuracy, their classes as y."


@dataclass(frozen=True)
class Samples:
    """Samples for a model of one input: `values` (N, ...), their classes `labels` (N) or None.

    `values` are real numbers, tensors of the model's own type, or uint8 pixels for an int8 model.
    """

    name: str
    values: Tensor
    labels: NDArray[np.integer[Any]] | None = None

    @classmethod
    def load(cls, path: Path) -> Samples:
        """Reads an .npz with the arrays `x` and, for the accuracy, `y`.

        Raises:
            InputError: unreadable, without `x`, or with another number of classes than samples.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                values, labels = arrays["x"], arrays.get("y")
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}", _HINT) from error
        except (KeyError, ValueError, TypeError, AttributeError, EOFError, BadZipFile) as error:
            raise InputError(f"{path} is not a data set: {error}", _HINT) from error
        if len(values) == 0 or (labels is not None and labels.shape != (len(values),)):
            raise InputError(f"{path} has {len(values)} samples and classes of shape {getattr(labels, 'shape', None)}", _HINT)
        return cls(path.stem, values, labels)

    @property
    def digest(self) -> str:
        """The SHA-256 of the samples: with the name, what they are in provenance."""
        return sha256(np.ascontiguousarray(self.values).tobytes())

    def inputs(self, info: TensorInfo) -> list[tuple[Tensor, ...]]:
        """Each sample as the model's input `info`: real numbers are quantised, pixels shifted by 128.

        Raises:
            InputError: the samples do not fit the input.
        """
        values, dtype = self.values, np.dtype(info.dtype)
        if values.size != len(values) * int(np.prod(info.shape, dtype=np.int64)):
            raise InputError(f"samples of {self.name} have shape {values.shape[1:]}, the model's input {info.name} {info.shape}")
        if values.dtype.kind == "f" and dtype.kind in "iu":
            limits = np.iinfo(dtype)
            steps = np.rint(values.astype(np.float64) / info.scale) + info.zero_point
            values = np.clip(steps, limits.min, limits.max).astype(dtype)
        elif values.dtype == np.uint8 and dtype == np.int8:
            values = (values.astype(np.int16) - 128).astype(np.int8)
        if values.dtype != dtype:
            raise InputError(f"samples of {self.name} are {values.dtype}, the model's input {info.name} is {info.dtype}")
        return [(sample.reshape(info.shape),) for sample in values]
