"""Which architectures a search has already seen, so that none is paid for twice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hilnas.nas.space import Architectures, SearchSpace

ATTEMPTS = 20


class Seen:
    """A set of architectures; equal networks are equal members."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._rows: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, architectures: Architectures) -> None:
        """Remembers a batch."""
        self._rows.update(dict.fromkeys(_rows(self._space.canonical(architectures))))

    def unseen(self, architectures: Architectures) -> NDArray[np.int64]:
        """Indices of the rows that are neither remembered nor repeated within the batch."""
        first: dict[bytes, int] = {}
        for index, row in enumerate(_rows(self._space.canonical(architectures))):
            if row not in self._rows:
                first.setdefault(row, index)
        return np.fromiter(first.values(), dtype=np.int64, count=len(first))

    def draw_unseen(self, count: int, draw: Callable[[int], Architectures]) -> Architectures:
        """Draws until `count` unseen canonical architectures are found; fewer if the space seems exhausted. Remembers them."""
        found: list[Architectures] = []
        missing = count
        for _ in range(ATTEMPTS):
            batch = self._space.canonical(draw(max(missing, 8)))
            batch = batch[self.unseen(batch)[:missing]]
            self.add(batch)
            found.append(batch)
            missing -= len(batch)
            if missing == 0:
                break
        return np.concatenate(found)

    def to_array(self) -> Architectures:
        """The members in the order in which they came, shape (n, D)."""
        members = np.frombuffer(b"".join(self._rows), dtype=np.int64)
        return members.reshape(len(self._rows), len(self._space.decisions)).copy()

    def replace(self, architectures: Architectures) -> None:
        """Forgets everything but `architectures`."""
        self._rows = {}
        self.add(np.asarray(architectures, dtype=np.int64).reshape(-1, len(self._space.decisions)))


def _rows(architectures: Architectures) -> list[bytes]:
    return [row.tobytes() for row in np.ascontiguousarray(architectures)]
