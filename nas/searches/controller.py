"""The RNN controller: REINFORCE on an LSTM policy, for one search or for many seeds side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hilnas.errors import InputError
from hilnas.nas.metrics import Budget, Metrics
from hilnas.nas.objective import Objective, constrained_accuracy
from hilnas.nas.searches.lstm_policy import LstmPolicy
from hilnas.nas.space import Architectures, SearchSpace
from hilnas.nas.threads import one_thread


@dataclass(frozen=True)
class ControllerSettings:
    """How a controller learns. The defaults are those of Zoph and Le, 2017: Adam at 6e-4, two layers of 35 units."""

    learning_rate: float = 6e-4
    batch: int = 8
    """Architectures of one gradient step."""
    baseline_decay: float = 0.95
    """Of the exponential moving average of past rewards that is subtracted from each reward."""
    entropy: float = 0.0
    """Weight of the policy's entropy, in units of reward per nat, added to keep exploring."""
    units: int = 35
    layers: int = 2
    initial: float = 0.08


class Controller:
    """Learns a distribution over architectures by REINFORCE with a moving-average baseline.

    With `replicas` > 1, that many independent controllers (seeds `seed`, `seed` + 1, ...) run as one batch: of the rows that
    `ask` returns and `tell` takes, the first n belong to the first replica, the next n to the second, and so on.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget,
        seed: int,
        objective: Objective = constrained_accuracy,
        settings: ControllerSettings | None = None,
        replicas: int = 1,
    ) -> None:
        self.space = space
        self.budget = budget
        self.objective = objective
        self.settings = settings or ControllerSettings()
        self.replicas = replicas
        seeds = range(seed, seed + replicas)
        self.policy = LstmPolicy(space, seeds, self.settings.units, self.settings.layers, self.settings.initial)
        self._adam = torch.optim.Adam(self.policy.parameters(), lr=self.settings.learning_rate)
        self._baseline = np.full(replicas, np.nan)
        self._rngs = [np.random.default_rng([one, 1]) for one in seeds]

    def ask(self, count: int) -> Architectures:
        """`count` architectures drawn from the policy, repetitions included; the same number for each replica."""
        each = self._rows_each(count)
        uniforms = np.stack([rng.random((each, len(self.space.decisions))) for rng in self._rngs])
        with one_thread():
            sampled = self.policy.sample(torch.as_tensor(uniforms, dtype=torch.float32))
        rows: Architectures = sampled.numpy().reshape(count, -1)
        return rows

    def tell(self, architectures: Architectures, metrics: Metrics) -> None:
        """Takes gradient steps of `settings.batch` architectures each, as if the policy had proposed them all.

        Raises:
            InputError: a reward that is not a number.
        """
        each = self._rows_each(len(architectures))
        rewards = self.objective(metrics, self.budget).reshape(self.replicas, each)
        if not np.isfinite(rewards).all():
            raise InputError("a reward is not a finite number", "Check the metrics of the evaluator and the budget.")
        rows = architectures.reshape(self.replicas, each, -1)
        with one_thread():
            for start in range(0, each, self.settings.batch):
                part = slice(start, start + self.settings.batch)
                self._step(rows[:, part], rewards[:, part])

    def state(self) -> dict[str, Any]:
        """The policy's weights, Adam's moments, the baseline and the random generators."""
        moments = self._adam.state_dict()["state"]
        return {
            "weights": {name: value.numpy().copy() for name, value in self.policy.state_dict().items()},
            "adam": [{name: value.numpy().copy() for name, value in moments[index].items()} for index in sorted(moments)],
            "baseline": self._baseline.copy(),
            "rngs": [rng.bit_generator.state for rng in self._rngs],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state()`."""
        self.policy.load_state_dict({name: torch.as_tensor(value) for name, value in state["weights"].items()})
        adam = self._adam.state_dict()
        adam["state"] = {
            index: {name: torch.as_tensor(value) for name, value in moments.items()} for index, moments in enumerate(state["adam"])
        }
        self._adam.load_state_dict(adam)
        self._baseline = np.asarray(state["baseline"], dtype=np.float64)
        for rng, saved in zip(self._rngs, state["rngs"], strict=True):
            rng.bit_generator.state = saved

    def _rows_each(self, count: int) -> int:
        if count % self.replicas:
            raise InputError(f"{count} architectures cannot be shared by {self.replicas} controllers")
        return count // self.replicas

    def _step(self, architectures: NDArray[np.int64], rewards: NDArray[np.float64]) -> None:
        """One gradient step on (R, N, D) architectures and their rewards (R, N)."""
        decay, mean = self.settings.baseline_decay, rewards.mean(axis=1)
        # The first reward is its own baseline's best guess: without a history the batch mean stands in.
        baseline = np.where(np.isnan(self._baseline), mean, self._baseline)
        live = self.space.live(architectures.reshape(-1, architectures.shape[-1])).reshape(architectures.shape)
        self._adam.zero_grad()
        loss = reinforce_loss(self.policy, architectures, live, rewards - baseline[:, None], self.settings.entropy)
        loss.backward()
        self._adam.step()
        self._baseline = decay * baseline + (1.0 - decay) * mean


def reinforce_loss(
    policy: LstmPolicy, architectures: NDArray[np.int64], live: NDArray[np.bool_], advantage: NDArray[np.float64], entropy: float
) -> Tensor:
    """Its gradient is REINFORCE's estimate: -sum over replicas of the mean over N of advantage x log probability of the live decisions.

    `architectures` and `live` have the shape (R, N, D), `advantage` (R, N). Replicas share nothing, so their sum trains each alone.
    Source: Williams, 1992; Zoph and Le, 2017, section 3.2.
    """
    log_probability, entropies = policy.log_probability(torch.as_tensor(architectures))
    mask = torch.as_tensor(live, dtype=torch.float32)
    weight = torch.as_tensor(advantage, dtype=torch.float32)
    gain = weight * (log_probability * mask).sum(-1) + entropy * (entropies * mask).sum(-1)
    return -gain.mean(-1).sum()
