"""Search spaces: an ordered tuple of decisions, and architectures as rows of choice indices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import InputError

Architectures = NDArray[np.int64]
"""A batch of architectures: one choice index per decision, shape (N, D)."""

Features = NDArray[np.float32]
"""The encoding of a batch of architectures that predictors read, shape (N, F)."""


@dataclass(frozen=True)
class Decision:
    """One choice to be made: its name and what can be chosen, in the space's order."""

    name: str
    choices: tuple[float | int | str, ...]


@dataclass(frozen=True)
class Connection(Decision):
    """Whether a layer reads the output of an earlier one: no or yes.

    `anchor` is the column of the decision that completed the earlier layer. A controller attends to its state there; other
    searches see a decision with two choices.
    """

    anchor: int


class SearchSpace(ABC):
    """What can be built: an ordered tuple of decisions and how a batch of architectures is encoded."""

    name: str
    decisions: tuple[Decision, ...]

    @property
    def structure(self) -> NDArray[np.int64]:
        """The columns of the decisions that say which others are live, if the space names some."""
        return np.arange(0)

    @cached_property
    def choice_counts(self) -> NDArray[np.int64]:
        """Number of choices of each decision, shape (D,)."""
        return np.array([len(decision.choices) for decision in self.decisions], dtype=np.int64)

    def sample(self, count: int, rng: np.random.Generator) -> Architectures:
        """Draws `count` architectures, every choice of every decision equally likely."""
        return rng.integers(0, self.choice_counts, size=(count, len(self.decisions)))

    def validate(self, architectures: Architectures) -> Architectures:
        """Returns the batch as (N, D) int64 if every index names a choice.

        Raises:
            InputError: wrong width, or an index without a choice.
        """
        batch = np.atleast_2d(np.asarray(architectures))
        if batch.shape[1] != len(self.decisions):
            raise InputError(f"an architecture of {self.name} has {len(self.decisions)} decisions, got {batch.shape[1]}")
        bad = np.argwhere((batch < 0) | (batch >= self.choice_counts))
        if len(bad):
            row, column = bad[0]
            decision = self.decisions[column]
            raise InputError(f"architecture {row}: {decision.name} = {batch[row, column]}, but it has {len(decision.choices)} choices")
        return batch.astype(np.int64)

    def canonical(self, architectures: Architectures) -> Architectures:
        """The batch with every inert decision set to 0, so that equal rows are equal networks."""
        return architectures

    def live(self, architectures: Architectures) -> NDArray[np.bool_]:
        """Which decisions change the network, shape (N, D): all of them unless a space knows better."""
        return np.ones(architectures.shape, dtype=np.bool_)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the F feature columns: decision=choice of every decision, unless a space encodes others."""
        return tuple(f"{decision.name}={choice}" for decision in self.decisions for choice in decision.choices)

    @abstractmethod
    def encode(self, architectures: Architectures) -> Features:
        """Encodes a batch (N, D) to features (N, F), float32."""
