"""Samples of a data set as a device takes them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import InputError
from hilnas.files import sha256
from hilnas.firmware.image import TensorInfo
from hilnas.hil.target import Tensor
from hilnas.npz import read_npz

_HINT = "Give an .npz with the samples as x and, for the accuracy, their classes as y: `np.savez(file, x=x, y=y)`."
_LOOKED_AT = 100_000
"""So many values tell whether real numbers are in the range of a model's input."""
_SATURATED = 0.1
_FEW, _MANY = 4, 16
"""Quantising real numbers must not leave fewer than `_FEW` different values of `_MANY` or more."""


@dataclass(frozen=True)
class Samples:
    """Samples for a model of one input: `values` (N, ...), their classes `labels` (N) or None.

    `values` are real numbers (float32) in the range of the model's input, tensors of the model's own type, or uint8 pixels for an int8
    model.
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
        arrays = read_npz(path, ("x",), _HINT, optional=("y",))
        values, labels = arrays["x"], arrays.get("y")
        if values.ndim == 0 or len(values) == 0:
            raise InputError(f"x of {path} holds no samples: its shape is {values.shape}", _HINT)
        if labels is not None and (labels.shape != (len(values),) or labels.dtype.kind not in "iu"):
            raise InputError(
                f"y of {path} is {labels.dtype} of shape {labels.shape}; there are {len(values)} samples",
                "Give y as whole numbers, one class for each sample.",
            )
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
        self._check_shape(info)
        if values.dtype == np.float32 and dtype.kind in "iu":
            values = self._quantised(info)
        elif values.dtype == np.uint8 and dtype == np.int8:
            values = (values.astype(np.int16) - 128).astype(np.int8)
        if values.dtype != dtype:
            raise InputError(f"x of {self.name} is {values.dtype}, the model's input {info.name} is {info.dtype}", _conventions(info))
        return [(sample.reshape(info.shape),) for sample in values]

    def check_classes(self, count: int) -> None:
        """Checks that every label is one of `count` classes.

        Raises:
            InputError: one is not.
        """
        if self.labels is None:
            return
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= count:
            raise InputError(
                f"y of {self.name} has class {low if low < 0 else high}, the model's output has {count} values",
                f"Give classes from 0 to {count - 1}, or leave y out.",
            )

    def _check_shape(self, info: TensorInfo) -> None:
        """Sizes of one do not count, and either side may be flat; but the axes of images keep their order."""
        given, wanted = (tuple(size for size in shape if size != 1) for shape in (self.values.shape[1:], info.shape))
        if prod(given) != prod(wanted) or (given != wanted and min(len(given), len(wanted)) > 1):
            raise InputError(
                f"samples of {self.name} have shape {self.values.shape[1:]}, the model's input {info.name} {info.shape}",
                f"Give x of shape (N, {', '.join(map(str, info.shape[1:]))}).",
            )

    def _quantised(self, info: TensorInfo) -> Tensor:
        limits = np.iinfo(np.dtype(info.dtype))
        steps = np.rint(self.values.astype(np.float64) / info.scale) + info.zero_point
        some = slice(None, None, max(1, steps.size // _LOOKED_AT))
        looked_at, raw = steps.ravel()[some], self.values.ravel()[some]
        if not np.isfinite(steps).all():
            raise InputError(f"x of {self.name} has values that are not finite", _conventions(info))
        saturated = float(np.mean((looked_at < limits.min) | (looked_at > limits.max)))
        few = len(np.unique(looked_at)) < _FEW and len(np.unique(raw)) >= _MANY
        if saturated > _SATURATED or few:
            low, high = _real_range(info)
            raise InputError(
                f"x of {self.name} goes from {raw.min():g} to {raw.max():g}, the model's input {info.name} from {low:g} to {high:g}: "
                + (f"{saturated:.0%} of the values are outside" if saturated > _SATURATED else "next to nothing is left of it"),
                _conventions(info),
            )
        quantised: Tensor = np.clip(steps, limits.min, limits.max).astype(info.dtype)
        return quantised


def _real_range(info: TensorInfo) -> tuple[float, float]:
    limits = np.iinfo(np.dtype(info.dtype))
    return (limits.min - info.zero_point) * info.scale, (limits.max - info.zero_point) * info.scale


def _conventions(info: TensorInfo) -> str:
    """What x may be for an input."""
    if np.dtype(info.dtype).kind not in "iu":
        return f"Give {info.dtype}."
    low, high = _real_range(info)
    pixels = "; or uint8 pixels of 0 to 255" if info.dtype == "int8" else ""
    return f"Give float32 as the model was trained with, here {low:g} to {high:g}{pixels}; or {info.dtype}, quantised already."
