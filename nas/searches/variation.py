"""How children come from parents: crossover and mutation that respect which decisions live.

A canonical architecture has 0 in every decision that is not live. Inherited as it is, that 0 would let a block or an exit enter a
network only with its first choices, which are seldom good ones: a change that needs two steps, the first of them downhill.
"""

from __future__ import annotations

import numpy as np

from hilnas.nas.space import Architectures, SearchSpace


def crossover(space: SearchSpace, mothers: Architectures, fathers: Architectures, rng: np.random.Generator) -> Architectures:
    """Every decision from either parent of the row, equally likely; from the only one in which it lives, where there is one."""
    in_mother, in_father = space.live(mothers), space.live(fathers)
    from_father = np.where(in_mother == in_father, rng.random(mothers.shape) < 0.5, in_father)
    return np.where(from_father, fathers, mothers)


def mutate(space: SearchSpace, architectures: Architectures, rate: float, rng: np.random.Generator) -> Architectures:
    """Every decision drawn anew with probability `rate`, and so is every decision that comes to life by that."""
    drawn = rng.random(architectures.shape) < rate
    children = np.where(drawn, space.sample(len(architectures), rng), architectures)
    revived = space.live(children) & ~space.live(architectures)
    return np.where(revived, space.sample(len(architectures), rng), children)
