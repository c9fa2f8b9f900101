"""Architecture search as a Markov decision process: one decision a step. One environment for Gymnasium, many at once for SB3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from hilnas.nas.metrics import Budget, FloatArray, Metrics
from hilnas.nas.objective import STUDY_FLASH_BYTES, STUDY_LIMITS, STUDY_SRAM_BYTES, Objective, StudyScore
from hilnas.nas.search import Predictor
from hilnas.nas.space import Architectures, SearchSpace

Observation = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """What is decided, from where, under which limits and for which reward. The defaults are study 1's.

    `limits`: the latency limits of the episodes, in seconds. `reward_scale` multiplies the change of the objective. `middle_start`:
    episodes start from the middle choices instead of the largest network. `structure_first`: the space's `structure` is decided first.
    `masked`: actions without a choice and inert decisions are not offered, instead of being taken for the last choice.
    `limit_observed`: the observation ends with the limit, piecewise linear over `limits`, and the step, one-hot.
    """

    limits: tuple[float, ...] = STUDY_LIMITS
    flash_bytes: float | None = STUDY_FLASH_BYTES
    sram_bytes: float | None = STUDY_SRAM_BYTES
    objective: Objective = field(default_factory=StudyScore)
    reward_scale: float = 1.0
    middle_start: bool = False
    structure_first: bool = False
    masked: bool = False
    limit_observed: bool = False

    def budget(self, limit: float) -> Budget:
        """The budget of an episode with this latency limit."""
        return Budget(limit, self.flash_bytes, self.sram_bytes)


class Walks:
    """N episodes in lockstep: the state of the decision process and its one implementation.

    Observation: features, accuracy, the slack 1 - value / limit of latency, flash and SRAM, progress; see `Task` for more.
    An episode has one step per decision, in a fixed order. The reward is the change of the objective.
    """

    def __init__(self, space: SearchSpace, predictor: Predictor, task: Task, count: int) -> None:
        self.space, self.predictor, self.task, self.count = space, predictor, task, count
        self.order = _order(space, task.structure_first)
        self.actions = int(space.choice_counts.max())
        self.steps = len(self.order)
        start = (space.choice_counts - 1) // 2 if task.middle_start else space.choice_counts - 1
        self._start: Architectures = np.tile(start, (count, 1))
        self.architectures: Architectures = self._start.copy()
        self.limits = np.full(count, task.limits[0])
        self.step_index = 0

    @property
    def observation_size(self) -> int:
        """Length of an observation."""
        extra = len(self.task.limits) + self.steps if self.task.limit_observed else 0
        return len(self.space.feature_names) + 5 + extra

    def reset(self, limits: FloatArray) -> Observation:
        """Starts episodes under `limits` (N,), in seconds; returns the observations (N, O)."""
        self.limits = limits
        self.architectures = self._start.copy()
        self.step_index = 0
        self._features = self.space.encode(self.architectures)
        self.metrics = self.predictor.predict(self.architectures)
        self._score = self._objective()
        return self._observe()

    def step(self, actions: NDArray[np.int64]) -> tuple[Observation, FloatArray]:
        """Takes one decision in every episode: actions (N,) to observations (N, O) and rewards (N,)."""
        column = self.order[self.step_index]
        self.architectures[:, column] = np.minimum(actions, self.space.choice_counts[column] - 1)
        self.step_index += 1
        self._predict_changed()
        before, self._score = self._score, self._objective()
        return self._observe(), self.task.reward_scale * (self._score - before)

    def has_ended(self) -> bool:
        """Whether every decision is taken."""
        return self.step_index == self.steps

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are offered, shape (N, A)."""
        masks = np.ones((self.count, self.actions), dtype=np.bool_)
        if self.task.masked and not self.has_ended():
            column = self.order[self.step_index]
            masks[:] = np.arange(self.actions) < self.space.choice_counts[column]
            masks[~self.space.live(self.architectures)[:, column], 1:] = False
        return masks

    def final(self, index: int) -> dict[str, Any]:
        """What one ended episode came to."""
        limit = float(self.limits[index])
        metrics = self.metrics[index : index + 1]
        return {
            "architecture": self.space.canonical(self.architectures[index : index + 1])[0],
            "latency_limit": limit,
            "feasible": bool(self.task.budget(limit).is_met(metrics)[0]),
            "score": float(self._score[index]),
        } | {name: float(estimate.mean[0]) for name, estimate in metrics}

    def _predict_changed(self) -> None:
        """Asks the predictor about the networks that the last decision changed; the others keep their metrics."""
        features = self.space.encode(self.architectures)
        changed = np.any(features != self._features, axis=1)
        self._features = features
        if changed.any():
            new = self.predictor.predict(self.architectures[changed])
            merged: dict[str, Any] = {}
            for (name, old), (_, fresh) in zip(self.metrics, new, strict=True):
                mean, std = old.mean.copy(), old.std.copy()
                mean[changed], std[changed] = fresh.mean, fresh.std
                merged[name] = replace(old, mean=mean, std=std)
            self.metrics = Metrics(**merged)

    def _objective(self) -> FloatArray:
        scores = np.empty(self.count)
        for limit in np.unique(self.limits):
            rows = self.limits == limit
            scores[rows] = self.task.objective(self.metrics[rows], self.task.budget(float(limit)))
        return scores

    def _observe(self) -> Observation:
        task, metrics = self.task, self.metrics
        slacks = [1.0 - metrics.latency_s.mean / self.limits]
        for limit, estimate in ((task.flash_bytes, metrics.flash_bytes), (task.sram_bytes, metrics.sram_bytes)):
            slacks.append(np.zeros(self.count) if limit is None else 1.0 - estimate.mean / limit)
        last = min(self.step_index, self.steps - 1)
        progress = np.full(self.count, last / (self.steps - 1))
        parts = [self._features, np.stack([metrics.accuracy.mean, *slacks, progress], axis=1)]
        if task.limit_observed:
            step = np.zeros((self.count, self.steps))
            step[:, last] = 1.0
            parts += [np.stack([np.interp(self.limits, task.limits, knot) for knot in np.eye(len(task.limits))], axis=1), step]
        return np.concatenate(parts, axis=1).astype(np.float32)


def _order(space: SearchSpace, structure_first: bool) -> NDArray[np.int64]:
    """The columns in the order in which they are decided."""
    columns = np.arange(len(space.decisions))
    if not structure_first:
        return columns
    return np.concatenate([space.structure, np.setdiff1d(columns, space.structure)])


class ArchitectureEnv(gymnasium.Env[Observation, np.int64]):
    """One episode at a time, after Gymnasium's interface. `reset(options={"latency_limit": seconds})` chooses the limit."""

    def __init__(self, space: SearchSpace, predictor: Predictor, task: Task | None = None) -> None:
        self._walks = Walks(space, predictor, task or Task(), 1)
        self.action_space = gymnasium.spaces.Discrete(self._walks.actions)
        self.observation_space = _observation_space(self._walks)  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode, by default under a random one of the task's limits."""
        super().reset(seed=seed)
        limit = (options or {}).get("latency_limit", self.np_random.choice(self._walks.task.limits))
        return self._walks.reset(np.array([limit], dtype=np.float64))[0], {}

    def step(self, action: np.int64) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Takes the next decision; the last step's `info` says what the episode came to."""
        observations, rewards = self._walks.step(np.array([action]))
        ended = self._walks.has_ended()
        return observations[0], float(rewards[0]), ended, False, self._walks.final(0) if ended else {}

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are offered now, shape (A,): sb3-contrib's convention."""
        masks: NDArray[np.bool_] = self._walks.action_masks()[0]
        return masks


class ArchitectureVecEnv(VecEnv):
    """Many `ArchitectureEnv` in lockstep with one prediction a step, after Stable-Baselines3's interface."""

    render_mode: str | None = None

    def __init__(self, space: SearchSpace, predictor: Predictor, task: Task, count: int, seed: int) -> None:
        self.walks = Walks(space, predictor, task, count)
        super().__init__(count, _observation_space(self.walks), gymnasium.spaces.Discrete(self.walks.actions))
        self._rng = np.random.default_rng(seed)
        self._actions: NDArray[np.int64] = np.zeros(count, dtype=np.int64)
        self._returns = np.zeros(count)

    def reset(self) -> Observation:
        """Starts an episode in every environment, each under a random one of the task's limits."""
        self._returns = np.zeros(self.num_envs)
        return self.walks.reset(self._rng.choice(self.walks.task.limits, size=self.num_envs))

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Takes note of the actions (N,)."""
        self._actions = actions

    def step_wait(self) -> tuple[Observation, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Takes the decisions; at the end of the episodes the observations are those of the next ones, as SB3 expects."""
        observations, rewards = self.walks.step(self._actions)
        self._returns += rewards
        ended = self.walks.has_ended()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if ended:
            for index in range(self.num_envs):
                infos[index] = self.walks.final(index) | {
                    "terminal_observation": observations[index],
                    "episode": {"r": float(self._returns[index]), "l": self.walks.steps, "t": 0.0},
                }
            observations = self.reset()
        return observations, rewards.astype(np.float32), np.full(self.num_envs, ended), infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are offered, shape (N, A)."""
        return self.walks.action_masks()

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute once per environment: all share it."""
        return [getattr(self, attr_name)] * len(self._indices(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets the attribute that all environments share."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Calls a batched method once and hands out its rows."""
        rows: Sequence[Any] = getattr(self, method_name)(*method_args, **method_kwargs)
        return [rows[index] for index in self._indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No environment is wrapped; episodes report their own returns, so a Monitor is not needed."""
        return [False] * len(self._indices(indices))

    def _indices(self, indices: Any) -> list[int]:
        return list(self._get_indices(indices))


def _observation_space(walks: Walks) -> gymnasium.spaces.Box:
    return gymnasium.spaces.Box(-np.inf, np.inf, (walks.observation_size,), np.float32)
