"""The experiments of study 1 on its own predictors: samples of what `make acceptance` runs whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from hilnas.errors import InputError
from hilnas.experiments import compare, ga_sweep, ppo_causes, ppo_grid, predictors, reward_grid
from hilnas.experiments.report import Report
from hilnas.experiments.study1 import BEST_KNOWN, LIMITS, budget, open_study
from hilnas.experiments.study1_ppo import ADAPTS, SMALL_NET, VIOLATING_NET, Agent, Judged, curves_figure, train_agents
from hilnas.nas.environment import Task
from hilnas.nas.searches.ppo import Episode, PpoTraining


@pytest.fixture(scope="session")
def seed_folder(data_folder: Path) -> Path:
    """Where the study's predictors are."""
    return data_folder / "seed"


def test_ga_trial_beats_the_published_mean_at_half_its_evaluations(seed_folder: Path) -> None:
    found = compare.run_trial(compare.Trial(1.0, 0, 7_000, seed_folder)).found[0]
    assert found.feasible and found.evaluations == 7_000
    assert 0.7257 < found.accuracy < BEST_KNOWN[1.0] + 0.005


def test_deployed_net_is_what_the_predictor_says_it_is(seed_folder: Path) -> None:
    import numpy as np

    found = compare.run_trial(compare.Trial(1.4, 1, 1_500, seed_folder)).found[0]
    metrics = open_study(seed_folder).predict(np.array([found.architecture]))
    assert metrics.accuracy.mean[0] == pytest.approx(found.accuracy, abs=1e-6)
    assert budget(1.4).is_met(metrics)[0]


def test_policy_trial_counts_every_evaluation_and_meets_every_limit(seed_folder: Path) -> None:
    outcome = compare.run_trial(compare.Trial(None, 0, 12_000, seed_folder))
    assert outcome.evaluations <= 12_000
    assert [one.limit for one in outcome.found] == list(LIMITS)
    assert all(one.feasible for one in (*outcome.found, *outcome.between))
    assert outcome.found[0].accuracy > 0.7257
    accuracies = [one.accuracy for one in outcome.found]
    assert accuracies[0] < accuracies[-1]


def test_study_ga_stays_within_its_evaluations_and_near_its_published_mean(seed_folder: Path) -> None:
    outcomes = [ga_sweep.run_trial(ga_sweep.Trial("published", 2.0, seed, seed_folder)) for seed in (0, 1)]
    assert all(one.feasible and one.evaluations <= 15_500 for one in outcomes)
    assert sum(one.accuracy for one in outcomes) / 2 == pytest.approx(0.7468, abs=0.004)


def test_ppo_experiments_train_judge_and_report(seed_folder: Path, tmp_path: Path) -> None:
    agent = Agent("short", Task(), PpoTraining(steps=512, rollout=256, batch=128), 0, seed_folder)
    judged = train_agents([agent], 1, None)[0]
    assert len(judged.episodes) == 6 and 1 <= judged.measures().networks <= 6
    assert judged.outcome() != ADAPTS
    report = Report("t", {}, figures={"curves": curves_figure([agent], [judged])})
    report.write(tmp_path)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_causes_are_switched_off_alone_and_put_back_alone() -> None:
    rows = ppo_causes.variants(ppo_causes.Options())
    assert len(rows) == 2 * (1 + len(ppo_causes.CAUSES)) + 1 + len(ppo_causes.CAUSES)
    assert rows["study 1, Table 4's training"] == (Task(), PpoTraining())
    task, training = rows["all but: masked actions"]
    assert task.limit_observed and task.middle_start and not task.masked and training.gamma == 1.0


def test_outcomes_name_the_collapses() -> None:
    def judged(*episodes: tuple[int, bool]) -> str:
        return Judged(tuple(Episode(1.0, 0.0, (net,), 0.7, 1.0, met) for net, met in episodes), {}).outcome()

    assert judged((0, True), (0, True)) == SMALL_NET
    assert judged((0, False), (0, False)) == VIOLATING_NET
    assert judged((0, True), (1, True)) == ADAPTS
    assert "violate" in judged((0, False), (1, False)) and "some violate" in judged((0, True), (1, False))


def test_measures_are_of_the_episodes_that_meet_the_budget() -> None:
    episodes = (Episode(1.0, 0.2, (0,), 0.7, 0.9, True), Episode(1.2, 0.4, (1,), 0.6, 1.0, True), Episode(1.4, 0.6, (1,), 0.9, 1.5, False))
    measures = Judged(episodes, {}).measures()
    assert (measures.mean_total_reward, measures.any_violation_rate) == pytest.approx((0.4, 1 / 3))
    assert (measures.valid_mean_accuracy, measures.valid_max_accuracy, measures.networks) == pytest.approx((0.65, 0.7, 2))
    assert Judged(episodes[2:], {}).measures().valid_max_accuracy == 0.0


def test_grids_cover_the_published_settings() -> None:
    assert len(ppo_grid.PUBLISHED) == len(reward_grid.PUBLISHED) == 8


def test_predictors_experiment_learns(seed_folder: Path) -> None:
    report = predictors.run(predictors.Options(samples=600, test=200, epochs=15, predictors=str(seed_folder)))
    rows = {row["metric"]: row for row in report.document["rows"]}
    assert set(rows) == {"accuracy", "latency_s", "flash_bytes", "sram_bytes"}
    assert rows["latency_s"]["pearson"] > 0.8


def test_missing_predictors_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="accuracy_predictor"):
        compare.run(compare.Options(seeds=1, predictors=str(tmp_path)))


@pytest.mark.acceptance
def test_ga_and_rl_reach_their_bars_with_no_violation(seed_folder: Path) -> None:
    report = compare.run(compare.Options(predictors=str(seed_folder)))
    for row in report.document["rows"]:
        assert row["violations"] == 0
        assert row["mean_accuracy"] >= row["bar"], row
        assert row["evaluations"] <= (15_500 if row["method"] == "ga" else 100_000)
    for row in report.document["never_seen"]:
        assert row["violations"] == 0 and row["mean_distance"] > -0.002


@pytest.mark.acceptance
def test_study_ga_reproduces_the_published_means(seed_folder: Path) -> None:
    for row in ga_sweep.run(ga_sweep.Options(predictors=str(seed_folder))).document["rows"]:
        assert row["mean_accuracy"] == pytest.approx(row["published_accuracy"], abs=0.002)


@pytest.mark.acceptance
def test_study_ppo_collapses_both_ways_and_not_with_its_causes_removed(seed_folder: Path) -> None:
    grid = ppo_grid.run(ppo_grid.Options(predictors=str(seed_folder))).document["rows"]
    assert {SMALL_NET, VIOLATING_NET} <= {row["outcome"] for row in grid}
    rows = {row["agent"]: row for row in ppo_causes.run(ppo_causes.Options(predictors=str(seed_folder))).document["rows"]}
    small, violating = (rows[name] for name in ppo_causes.STUDY_AGENTS)
    assert small["outcome"] == SMALL_NET and violating["outcome"] == VIOLATING_NET
    repaired = rows["all switched off"]
    assert repaired["outcome"] == ADAPTS and repaired["valid_mean_accuracy"] > small["valid_mean_accuracy"] + 0.01
    assert all(row["outcome"] != ADAPTS for name, row in rows.items() if name.startswith("study 1"))


@pytest.mark.acceptance
def test_study_ppo_never_adapts_whatever_the_reward(seed_folder: Path) -> None:
    rows = reward_grid.run(reward_grid.Options(predictors=str(seed_folder))).document["rows"]
    assert len(rows) == 8 and all(row["outcome"] != ADAPTS for row in rows)
