"""Every search by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hilnas.errors import InputError
from hilnas.nas.metrics import Budget
from hilnas.nas.objective import Objective, WithMargin, constrained_accuracy
from hilnas.nas.search import Search
from hilnas.nas.space import SearchSpace


@dataclass(frozen=True)
class CatalogueEntry:
    """A search in a line; `create` makes it from space, budget, seed and margin. None: it cannot be asked and told, because it walks
    through an environment (`hilnas.nas.searches.ppo_search`)."""

    summary: str
    create: Callable[[SearchSpace, Budget, int, float], Search] | None


def find_search(name: str) -> CatalogueEntry:
    """The entry of a search.

    Raises:
        InputError: there is none of that name.
    """
    if name not in SEARCHES:
        raise InputError(f"there is no search {name!r}", f"There are: {', '.join(SEARCHES)}.")
    return SEARCHES[name]


def create_search(name: str, space: SearchSpace, budget: Budget, seed: int, margin: float = 0.0) -> Search:
    """A new ask/tell search; with a `margin`, limits are kept by that many standard deviations of the predictor.

    Raises:
        InputError: there is none of that name, or it is none that can be asked.
    """
    entry = find_search(name)
    if entry.create is None:
        askable = (other for other, one in SEARCHES.items() if one.create is not None)
        raise InputError(f"the search {name} cannot be asked: it walks through an environment", f"Take one of: {', '.join(askable)}.")
    return entry.create(space, budget, seed, margin)


def _objective(margin: float) -> Objective:
    return WithMargin(constrained_accuracy, margin) if margin else constrained_accuracy


def _ga(space: SearchSpace, budget: Budget, seed: int, margin: float) -> Search:
    from hilnas.nas.searches.ga import GeneticSearch

    return GeneticSearch(space, budget, seed, _objective(margin))


def _rl(space: SearchSpace, budget: Budget, seed: int, margin: float) -> Search:
    from hilnas.nas.searches.policy_search import PolicySearch

    return PolicySearch(space, [budget], seed, margin=margin)


def _random(space: SearchSpace, budget: Budget, seed: int, margin: float) -> Search:
    from hilnas.nas.searches.random import RandomSearch

    return RandomSearch(space, seed)


def _nsga2(space: SearchSpace, budget: Budget, seed: int, margin: float) -> Search:
    from hilnas.nas.searches.nsga2 import ParetoSearch

    return ParetoSearch(space, budget, seed, margin=margin)


def _regularised_evolution(space: SearchSpace, budget: Budget, seed: int, margin: float) -> Search:
    from hilnas.nas.searches.regularised_evolution import RegularisedEvolution

    return RegularisedEvolution(space, budget, seed, _objective(margin))


def _controller(space: SearchSpace, budget: Budget, seed: int, margin: float) -> Search:
    from hilnas.nas.searches.controller import Controller

    return Controller(space, budget, seed, _objective(margin))


def _study_ga(space: SearchSpace, budget: Budget, seed: int, margin: float) -> Search:
    from hilnas.nas.searches.study_ga import StudyGeneticSearch

    return StudyGeneticSearch(space, budget, seed)


SEARCHES = {
    "ga": CatalogueEntry("elitist genetic algorithm with feasibility ranking", _ga),
    "rl": CatalogueEntry("categorical policy with self-imitation", _rl),
    "random": CatalogueEntry("uniform samples", _random),
    "nsga2": CatalogueEntry("Pareto search over accuracy, latency, flash and SRAM", _nsga2),
    "regularised-evolution": CatalogueEntry("ageing evolution", _regularised_evolution),
    "controller": CatalogueEntry("RNN controller, REINFORCE", _controller),
    "ppo": CatalogueEntry("proximal policy optimisation, one decision a step", None),
    "study-ga": CatalogueEntry("study 1's genetic algorithm", _study_ga),
}
"""Every search by name."""
