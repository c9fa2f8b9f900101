"""The RNN controller trained by proximal policy optimisation instead of REINFORCE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hilnas.nas.metrics import Budget
from hilnas.nas.objective import Objective, constrained_accuracy
from hilnas.nas.searches.controller import Controller, ControllerSettings
from hilnas.nas.space import SearchSpace


@dataclass(frozen=True)
class PpoSettings:
    """How a PPO controller learns: `epochs` clipped steps on every batch."""

    learning_rate: float = 1e-3
    batch: int = 20
    epochs: int = 4
    clip: float = 0.2
    entropy: float = 0.01
    """Weight of the entropy beside an advantage of unit deviation."""


class PpoController(Controller):
    """A `Controller` that reuses each batch: the clipped surrogate objective, advantages normalised over the batch.

    Source: Schulman et al., "Proximal Policy Optimization Algorithms", 2017, eq. 7.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget,
        seed: int,
        objective: Objective = constrained_accuracy,
        settings: PpoSettings | None = None,
        replicas: int = 1,
    ) -> None:
        self.ppo = settings or PpoSettings()
        shared = ControllerSettings(learning_rate=self.ppo.learning_rate, batch=self.ppo.batch, entropy=self.ppo.entropy)
        super().__init__(space, budget, seed, objective, shared, replicas)

    def _step(self, architectures: NDArray[np.int64], rewards: NDArray[np.float64]) -> None:
        deviation = rewards.std(axis=1, keepdims=True)
        advantage = torch.as_tensor((rewards - rewards.mean(axis=1, keepdims=True)) / (deviation + 1e-8), dtype=torch.float32)
        live = self.space.live(architectures.reshape(-1, architectures.shape[-1])).reshape(architectures.shape)
        mask, rows = torch.as_tensor(live, dtype=torch.float32), torch.as_tensor(architectures)
        with torch.no_grad():
            before = (self.policy.log_probability(rows)[0] * mask).sum(-1)
        for _ in range(self.ppo.epochs):
            log_probability, entropies = self.policy.log_probability(rows)
            ratio = torch.exp((log_probability * mask).sum(-1) - before)
            clipped = ratio.clamp(1.0 - self.ppo.clip, 1.0 + self.ppo.clip)
            gain = torch.minimum(ratio * advantage, clipped * advantage) + self.ppo.entropy * (entropies * mask).sum(-1)
            self._adam.zero_grad()
            (-gain.mean(-1).sum()).backward()
            self._adam.step()
