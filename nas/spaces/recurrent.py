"""Study 3's space of recurrent cells: a tree of combinations with a memory state injected.

Source: Zoph and Le, "Neural Architecture Search with Reinforcement Learning", 2017, section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import InputError
from hilnas.nas.space import Architectures, Decision, Features, SearchSpace

COMBINATIONS = ("add", "multiply")
ACTIVATIONS = ("identity", "tanh", "sigmoid", "relu")


@dataclass(frozen=True)
class Node:
    """How two operands become one value: `activation(first combined with second)`."""

    combination: str
    activation: str


@dataclass(frozen=True)
class Cell:
    """A recurrent cell. The first half of the nodes are leaves and combine W x_t with U h_{t-1}; every other node combines two.

    `injected` combines c_{t-1} with the value of node `injected_at`; c_t is the value of node `remembered` before its
    activation; h_t is the value of the last node.
    """

    nodes: tuple[Node, ...]
    injected: Node
    injected_at: int
    remembered: int

    @property
    def base(self) -> int:
        """Number of leaves."""
        return (len(self.nodes) + 1) // 2

    def children(self, node: int) -> tuple[int, int]:
        """The two nodes that an inner node combines: leaves first, then level by level."""
        first = 2 * (node - self.base)
        return first, first + 1


class RecurrentSpace(SearchSpace):
    """Cells of a given number of leaves, a power of two: combination and activation of each node, of the injection, and two indices.

    With base 8 these are 8^16 x 15^2 = 6e16 cells.
    """

    def __init__(self, base: int = 8) -> None:
        if base < 2 or base & (base - 1):
            raise InputError(f"a tree of {base} leaves is not binary", "The base is a power of two, at least 2.")
        self.base = base
        self.name = f"recurrent-{base}"
        nodes = range(2 * base - 1)
        self.decisions = (
            *(decision for node in nodes for decision in _pair(f"node{node}")),
            *_pair("injected"),
            Decision("remembered", tuple(nodes)),
            Decision("injected_at", tuple(nodes)),
        )

    def cell(self, architecture: NDArray[np.int64]) -> Cell:
        """The cell of one architecture (D,)."""
        pairs = [Node(COMBINATIONS[row[0]], ACTIVATIONS[row[1]]) for row in architecture[:-2].reshape(-1, 2)]
        return Cell(tuple(pairs[:-1]), pairs[-1], remembered=int(architecture[-2]), injected_at=int(architecture[-1]))

    def encode(self, architectures: Architectures) -> Features:
        """One-hot decisions."""
        first = np.cumsum(self.choice_counts) - self.choice_counts
        features = np.zeros((len(architectures), len(self.feature_names)), dtype=np.float32)
        np.put_along_axis(features, first + architectures, 1.0, axis=1)
        return features


def _pair(name: str) -> tuple[Decision, Decision]:
    return Decision(f"{name}.combination", COMBINATIONS), Decision(f"{name}.activation", ACTIVATIONS)
