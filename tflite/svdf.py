"""SVDF in integers, for files whose state is of int8: the reference kernels take any state for int16, and write behind the end of this one.

What it computes is what TensorFlow Lite Micro computes for such files, and for a state of int16 what the reference kernels do, which is
what it is tested on. Source: EvalIntegerSVDF in tensorflow/lite/kernels/internal/reference/svdf.h, and the same in
tensorflow/lite/micro/kernels/svdf_common.cc.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, frexp
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass
class IntegerSvdf:
    """The constants of an SVDF and its state, (filters, steps). `scales` are those of input, features, time weights, state and output."""

    features: NDArray[np.integer[Any]]
    times: NDArray[np.integer[Any]]
    bias: NDArray[np.integer[Any]] | None
    state: NDArray[np.integer[Any]]
    rank: int
    scales: tuple[float, float, float, float, float]
    input_zero_point: int
    state_zero_point: int
    output_zero_point: int

    def reset(self) -> None:
        """Forgets all earlier inputs."""
        self.state[...] = self.state_zero_point

    def run(self, values: NDArray[np.integer[Any]]) -> NDArray[np.int8]:
        """The outputs, one a unit, for one more input."""
        # In single precision, as the reference computes its multipliers.
        source, features, times, state, output = (np.float32(scale) for scale in self.scales)
        sums = self.features.astype(np.int64) @ (values.ravel().astype(np.int64) - self.input_zero_point)
        newest = _scaled(sums, float(source * features / state)) + self.state_zero_point
        limits = np.iinfo(self.state.dtype)
        self.state[:, :-1] = self.state[:, 1:]
        self.state[:, -1] = np.clip(newest, limits.min, limits.max)
        filtered = (self.times.astype(np.int64) * (self.state.astype(np.int64) - self.state_zero_point)).sum(axis=1)
        units = filtered.reshape(-1, self.rank).sum(axis=1)
        if self.bias is not None:
            units = units + self.bias.ravel()
        results = _scaled(units, float(state * times / output)) + self.output_zero_point
        return np.clip(results, -128, 127).astype(np.int8)


def _scaled(values: Integers, real: float) -> Integers:
    """values * real, `real` as a multiplier of 31 bits: rounded after the multiplication and again after a shift to the right."""
    fraction, shift = frexp(real)
    multiplier = floor(fraction * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    products = ((values << max(shift, 0)) * multiplier + 2**30) >> 31
    if shift >= 0:
        return products
    half = (1 << (-shift - 1)) - (products < 0)
    return (products + half) >> -shift
