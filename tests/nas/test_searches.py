"""Every search: what it proposes, that it goes on where it stopped, and that it meets budgets better than chance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hilnas.errors import BudgetError, InputError
from hilnas.nas.metrics import Budget, Estimate, Metrics
from hilnas.nas.network import DIGITS
from hilnas.nas.objective import StudyScore, WithMargin, constrained_accuracy, penalised_accuracy
from hilnas.nas.searches.catalogue import SEARCHES, create_search
from hilnas.nas.searches.ga import GeneticSearch
from hilnas.nas.searches.nsga2 import ParetoSearch
from hilnas.nas.searches.pareto import costs, hypervolume, non_dominated
from hilnas.nas.searches.policy import ConditionedPolicy, draw
from hilnas.nas.searches.policy_search import PolicySearch
from hilnas.nas.searches.run import RunSettings, run_search
from hilnas.nas.searches.study_ga import StudyGaSettings, StudyGeneticSearch
from hilnas.nas.space import Architectures
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_work import work

SPACE = McuSpace(DIGITS)
TOP = work(SPACE, (SPACE.choice_counts - 1)[None])[0]
BUDGET = Budget(latency_s=0.45, flash_bytes=0.5)
ASK_TELL = sorted({name for name, entry in SEARCHES.items() if entry.create is not None} - {"controller"})
"""The controller has tests of its own."""


class WorkPredictor:
    """Metrics that follow from what a network computes: more of everything is more accurate and costs more."""

    def predict(self, architectures: Architectures) -> Metrics:
        share = work(SPACE, architectures) / TOP
        kernels = SPACE.canonical(architectures)[:, SPACE.layout.kernel].sum(axis=1)
        accuracy = 0.5 + 0.3 * np.sqrt(share[:, 0]) + 0.1 * share[:, 1] + 0.005 * kernels
        deviation = np.full(len(share), 0.02)
        return Metrics(
            Estimate.exact(accuracy), Estimate(share[:, 0], deviation), Estimate(share[:, 3], deviation), Estimate.exact(share[:, 2])
        )

    def update(self, architectures: Architectures, metrics: Metrics) -> None:
        raise AssertionError("a search does not update predictors")


def run(name: str, seed: int = 0, evaluations: int = 1500, **settings: object) -> float:
    search = create_search(name, SPACE, BUDGET, seed)
    result = run_search(search, WorkPredictor(), BUDGET, RunSettings(evaluations=evaluations, batch=50, **settings))  # type: ignore[arg-type]
    assert result.meets_budget
    assert result.evaluations <= evaluations
    return float(result.metrics.accuracy.mean[0])


@pytest.mark.parametrize("name", ["ga", "rl", "regularised-evolution", "study-ga", "nsga2"])
def test_search_beats_random_search_at_equal_evaluations(name: str) -> None:
    assert run(name) > run("random")


@pytest.mark.parametrize("name", ASK_TELL)
def test_same_seed_gives_the_same_proposals_and_another_seed_others(name: str) -> None:
    def proposals(seed: int) -> Architectures:
        search, predictor = create_search(name, SPACE, BUDGET, seed), WorkPredictor()
        parts = []
        for _ in range(8):
            parts.append(search.ask(40))
            search.tell(parts[-1], predictor.predict(parts[-1]))
        return np.concatenate(parts)

    assert np.array_equal(proposals(3), proposals(3))
    assert not np.array_equal(proposals(3), proposals(4))


@pytest.mark.parametrize("name", ASK_TELL)
def test_restored_search_goes_on_like_the_undisturbed_one(name: str) -> None:
    predictor = WorkPredictor()
    search, other = create_search(name, SPACE, BUDGET, 1), create_search(name, SPACE, BUDGET, 2)
    for _ in range(6):
        batch = search.ask(50)
        search.tell(batch, predictor.predict(batch))
    other.restore(json.loads(json.dumps(search.state(), default=lambda array: array.tolist())))
    for _ in range(3):
        batch, again = search.ask(50), other.ask(50)
        assert np.array_equal(batch, again)
        search.tell(batch, predictor.predict(batch))
        other.tell(again, predictor.predict(again))


@pytest.mark.parametrize("name", ["ga", "rl", "random", "nsga2"])
def test_nothing_is_asked_twice(name: str) -> None:
    search, predictor = create_search(name, SPACE, BUDGET, 0), WorkPredictor()
    known = SPACE.canonical(SPACE.sample(30, np.random.default_rng(9)))
    search.tell(known, predictor.predict(known))
    asked = [known]
    for _ in range(20):
        asked.append(search.ask(40))
        search.tell(asked[-1], predictor.predict(asked[-1]))
    rows = np.concatenate(asked)
    assert len(np.unique(SPACE.canonical(rows), axis=0)) == len(np.unique(known, axis=0)) + 20 * 40


def test_ga_starts_from_warm_nets() -> None:
    best = run_search(GeneticSearch(SPACE, BUDGET, 0), WorkPredictor(), BUDGET, RunSettings(evaluations=2000)).architecture[None]
    warm = GeneticSearch(SPACE, BUDGET, 1, population=10)
    warm.tell(best, WorkPredictor().predict(best))
    assert best.tolist()[0] in np.asarray(warm.state()["parents"]).tolist()


def test_checkpointed_run_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    checkpoint = tmp_path / "search.json"
    whole = run_search(create_search("ga", SPACE, BUDGET, 5), WorkPredictor(), BUDGET, RunSettings(evaluations=3000))
    run_search(create_search("ga", SPACE, BUDGET, 5), WorkPredictor(), BUDGET, RunSettings(evaluations=1500, checkpoint=checkpoint))
    resumed = run_search(
        create_search("ga", SPACE, BUDGET, 6), WorkPredictor(), BUDGET, RunSettings(evaluations=3000, checkpoint=checkpoint)
    )
    assert np.array_equal(whole.architecture, resumed.architecture)
    assert whole.history == resumed.history


def test_checkpoint_of_another_search_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "search.json"
    run_search(create_search("ga", SPACE, BUDGET, 0), WorkPredictor(), BUDGET, RunSettings(evaluations=1000, checkpoint=checkpoint))
    with pytest.raises(InputError, match="GeneticSearch"):
        run_search(create_search("random", SPACE, BUDGET, 0), WorkPredictor(), BUDGET, RunSettings(checkpoint=checkpoint))
    checkpoint.write_text("{")
    with pytest.raises(InputError, match="no checkpoint"):
        run_search(create_search("ga", SPACE, BUDGET, 0), WorkPredictor(), BUDGET, RunSettings(checkpoint=checkpoint))


def test_infeasible_budget_names_the_nearest_net_and_what_it_misses() -> None:
    budget = Budget(latency_s=1e-6)
    result = run_search(create_search("ga", SPACE, budget, 0), WorkPredictor(), budget, RunSettings(evaluations=300))
    assert not result.meets_budget
    with pytest.raises(BudgetError, match=r"the nearest has latency \S+ us \(limit 1 us\)"):
        result.require_feasible(budget)


def test_answers_that_are_not_finite_are_refused() -> None:
    class Broken(WorkPredictor):
        def predict(self, architectures: Architectures) -> Metrics:
            metrics = super().predict(architectures)
            metrics.latency_s.mean[0] = np.nan
            return metrics

    with pytest.raises(InputError, match="latency_s = nan"):
        run_search(create_search("ga", SPACE, BUDGET, 0), Broken(), BUDGET)


def test_early_stop_ends_before_the_evaluations_are_spent() -> None:
    settings = RunSettings(evaluations=100_000, batch=50, early_stop=True)
    assert run_search(create_search("ga", SPACE, BUDGET, 0), WorkPredictor(), BUDGET, settings).evaluations < 100_000


def test_early_stop_goes_on_with_its_window_after_an_interruption(tmp_path: Path) -> None:
    class Interrupted(WorkPredictor):
        answers = 0

        def predict(self, architectures: Architectures) -> Metrics:
            self.answers += len(architectures)
            if self.answers > 1500:
                raise KeyboardInterrupt
            return super().predict(architectures)

    def search() -> GeneticSearch:
        return GeneticSearch(SPACE, BUDGET, 0)

    settings = RunSettings(evaluations=100_000, batch=50, early_stop=True)
    kept = replace(settings, checkpoint=tmp_path / "search.json")
    undisturbed = run_search(search(), WorkPredictor(), BUDGET, settings)
    assert undisturbed.evaluations > 1500
    with pytest.raises(KeyboardInterrupt):
        run_search(search(), Interrupted(), BUDGET, kept)
    assert run_search(search(), WorkPredictor(), BUDGET, kept).evaluations == undisturbed.evaluations


def test_margin_keeps_limits_by_deviations() -> None:
    settings = RunSettings(evaluations=1500, margin=1.645)
    result = run_search(create_search("ga", SPACE, BUDGET, 0, margin=1.645), WorkPredictor(), BUDGET, settings)
    assert result.metrics.latency_s.mean[0] + 1.645 * 0.02 <= BUDGET.latency_s
    metrics = result.metrics
    assert WithMargin(constrained_accuracy, 1.645)(metrics, BUDGET)[0] == metrics.accuracy.mean[0]


def test_pareto_search_covers_more_volume_than_random_search() -> None:
    def volume(name: str) -> float:
        search, predictor = create_search(name, SPACE, Budget(), 0), WorkPredictor()
        answers = []
        for _ in range(20):
            batch = search.ask(50)
            metrics = predictor.predict(batch)
            search.tell(batch, metrics)
            answers.append(costs(metrics))
        return hypervolume(np.concatenate(answers), np.ones(4))

    assert volume("nsga2") > volume("random")


def test_pareto_search_prefers_what_meets_the_budget() -> None:
    search, predictor = ParetoSearch(SPACE, BUDGET, 0, population=20), WorkPredictor()
    for _ in range(20):
        batch = search.ask(20)
        search.tell(batch, predictor.predict(batch))
    assert BUDGET.is_met(predictor.predict(search.state()["parents"])).all()


def test_non_dominated_and_hypervolume_of_a_known_front() -> None:
    values = np.array([[0.25, 0.75], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])
    assert non_dominated(values).tolist() == [0, 1]
    assert hypervolume(values, np.ones(2)) == pytest.approx(2 * 0.25 * 0.75 - 0.25 * 0.25)


def test_networks_are_ranked_by_feasibility_then_overrun_then_accuracy() -> None:
    ones = Estimate.exact(np.ones(4))
    some = Metrics(Estimate.exact([0.0, 0.9, 0.5, 1.0]), Estimate.exact([1.0, 1.0, 1.1, 1.5]), ones, ones)
    budget = Budget(latency_s=1.0)
    assert constrained_accuracy(some, budget) == pytest.approx([0.0, 0.9, -0.1, -0.5])
    assert penalised_accuracy(some, budget) == pytest.approx([0.0, 0.9, 0.4, 0.5])


def test_study_score_by_hand() -> None:
    one = Metrics(Estimate.exact([0.7]), Estimate.exact([1.2]), Estimate.exact([2.0e6]), Estimate.exact([0.8e6]))
    expected = 0.7**5 * np.exp(-4.0 * (2.0 / 1.8 - 1.0)) * np.exp(-0.8 * 0.2)
    assert StudyScore()(one, Budget(1.0, 1.8e6, 0.88e6))[0] == pytest.approx(expected)


def test_study_ga_ends_by_patience_or_generations() -> None:
    for settings, generations in ((StudyGaSettings(population=20, generations=3), 3), (StudyGaSettings(population=20, threshold=9.0), 6)):
        search, predictor = StudyGeneticSearch(SPACE, BUDGET, 0, settings), WorkPredictor()
        asked = 0
        while len(batch := search.ask(7)):
            asked += len(batch)
            search.tell(batch, predictor.predict(batch))
        assert asked == 20 * (generations + 1)


def test_policy_logits_are_linear_between_limits_and_constant_beyond() -> None:
    policy = ConditionedPolicy(SPACE, (1.0, 2.0, 4.0))
    policy.logits = np.random.default_rng(0).normal(size=policy.logits.shape)
    finite = policy.possible
    assert np.allclose(policy.at(1.5)[finite], 0.5 * (policy.logits[0] + policy.logits[1])[finite])
    assert np.allclose(policy.at(3.0)[finite], 0.5 * (policy.logits[1] + policy.logits[2])[finite])
    assert np.array_equal(policy.at(0.1)[finite], policy.logits[0][finite])
    assert np.array_equal(policy.at(9.0)[finite], policy.logits[2][finite])
    with pytest.raises(InputError):
        ConditionedPolicy(SPACE, (2.0, 1.0))


def test_draw_follows_the_probabilities_and_never_takes_an_impossible_choice() -> None:
    chances = np.array([[0.2, 0.8, 0.0], [0.5, 0.25, 0.25]])
    rows = draw(np.broadcast_to(chances, (20_000, 2, 3)), np.random.default_rng(0))
    for column, row in enumerate(chances):
        assert np.bincount(rows[:, column], minlength=3) / 20_000 == pytest.approx(row, abs=0.015)


def test_one_policy_serves_every_limit_and_limits_between() -> None:
    limits, predictor = (0.3, 0.5, 0.7), WorkPredictor()
    budgets = [Budget(latency_s=limit) for limit in limits]
    search = PolicySearch(SPACE, budgets, 0)
    for _ in range(25):
        batch = search.ask(96)
        search.tell(batch, predictor.predict(batch))
    policy = search.settle()
    rng = np.random.default_rng(0)
    deployed = [policy.deploy(predictor, Budget(latency_s=limit), rng).metrics for limit in (0.3, 0.4, 0.5, 0.6, 0.7)]
    accuracies = [float(metrics.accuracy.mean[0]) for metrics in deployed]
    assert all(metrics.latency_s.mean[0] <= limit for metrics, limit in zip(deployed, (0.3, 0.4, 0.5, 0.6, 0.7), strict=True))
    assert accuracies[0] < accuracies[2] < accuracies[4]
    with pytest.raises(BudgetError, match="samples meet latency 1 us"):
        policy.deploy(predictor, Budget(latency_s=1e-6), rng)


def test_between_its_limits_a_policy_answers_with_the_best_that_meets_the_budget() -> None:
    policy = ConditionedPolicy(SPACE, (0.3, 0.7))
    seen: list[Metrics] = []

    class Watched(WorkPredictor):
        def predict(self, architectures: Architectures) -> Metrics:
            seen.append(super().predict(architectures))
            return seen[-1]

    budget = Budget(latency_s=0.4)
    deployed = policy.deploy(Watched(), budget, np.random.default_rng(0))
    met = budget.is_met(seen[-1])
    assert len(np.unique(seen[-1].accuracy.mean[met])) > 2
    assert deployed.metrics.accuracy.mean[0] == seen[-1].accuracy.mean[met].max()


def test_unknown_search_is_refused() -> None:
    with pytest.raises(InputError, match="annealing"):
        create_search("annealing", SPACE, BUDGET, 0)


def test_a_search_that_cannot_be_asked_says_why_and_names_those_that_can() -> None:
    with pytest.raises(InputError, match="ppo cannot be asked: it walks through an environment") as caught:
        create_search("ppo", SPACE, BUDGET, 0)
    assert caught.value.hint == f"Take one of: {', '.join(name for name in SEARCHES if name != 'ppo')}."
