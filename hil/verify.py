"""Whether a target computes what the reference kernels compute: every byte of every output, on random and extreme inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hilnas.errors import CheckFailedError, InputError
from hilnas.firmware.image import Manifest, TensorInfo
from hilnas.hil.target import Tensor
from hilnas.tflite.reference import ReferenceModel

INPUT_SETS = 8
_OTHER_MODEL = "Give the model that the image was built from, or build it again from this one."


def verification_inputs(manifest: Manifest, seed: int, count: int = INPUT_SETS) -> list[tuple[Tensor, ...]]:
    """`count` sets of inputs: all lowest, all highest, the zero point, lowest and highest in turn; the rest random.

    Raises:
        InputError: an input is of a type without limits (float).
    """
    generator = np.random.default_rng(seed)
    return [tuple(_input(info, index, generator) for info in manifest.inputs) for index in range(count)]


def _input(info: TensorInfo, index: int, generator: np.random.Generator) -> Tensor:
    dtype = np.dtype(info.dtype)
    if dtype.kind not in "iu":
        raise InputError(
            f"input {info.name} is {info.dtype}; only integer inputs can be verified bit by bit", "Quantise the model to int8."
        )
    limits = np.iinfo(dtype)
    low, high = int(limits.min), int(limits.max)
    if index < 3:
        return np.full(info.shape, (low, high, info.zero_point)[index], dtype)
    if index == 3:
        return np.where(np.arange(np.prod(info.shape, dtype=np.int64)) % 2, high, low).astype(dtype).reshape(info.shape)
    return generator.integers(low, high, info.shape, dtype, endpoint=True)


def check_same_edges(manifest: Manifest, reference: ReferenceModel) -> None:
    """Checks that image and reference have the same inputs and outputs.

    Raises:
        CheckFailedError: they have not.
    """
    for kind, ours, theirs in (("input", manifest.inputs, reference.inputs), ("output", manifest.outputs, reference.outputs)):
        if len(ours) != len(theirs):
            raise CheckFailedError(f"the image has {len(ours)} {kind}s, the reference {len(theirs)}", _OTHER_MODEL)
        for mine, edge in zip(ours, theirs, strict=True):
            if np.dtype(mine.dtype) != edge.dtype or np.prod(mine.shape, dtype=np.int64) != np.prod(edge.shape, dtype=np.int64):
                raise CheckFailedError(
                    f"{kind} {mine.name} is {mine.dtype} {mine.shape} in the image, {edge.dtype} {edge.shape} in the reference",
                    _OTHER_MODEL,
                )


def first_difference(manifest: Manifest, expected: Sequence[Sequence[Tensor]], got: Sequence[Sequence[Tensor | None]]) -> str | None:
    """The first place where outputs differ, in words; None if none does. One sequence of outputs for each inference."""
    for run, (wanted, outputs) in enumerate(zip(expected, got, strict=True)):
        for info, reference, output in zip(manifest.outputs, wanted, outputs, strict=True):
            if output is None:
                return f"output {info.name} of inference {run} was not written"
            flat_reference, flat_output = np.ravel(reference), np.ravel(output)
            different = np.flatnonzero(flat_reference != flat_output)
            if different.size:
                at = int(different[0])
                return (
                    f"output {info.name} of inference {run} differs first at index {at}: {flat_output[at]}, the reference has "
                    f"{flat_reference[at]} ({different.size} of {flat_output.size} differ)"
                )
    return None
