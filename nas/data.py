"""Image data sets: scikit-learn's digits, or an .npz of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import InputError
from hilnas.files import read_input, sha256
from hilnas.npz import read_npz

DIGITS_NAME = "digits"
_HINT = "An .npz of images holds `x`, uint8 (N, height, width, channels), and `y`, integers (N,) from 0."


@dataclass(frozen=True)
class Images:
    """Images uint8 (N, H, W, C) and their classes int64 (N,)."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: slice | NDArray[np.int64]) -> Images:
        return Images(self.x[index], self.y[index])

    @property
    def inputs(self) -> NDArray[np.float32]:
        """What a network reads: (N, H, W, C) in [-1, 1). The int8 of a quantised network is the pixel minus 128."""
        return self.x.astype(np.float32) / 128.0 - 1.0


@dataclass(frozen=True)
class DataSet:
    """A data set, split once and for all: training, validation (searches see it) and test (nothing sees it)."""

    name: str
    classes: int
    training: Images
    validation: Images
    test: Images

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width, channels."""
        return self.training.x.shape[1:]


def load_data(name_or_path: str, seed: int = 0) -> DataSet:
    """Loads `digits`, or an .npz by path, split by `seed` into 2/3 training, 1/6 validation, 1/6 test.

    Raises:
        InputError: unknown name, unreadable file, wrong arrays.
    """
    name, images = (DIGITS_NAME, _digits()) if name_or_path == DIGITS_NAME else _npz(name_or_path)
    order = np.random.default_rng(seed).permutation(len(images))
    held_out = len(images) // 6
    parts = (order[2 * held_out :], order[:held_out], order[held_out : 2 * held_out])
    training, validation, test = (images[part] for part in parts)
    return DataSet(name, int(images.y.max()) + 1, training, validation, test)


def _digits() -> Images:
    """1,797 handwritten digits of 8 x 8 grey pixels: 0 .. 16 stretched to 0 .. 255."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    pixels = np.rint(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    return Images(pixels, classes.astype(np.int64))


def _npz(path: str) -> tuple[str, Images]:
    if not path.endswith(".npz"):
        raise InputError(f"unknown data set {path!r}", f"Known: {DIGITS_NAME}; or give the path of an .npz file.")
    digest = sha256(read_input(Path(path)))
    arrays = read_npz(Path(path), ("x", "y"), _HINT)
    x, y = arrays["x"], arrays["y"]
    if x.dtype != np.uint8 or x.ndim != 4 or 0 in x.shape:
        raise InputError(f"{path}: x is {x.dtype} {x.shape}", _HINT)
    if not np.issubdtype(y.dtype, np.integer) or y.shape != x.shape[:1] or y.min() < 0:
        raise InputError(f"{path}: y is {y.dtype} {y.shape} for {len(x)} images", _HINT)
    if len(x) < 12:
        raise InputError(f"{path}: {len(x)} images cannot be split into training, validation and test", "Give at least 12.")
    return f"{Path(path).stem}@{digest[:12]}", Images(x, y.astype(np.int64))
