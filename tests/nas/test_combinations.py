"""Any space with any evaluator, any objective and any search: they meet only in four places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hilnas.nas.evaluators.table import load_table
from hilnas.nas.metrics import Budget, Estimate, Metrics
from hilnas.nas.network import DIGITS
from hilnas.nas.objective import constrained_accuracy
from hilnas.nas.rewards import REWARDS
from hilnas.nas.search import Search
from hilnas.nas.searches.catalogue import SEARCHES as CATALOGUE
from hilnas.nas.searches.catalogue import create_search
from hilnas.nas.searches.controller import Controller, ControllerSettings
from hilnas.nas.searches.ga import GeneticSearch
from hilnas.nas.searches.ppo_controller import PpoController, PpoSettings
from hilnas.nas.searches.regularised_evolution import RegularisedEvolution
from hilnas.nas.space import Architectures, SearchSpace
from hilnas.nas.spaces.convolutional import ConvolutionalSpace
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.nasbench201 import NasBench201Space
from hilnas.nas.spaces.recurrent import RecurrentSpace

OBJECTIVES = {"constrained accuracy": constrained_accuracy} | REWARDS
SPACES = {space.name: space for space in (NasBench201Space(), McuSpace(DIGITS), ConvolutionalSpace(), RecurrentSpace())}
SEARCHES: dict[str, Callable[..., Search]] = {
    "controller": lambda space, budget, objective: Controller(space, budget, 0, objective, ControllerSettings(learning_rate=0.02)),
    "ppo": lambda space, budget, objective: PpoController(space, budget, 0, objective, PpoSettings(learning_rate=0.01, epochs=2)),
    "ga": lambda space, budget, objective: GeneticSearch(space, budget, 0, objective, population=20),
    "regularised evolution": lambda space, budget, objective: RegularisedEvolution(space, budget, 0, objective, population=20, sample=5),
}


def evaluate(space: SearchSpace, architectures: Architectures) -> Metrics:
    """Later choices are more accurate and slower: there is something to trade."""
    share = (space.canonical(architectures) / np.maximum(space.choice_counts - 1, 1)).mean(axis=1)
    nothing = Estimate.exact(np.zeros(len(architectures)))
    return Metrics(Estimate.exact(0.3 + 0.6 * share), Estimate.exact(0.005 + 0.02 * share), nothing, nothing)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("space", SPACES)
def test_every_search_runs_on_every_space_under_every_objective(space: str, search: str, objective: str) -> None:
    chosen, budget = SPACES[space], Budget(latency_s=0.015)
    running = SEARCHES[search](chosen, budget, OBJECTIVES[objective])
    scores = []
    for _ in range(8):
        architectures = chosen.validate(running.ask(20))
        metrics = evaluate(chosen, architectures)
        running.tell(architectures, metrics)
        scores.append(OBJECTIVES[objective](metrics, budget))
    assert np.isfinite(scores).all()
    # Eight batches teach a policy little; it must not have been taught the opposite.
    assert np.mean(scores[-3:]) > np.mean(scores[0]) - 0.1


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry.create is not None and name != "study-ga"])
@pytest.mark.parametrize("space", SPACES)
def test_every_search_of_the_catalogue_runs_on_every_space(space: str, name: str) -> None:
    """But for study 1's genetic algorithm, whose operators are made for its own space."""
    chosen = SPACES[space]
    running = create_search(name, chosen, Budget(latency_s=0.015), seed=0)
    for _ in range(3):
        architectures = chosen.validate(running.ask(20))
        running.tell(architectures, evaluate(chosen, architectures))
    assert len(architectures) > 0


@pytest.mark.data
@pytest.mark.parametrize("search", SEARCHES)
def test_searches_find_better_cells_than_they_start_with_in_the_table(data_folder: Path, search: str) -> None:
    evaluator = load_table(data_folder / "nb201" / "nb201_table.csv.gz").evaluator("c100_val_acc_v10", "raspi4")
    budget = Budget(latency_s=evaluator.latency_percentile(50))
    running = SEARCHES[search](NasBench201Space(), budget, REWARDS["log_limit"])
    scores = []
    for _ in range(60):
        architectures = running.ask(20)
        metrics = evaluator.predict(architectures)
        running.tell(architectures, metrics)
        scores.append(REWARDS["log_limit"](metrics, budget).mean())
    assert np.mean(scores[-10:]) > np.mean(scores[0]) + 0.02
