"""Strategies that the cases of all operators share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from tflite_builder import ModelBuilder

Draw = Any
Edges = tuple[list[int], list[int]]
Case = Callable[[ModelBuilder], st.SearchStrategy[Edges]]

scales = st.one_of(st.floats(0.002, 0.2), st.floats(1e-4, 2.0), st.sampled_from([2.0**-7, 2.0**-4, 1.0]))
zero_points = st.one_of(st.sampled_from([-128, 127, 0]), st.integers(-128, 127))
seeds = st.integers(0, 2**32 - 1)
activations = st.sampled_from([0, 1, 2, 3])
sizes = st.integers(1, 6)
types = st.sampled_from(["int8", "int8", "int8", "int16", "int32"])


def shapes(low: int = 1, high: int = 4) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(sizes, min_size=low, max_size=high).map(tuple)


def random_weights(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random, or only extremes."""
    return (rng.integers(-127, 128, shape) if rng.integers(2) else rng.choice([-127, 127], shape)).astype(np.int8)
