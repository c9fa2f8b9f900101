"""The policy of the RNN controller: an LSTM that makes one decision of an architecture a step.

Several independent policies of the same shape (replicas) run as one: every tensor has the replica as its first axis.
Source: Zoph and Le, "Neural Architecture Search with Reinforcement Learning", 2017, sections 3.1 to 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn

from hilnas.nas.space import Connection, SearchSpace

Decide = Callable[[slice, Tensor], Tensor]
"""Columns of a step and log probabilities (R, N, S, C) to the choices made, shape (R, N, S)."""


@dataclass(frozen=True)
class Step:
    """One step of the LSTM: the columns it decides. `anchors` are the columns attended to; none for a plain choice."""

    columns: slice
    choices: int
    first_token: int
    anchors: tuple[int, ...]


class LstmPolicy(nn.Module):
    """A distribution over the architectures of a space, one for each of R seeds.

    A plain decision is a softmax over its choices, fed back as an embedding. A layer's connections are one step: each earlier
    layer j is read with probability sigmoid(v . tanh(W_prev h_j + W_curr h_i)), fed back as the mean of W_prev h_j over the
    layers that were chosen. Weights start uniform in [-initial, initial].
    """

    def __init__(self, space: SearchSpace, seeds: Sequence[int], units: int = 35, layers: int = 2, initial: float = 0.08) -> None:
        super().__init__()
        self.steps = steps_of(space)
        self.units = units
        tokens = sum(step.choices for step in self.steps if not step.anchors)
        shapes = {"start": (1, units), "embedding": (tokens, units), "head": (units, tokens), "head_bias": (1, tokens)}
        for layer in range(layers):
            shapes |= {f"lstm{layer}": (2 * units, 4 * units), f"lstm{layer}_bias": (1, 4 * units)}
        if any(step.anchors for step in self.steps):
            shapes |= {"previous": (units, units), "current": (units, units), "attention": (units, 1)}
        draws = [np.random.default_rng(seed) for seed in seeds]
        self.weights = nn.ParameterDict()
        for name, shape in shapes.items():
            values = np.stack([rng.uniform(-initial, initial, size=shape) for rng in draws])
            self.weights[name] = nn.Parameter(torch.as_tensor(values, dtype=torch.float32))
        self._layers = layers

    def sample(self, uniforms: Tensor) -> Tensor:
        """Architectures (R, N, D) drawn by inverting the distribution at `uniforms` (R, N, D) in [0, 1)."""

        def draw(columns: slice, log_probability: Tensor) -> Tensor:
            below = log_probability.exp().cumsum(-1)[..., :-1]
            return (uniforms[..., columns, None] >= below).sum(-1)

        with torch.no_grad():
            return self._unroll(uniforms.shape[1], draw)[0]

    def log_probability(self, architectures: Tensor) -> tuple[Tensor, Tensor]:
        """Log probability and entropy of each decision of `architectures` (R, N, D), given those before it: both (R, N, D)."""
        return self._unroll(architectures.shape[1], lambda columns, _: architectures[..., columns])[1:]

    def _unroll(self, count: int, decide: Decide) -> tuple[Tensor, Tensor, Tensor]:
        weights = self.weights
        replicas = weights["start"].shape[0]
        rows = torch.arange(replicas)[:, None]
        zeros = weights["start"].new_zeros(replicas, count, self.units)
        memory = [(zeros, zeros)] * self._layers
        token = weights["start"].expand(replicas, count, self.units)
        hidden_at: dict[int, Tensor] = {}
        decided, log_probabilities, entropies = [], [], []
        for step in self.steps:
            hidden, memory = self._lstm(token, memory)
            hidden_at[step.columns.start] = hidden
            if step.anchors:
                keys = torch.stack([torch.bmm(hidden_at[anchor], weights["previous"]) for anchor in step.anchors], dim=2)
                logits = self._attend(keys, hidden)
            else:
                tokens = slice(step.first_token, step.first_token + step.choices)
                logits = torch.baddbmm(weights["head_bias"][..., tokens], hidden, weights["head"][..., tokens]).unsqueeze(2)
            distribution = torch.log_softmax(logits, dim=-1)
            choices = decide(step.columns, distribution)
            decided.append(choices)
            log_probabilities.append(distribution.gather(-1, choices.unsqueeze(-1)).squeeze(-1))
            entropies.append(-(distribution.exp() * distribution).sum(-1))
            if step.anchors:
                chosen = choices.unsqueeze(-1).to(keys.dtype)
                token = (keys * chosen).sum(2) / chosen.sum(2).clamp(min=1.0)
            else:
                token = weights["embedding"][rows, step.first_token + choices[..., 0]]
        return torch.cat(decided, -1), torch.cat(log_probabilities, -1), torch.cat(entropies, -1)

    def _lstm(self, token: Tensor, memory: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        after = []
        for layer, (hidden, cell) in enumerate(memory):
            gates = torch.baddbmm(self.weights[f"lstm{layer}_bias"], torch.cat([token, hidden], -1), self.weights[f"lstm{layer}"])
            forget, enter, leave, candidate = gates.chunk(4, dim=-1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
            token = torch.sigmoid(leave) * torch.tanh(cell)
            after.append((token, cell))
        return token, after

    def _attend(self, keys: Tensor, hidden: Tensor) -> Tensor:
        """Logits of no and yes for each anchor, shape (R, N, S, 2)."""
        query = torch.bmm(hidden, self.weights["current"]).unsqueeze(2)
        yes = torch.einsum("rnsu,ruo->rnso", torch.tanh(keys + query), self.weights["attention"])
        return torch.cat([torch.zeros_like(yes), yes], -1)


def steps_of(space: SearchSpace) -> tuple[Step, ...]:
    """The steps of a space: one per decision, one for all connections of a layer."""
    runs = groupby(enumerate(space.decisions), key=lambda item: -1 if isinstance(item[1], Connection) else item[0])
    steps: list[Step] = []
    token = 0
    for _, run in runs:
        members = list(run)
        column, decision = members[0]
        anchors = tuple(member.anchor for _, member in members if isinstance(member, Connection))
        steps.append(Step(slice(column, column + len(members)), len(decision.choices), token, anchors))
        token += 0 if anchors else len(decision.choices)
    return tuple(steps)
