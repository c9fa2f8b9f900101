"""The rule of early exits: leave at the first exit whose entropy is below its threshold."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import ArrayLike, NDArray


def entropy_nats(logits: ArrayLike) -> NDArray[np.float64]:
    """Entropy in nats of the softmax over the last axis of `logits`, shape (..., classes) -> (...)."""
    values = np.asarray(logits, dtype=np.float64)
    shifted = values - values.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    probabilities = np.exp(shifted - log_sum)
    entropy: NDArray[np.float64] = -(probabilities * (shifted - log_sum)).sum(axis=-1)
    return entropy


def first_exit(exit_logits: Sequence[ArrayLike], thresholds: Sequence[float]) -> NDArray[np.int64]:
    """Which exit each of N inputs leaves by, shape (N,): 0 .. E - 1, or E where none is taken.

    `exit_logits` has one array (N, classes) per exit, `thresholds` one entropy in nats per exit.
    """
    if not thresholds:
        raise ValueError("a network without exits has no exit to take")
    confident = np.stack([entropy_nats(logits) < threshold for logits, threshold in zip(exit_logits, thresholds, strict=True)])
    return np.where(confident.any(axis=0), confident.argmax(axis=0), len(thresholds)).astype(np.int64)


def scale_threshold(threshold: float, classes: int) -> float:
    """A threshold of the table for 100 classes as one for `classes`: the largest possible entropy is ln(classes)."""
    return threshold * log(classes) / log(100)
