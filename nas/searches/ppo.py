"""Proximal policy optimisation on the architecture environment, by Stable-Baselines3."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat

from hilnas.nas.environment import ArchitectureVecEnv, Task, Walks
from hilnas.nas.search import Predictor
from hilnas.nas.space import SearchSpace
from hilnas.progress import progress

CURVES = {
    "entropy": "train/entropy_loss",
    "policy_gradient_loss": "train/policy_gradient_loss",
    "clip_fraction": "train/clip_fraction",
    "reward": "rollout/ep_rew_mean",
}
"""The training curves that are kept, by the name that Stable-Baselines3 logs them under (entropy is minus its loss)."""


@dataclass(frozen=True)
class PpoTraining:
    """Hyperparameters of proximal policy optimisation (Schulman et al., 2017). The defaults are study 1's."""

    steps: int = 100_000
    learning_rate: float = 3e-4
    entropy: float = 0.01
    clip: float = 0.2
    environments: int = 8
    rollout: int = 2048
    batch: int = 256
    epochs: int = 4
    gamma: float = 0.99
    gae_lambda: float = 0.95


@dataclass(frozen=True)
class TrainedPpo:
    """A trained agent and its curves: (environment step, value) by name."""

    model: Any
    curves: dict[str, tuple[tuple[int, float], ...]]


@dataclass(frozen=True)
class Episode:
    """What a deterministic episode came to."""

    latency_limit: float
    total_reward: float
    architecture: tuple[int, ...]
    accuracy: float
    latency_s: float
    feasible: bool


class _Curves(KVWriter):
    """Keeps what Stable-Baselines3 logs."""

    def __init__(self) -> None:
        self.points: dict[str, list[tuple[int, float]]] = {name: [] for name in CURVES}

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        for name, key in CURVES.items():
            if key in key_values:
                self.points[name].append((step, float(key_values[key]) * (-1.0 if name == "entropy" else 1.0)))

    def close(self) -> None:
        pass


class _Progress(BaseCallback):
    def __init__(self, advance: Any) -> None:
        super().__init__()
        self._advance = advance

    def _on_step(self) -> bool:
        self._advance(self.training_env.num_envs)
        return True


def train_ppo(
    space: SearchSpace,
    predictor: Predictor,
    task: Task,
    training: PpoTraining,
    seed: int,
    tensorboard: Path | None = None,
    callback: BaseCallback | None = None,
) -> TrainedPpo:
    """Trains an agent: `MaskablePPO` where the task masks actions, else `PPO`, with a multilayer perceptron as the policy."""
    environments = ArchitectureVecEnv(space, predictor, task, training.environments, seed)
    algorithm = MaskablePPO if task.masked else PPO
    with warnings.catch_warnings():
        # A smaller last mini-batch is no harm.
        warnings.filterwarnings("ignore", message="You have specified a mini-batch size")
        model = algorithm(
            "MlpPolicy",
            environments,
            learning_rate=training.learning_rate,
            n_steps=training.rollout // training.environments,
            batch_size=training.batch,
            n_epochs=training.epochs,
            gamma=training.gamma,
            gae_lambda=training.gae_lambda,
            clip_range=training.clip,
            ent_coef=training.entropy,
            seed=seed,
            device="cpu",
        )
    curves = _Curves()
    outputs: list[KVWriter] = [curves]
    if tensorboard is not None:
        outputs.append(TensorBoardOutputFormat(str(tensorboard)))
    model.set_logger(Logger(folder=None, output_formats=outputs))
    with progress("training PPO", training.steps) as advance:
        callbacks = [_Progress(advance), *([callback] if callback is not None else [])]
        model.learn(training.steps, callback=callbacks, log_interval=1)
    model.logger.close()
    return TrainedPpo(model, {name: tuple(points) for name, points in curves.points.items()})


def evaluate_ppo(model: Any, space: SearchSpace, predictor: Predictor, task: Task, limits: tuple[float, ...]) -> tuple[Episode, ...]:
    """One deterministic episode under each limit."""
    walks = Walks(space, predictor, task, len(limits))
    observations = walks.reset(np.asarray(limits))
    returns = np.zeros(len(limits))
    while not walks.has_ended():
        masks = {"action_masks": walks.action_masks()} if task.masked else {}
        actions, _ = model.predict(observations, deterministic=True, **masks)
        observations, rewards = walks.step(actions)
        returns += rewards
    finals = [walks.final(index) for index in range(len(limits))]
    return tuple(
        Episode(
            latency_limit=final["latency_limit"],
            total_reward=float(total),
            architecture=tuple(final["architecture"].tolist()),
            accuracy=final["accuracy"],
            latency_s=final["latency_s"],
            feasible=final["feasible"],
        )
        for final, total in zip(finals, returns, strict=True)
    )
