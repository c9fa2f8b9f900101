"""Every search by name."""

from __future__ import annotations

from collections.abc import Callable

from hilnas.errors import InputError
from hilnas.nas.metrics import Budget
from hilnas.nas.objective import Objective, WithMargin, constrained_accuracy
from hilnas.nas.search import Search
from hilnas.nas.space import SearchSpace

SEARCHES = {
    "ga": "elitist genetic algorithm with feasibility ranking",
    "rl": "categorical policy with self-imitation",
    "random": "uniform samples",
    "nsga2": "Pareto search over accuracy, latency, flash and SRAM",
    "regularised-evolution": "ageing evolution",
    "controller": "RNN controller, REINFORCE",
    "ppo": "proximal policy optimisation, one decision a step",
    "study-ga": "study 1's genetic algorithm",
}
"""Every search with its line of help."""


def create_search(name: str, space: SearchSpace, budget: Budget, seed: int, margin: float = 0.0) -> Search:
    """A new ask/tell search; with a `margin`, limits are kept by that many standard deviations of the predictor.

    Proximal policy optimisation walks through an environment and is not one of them: `hilnas.nas.searches.ppo_search`.

    Raises:
        InputError: there is none of that name.
    """
    objective: Objective = WithMargin(constrained_accuracy, margin) if margin else constrained_accuracy
    creators: dict[str, Callable[[], Search]] = {
        "ga": lambda: _ga(space, budget, seed, objective),
        "rl": lambda: _rl(space, budget, seed, margin),
        "random": lambda: _random(space, seed),
        "nsga2": lambda: _nsga2(space, budget, seed, margin),
        "regularised-evolution": lambda: _regularised_evolution(space, budget, seed, objective),
        "controller": lambda: _controller(space, budget, seed, objective),
        "study-ga": lambda: _study_ga(space, budget, seed),
    }
    if name not in creators:
        raise InputError(f"there is no search {name!r}", f"There are: {', '.join(SEARCHES)}.")
    return creators[name]()


def _ga(space: SearchSpace, budget: Budget, seed: int, objective: Objective) -> Search:
    from hilnas.nas.searches.ga import GeneticSearch

    return GeneticSearch(space, budget, seed, objective)


def _rl(space: SearchSpace, budget: Budget, seed: int, margin: float) -> Search:
    from hilnas.nas.searches.policy_search import PolicySearch

    return PolicySearch(space, [budget], seed, margin=margin)


def _random(space: SearchSpace, seed: int) -> Search:
    from hilnas.nas.searches.random import RandomSearch

    return RandomSearch(space, seed)


def _nsga2(space: SearchSpace, budget: Budget, seed: int, margin: float) -> Search:
    from hilnas.nas.searches.nsga2 import ParetoSearch

    return ParetoSearch(space, budget, seed, margin=margin)


def _regularised_evolution(space: SearchSpace, budget: Budget, seed: int, objective: Objective) -> Search:
    from hilnas.nas.searches.regularised_evolution import RegularisedEvolution

    return RegularisedEvolution(space, budget, seed, objective)


def _controller(space: SearchSpace, budget: Budget, seed: int, objective: Objective) -> Search:
    from hilnas.nas.searches.controller import Controller

    return Controller(space, budget, seed, objective)


def _study_ga(space: SearchSpace, budget: Budget, seed: int) -> Search:
    from hilnas.nas.searches.study_ga import StudyGeneticSearch

    return StudyGeneticSearch(space, budget, seed)
