"""NAS-Bench-201: cells of four nodes whose six edges each carry one of five operations, 15,625 in all.

Source: Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", 2020. A network stacks
N = 5 such cells in each of three stages; the table of its trained networks is `hilnas.nas.evaluators.table`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import InputError
from hilnas.nas.space import Architectures, Decision, Features, SearchSpace

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(from, to) of each edge in the order of the arch string; node 0 is the cell's input, node 3 its output."""


class NasBench201Space(SearchSpace):
    """The operation of each of the six edges.

    No decision is inert here, though some cells compute the same function: the benchmark trained and timed each of the 15,625
    cells on its own, so each has its own metrics.
    """

    name = "nasbench201"
    decisions = tuple(Decision(f"node{target}.from{source}", OPERATIONS) for source, target in EDGES)

    def encode(self, architectures: Architectures) -> Features:
        """One-hot operations of the six edges, shape (N, 30)."""
        return np.eye(len(OPERATIONS), dtype=np.float32)[architectures].reshape(len(architectures), -1)

    def index(self, architectures: Architectures) -> NDArray[np.int64]:
        """The number of each cell in lexicographic order of its decisions, shape (N,), below 15,625. Not the benchmark's index."""
        digits: NDArray[np.int64] = len(OPERATIONS) ** np.arange(len(EDGES))[::-1]
        number: NDArray[np.int64] = architectures @ digits
        return number

    def parse(self, strings: Iterable[str]) -> Architectures:
        """Reads arch strings such as `|none~0|+|none~0|none~1|+|none~0|none~1|none~2|`.

        Raises:
            InputError: a string that is no cell of this space.
        """
        choice = {operation: index for index, operation in enumerate(OPERATIONS)}
        rows = []
        for string in strings:
            nodes = [[edge.partition("~") for edge in node.split("|") if edge] for node in string.split("+")]
            found = tuple((int(source), target) for target, node in enumerate(nodes, 1) for _, _, source in node if source.isdigit())
            operations = [operation for node in nodes for operation, _, _ in node]
            if found != EDGES or not all(operation in choice for operation in operations):
                raise InputError(f"{string!r} is no cell of NAS-Bench-201", "Expected |op~0|+|op~0|op~1|+|op~0|op~1|op~2|.")
            rows.append([choice[operation] for operation in operations])
        return np.array(rows, dtype=np.int64).reshape(-1, len(EDGES))

    def format(self, architectures: Architectures) -> list[str]:
        """The arch string of each cell, as the benchmark writes it."""
        operations = np.array(OPERATIONS)[architectures]
        edges = [[f"{operation}~{source}" for operation, (source, _) in zip(row, EDGES, strict=True)] for row in operations]
        return ["|" + "|+|".join("|".join(edge) for edge in (row[:1], row[1:3], row[3:])) + "|" for row in edges]
