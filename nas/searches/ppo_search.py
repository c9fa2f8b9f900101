"""Proximal policy optimisation under one budget, as a search: the best of all networks that its episodes passed through."""

from __future__ import annotations

import math

from stable_baselines3.common.callbacks import BaseCallback

from hilnas.nas.environment import Task
from hilnas.nas.metrics import Budget, Metrics
from hilnas.nas.objective import WithMargin, penalised_accuracy
from hilnas.nas.predictors.counted import CountedPredictor
from hilnas.nas.search import Predictor
from hilnas.nas.searches.ppo import PpoTraining, train_ppo
from hilnas.nas.searches.run import Best, RunSettings, SearchResult
from hilnas.nas.space import Architectures, SearchSpace


class _Recorder(CountedPredictor):
    """Remembers the best of everything that was predicted."""

    def __init__(self, predictor: Predictor, best: Best) -> None:
        super().__init__(predictor)
        self.best = best
        self.history: list[tuple[int, float]] = []

    def predict(self, architectures: Architectures) -> Metrics:
        metrics = super().predict(architectures)
        self.best.update(architectures, metrics)
        self.history.append((self.evaluations, self.best.accuracy))
        return metrics


class _StopWhenSpent(BaseCallback):
    def __init__(self, recorder: _Recorder, evaluations: int) -> None:
        super().__init__()
        self._recorder, self._evaluations = recorder, evaluations

    def _on_step(self) -> bool:
        # One more step predicts at most one network an environment.
        environments: int = self.training_env.num_envs
        return self._recorder.evaluations + environments <= self._evaluations


def search_with_ppo(space: SearchSpace, predictor: Predictor, budget: Budget, settings: RunSettings, seed: int) -> SearchResult:
    """Trains a masked agent until the evaluations are spent; `settings.checkpoint` and `early_stop` are not used.

    Raises:
        InputError: the predictor answers values that are not finite.
    """
    recorder = _Recorder(predictor, Best(budget, settings.margin))
    objective = WithMargin(penalised_accuracy, settings.margin) if settings.margin else penalised_accuracy
    task = Task(
        limits=(math.inf if budget.latency_s is None else budget.latency_s,),
        flash_bytes=budget.flash_bytes,
        sram_bytes=budget.sram_bytes,
        objective=objective,
        reward_scale=50.0,
        middle_start=True,
        structure_first=True,
        masked=True,
    )
    steps = len(space.decisions)
    training = PpoTraining(steps=steps * settings.evaluations, gamma=1.0, gae_lambda=0.98, environments=16, rollout=16 * steps)
    train_ppo(space, recorder, task, training, seed, settings.tensorboard, _StopWhenSpent(recorder, settings.evaluations))
    best = recorder.best
    assert best.architecture is not None and best.metrics is not None
    architecture = space.canonical(best.architecture[None])[0]
    return SearchResult(architecture, best.metrics, best.rank[0] == 0.0, recorder.evaluations, tuple(recorder.history))
