"""Compares generated C with TensorFlow Lite's reference kernels, byte by byte."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hilnas.tflite.reference import ReferenceModel

sys.path.insert(0, str(Path(__file__).parent))

Run = Callable[..., tuple[np.ndarray, ...]]


def inputs_of(reference: ReferenceModel, seed: int, runs: int) -> Iterator[tuple[np.ndarray, ...]]:
    """The lowest and the highest values, only these two, all values in order, and then random ones."""
    rng = np.random.default_rng(seed)
    for run in range(runs):
        tensors = []
        for edge in reference.inputs:
            limits = np.iinfo(edge.dtype)
            values = rng.integers(limits.min, limits.max + 1, edge.shape)
            if run < 4:
                values = [
                    np.full(edge.shape, limits.min),
                    np.full(edge.shape, limits.max),
                    np.where(values < 0, limits.min, limits.max),
                    np.resize(np.arange(-128, 128), edge.shape),
                ][run]
            tensors.append(values.astype(edge.dtype))
        yield tuple(tensors)


def assert_bit_exact(content: bytes, run: Run, seed: int, runs: int = 6) -> None:
    """Every byte of every output of `run` equals the reference's, for several inputs one after the other."""
    reference = ReferenceModel(content)
    for values in inputs_of(reference, seed, runs):
        expected = reference.run(*values)
        outputs = run(*values)
        for edge, one, other in zip(reference.outputs, expected, outputs, strict=True):
            np.testing.assert_array_equal(np.ravel(other).view(one.dtype), np.ravel(one), err_msg=f"output {edge.name}")
