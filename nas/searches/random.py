"""Random search: uniform samples without repetition."""

from __future__ import annotations

from typing import Any

import numpy as np

from hilnas.nas.metrics import Metrics
from hilnas.nas.searches.memory import Seen
from hilnas.nas.space import Architectures, SearchSpace


class RandomSearch:
    """Proposes architectures drawn uniformly over all decisions, none twice."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self.space = space
        self._rng = np.random.default_rng(seed)
        self._seen = Seen(space)

    def ask(self, count: int) -> Architectures:
        """`count` canonical architectures, fewer when the space seems exhausted."""
        return self._seen.draw_unseen(count, lambda missing: self.space.sample(missing, self._rng))

    def tell(self, architectures: Architectures, metrics: Metrics) -> None:
        """Remembers that these are known; random search learns nothing from their metrics."""
        self._seen.add(architectures)

    def state(self) -> dict[str, Any]:
        """The random generator and what was seen."""
        return {"rng": self._rng.bit_generator.state, "seen": self._seen.to_array()}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state()`."""
        self._rng.bit_generator.state = state["rng"]
        self._seen.replace(state["seen"])
