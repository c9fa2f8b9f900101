"""The architecture environment: Gymnasium's and Stable-Baselines3's contracts, and that many environments equal one."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as check_gymnasium
from stable_baselines3.common.env_checker import check_env as check_sb3

from hilnas.nas.environment import ArchitectureEnv, ArchitectureVecEnv, Task, Walks
from hilnas.nas.metrics import Budget, Estimate, Metrics
from hilnas.nas.network import DIGITS
from hilnas.nas.objective import penalised_accuracy
from hilnas.nas.predictors.counted import CountedPredictor
from hilnas.nas.searches.ppo import CURVES, PpoTraining, evaluate_ppo, train_ppo
from hilnas.nas.searches.ppo_search import search_with_ppo
from hilnas.nas.searches.run import RunSettings
from hilnas.nas.space import Architectures
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_work import work

SPACE = McuSpace(DIGITS)
TOP = work(SPACE, (SPACE.choice_counts - 1)[None])[0]
STUDY = Task(limits=(0.3, 0.5, 0.8), flash_bytes=0.6, sram_bytes=0.9)
IMPROVED = Task(
    limits=(0.3, 0.5, 0.8),
    flash_bytes=0.6,
    sram_bytes=None,
    objective=penalised_accuracy,
    reward_scale=50.0,
    middle_start=True,
    structure_first=True,
    masked=True,
    limit_observed=True,
)
TASKS = pytest.mark.parametrize("task", [STUDY, IMPROVED], ids=["study", "improved"])


class WorkPredictor:
    """More computation is more accurate and costs more."""

    def predict(self, architectures: Architectures) -> Metrics:
        share = work(SPACE, architectures) / TOP
        exact = Estimate.exact
        return Metrics(exact(0.5 + 0.4 * np.sqrt(share[:, 0])), exact(share[:, 0]), exact(share[:, 3]), exact(share[:, 2]))

    def update(self, architectures: Architectures, metrics: Metrics) -> None:
        raise AssertionError("an environment does not update predictors")


@TASKS
@pytest.mark.filterwarnings("ignore:.*infinity.*", "ignore::UserWarning")
def test_environment_passes_both_checkers(task: Task) -> None:
    env = ArchitectureEnv(SPACE, WorkPredictor(), task)
    check_gymnasium(env, skip_render_check=True)
    check_sb3(env)


@TASKS
def test_vectorised_environment_equals_the_single_one_step_by_step(task: Task) -> None:
    many = ArchitectureVecEnv(SPACE, WorkPredictor(), task, 5, seed=3)
    observations = many.reset()
    singles = [ArchitectureEnv(SPACE, WorkPredictor(), task) for _ in range(5)]
    limits = many.walks.limits.copy()
    for index, env in enumerate(singles):
        assert np.allclose(env.reset(options={"latency_limit": limits[index]})[0], observations[index])
    rng = np.random.default_rng(0)
    for step in range(many.walks.steps):
        masks = many.action_masks()
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])
        observations, rewards, ended, infos = many.step(actions)
        for index, env in enumerate(singles):
            assert np.array_equal(env.action_masks(), masks[index])
            observation, reward, terminated, truncated, info = env.step(actions[index])
            expected = infos[index]["terminal_observation"] if terminated else observations[index]
            assert np.allclose(observation, expected)
            assert rewards[index] == pytest.approx(reward, rel=1e-5, abs=1e-7)
            assert (terminated, truncated) == (step == many.walks.steps - 1, False) == (bool(ended[index]), False)
            if terminated:
                assert np.array_equal(info["architecture"], infos[index]["architecture"])


@TASKS
def test_rewards_of_an_episode_sum_to_the_change_of_the_objective(task: Task) -> None:
    walks = Walks(SPACE, WorkPredictor(), task, 3)
    walks.reset(np.array([0.3, 0.5, 0.8]))
    start = task.objective(walks.metrics, task.budget(0.5))[1]
    total, rng = 0.0, np.random.default_rng(1)
    while not walks.has_ended():
        total += walks.step(rng.integers(0, walks.actions, 3))[1][1]
    end = task.objective(WorkPredictor().predict(walks.architectures), task.budget(0.5))[1]
    assert total == pytest.approx(task.reward_scale * (end - start))


def test_actions_beyond_the_choices_are_the_last_choice_and_masks_offer_live_decisions_only() -> None:
    walks = Walks(SPACE, WorkPredictor(), STUDY, 1)
    walks.reset(np.array([0.5]))
    while not walks.has_ended():
        assert walks.action_masks().all()
        walks.step(np.array([walks.actions - 1]))
    assert np.array_equal(walks.architectures[0], SPACE.choice_counts - 1)

    masked = Walks(SPACE, WorkPredictor(), IMPROVED, 1)
    masked.reset(np.array([0.5]))
    while not masked.has_ended():
        column = masked.order[masked.step_index]
        offered = int(masked.action_masks().sum())
        assert offered == (SPACE.choice_counts[column] if SPACE.live(masked.architectures)[0, column] else 1)
        masked.step(np.array([0]))


def test_unchanged_networks_are_not_evaluated_again() -> None:
    counted = CountedPredictor(WorkPredictor())
    walks = Walks(SPACE, counted, STUDY, 1)
    walks.reset(np.array([0.5]))
    while not walks.has_ended():
        walks.step(np.array([walks.actions - 1]))
    assert counted.evaluations == 1


def test_ppo_trains_reproducibly_and_logs_its_curves(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("scalars")
    training = PpoTraining(steps=512, rollout=256, batch=64, environments=4)
    runs = [train_ppo(SPACE, WorkPredictor(), IMPROVED, training, 0, folder) for _ in range(2)]
    assert set(runs[0].curves) == set(CURVES)
    assert runs[0].curves["entropy"] and runs[0].curves == runs[1].curves
    episodes = [evaluate_ppo(run.model, SPACE, WorkPredictor(), IMPROVED, IMPROVED.limits) for run in runs]
    assert episodes[0] == episodes[1]
    assert [one.latency_limit for one in episodes[0]] == list(IMPROVED.limits)
    assert list(folder.glob("events.out.tfevents.*"))


def test_ppo_as_a_search_spends_no_more_than_its_evaluations() -> None:
    budget = Budget(latency_s=0.6)
    result = search_with_ppo(SPACE, WorkPredictor(), budget, RunSettings(evaluations=1500), 0)
    assert result.meets_budget and result.evaluations <= 1500
