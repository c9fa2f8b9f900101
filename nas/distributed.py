"""Study 3's parallel search: parameter-server shards, controller replicas, and m children trained for each.

The driver keeps what may not be lost: proposals, rewards, and the parameters after each update. A worker that dies is replaced, and what
it was doing is done again: a child's training at most.
Source: Zoph and Le, 2017, section 3.2, "Accelerate training with parallelism and asynchronous updates"; Dean et al., 2012.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hilnas.errors import InputError
from hilnas.nas.metrics import Budget, Metrics
from hilnas.nas.objective import Objective
from hilnas.nas.search import Predictor
from hilnas.nas.searches.controller import ControllerSettings, reinforce_loss
from hilnas.nas.searches.lstm_policy import LstmPolicy
from hilnas.nas.space import Architectures, SearchSpace
from hilnas.nas.workers import Future, Worker, WorkerDiedError, Workers

Vector = NDArray[np.float32]
"""Parameters or gradients of a policy as one vector, or a shard's part of it."""

RESTARTS = 100
"""Workers that may die before the search gives up: a worker that cannot live would be replaced for ever."""


@dataclass(frozen=True)
class Scale:
    """How a search is spread: S shards, K replicas, m children for each replica's update."""

    shards: int = 1
    replicas: int = 1
    children: int = 4

    def __post_init__(self) -> None:
        if min(self.shards, self.replicas, self.children) < 1:
            raise InputError("a search needs at least one shard, one replica and one child")


@dataclass(frozen=True)
class Child:
    """A trained child: its architecture (D,), its metrics (one row) and its reward, by which replica, in the order of completion."""

    architecture: NDArray[np.int64]
    metrics: Metrics
    reward: float
    replica: int


class Shard:
    """A part of the parameters, with Adam. Gradients are applied as they come, without waiting for other replicas."""

    def __init__(self, values: Vector, learning_rate: float) -> None:
        self._values = torch.nn.Parameter(torch.from_numpy(values.copy()))
        self._adam = torch.optim.Adam([self._values], lr=learning_rate)

    def apply(self, gradient: Vector) -> Vector:
        """Takes one step and returns the new values."""
        self._values.grad = torch.from_numpy(gradient.copy())
        self._adam.step()
        return self.values()

    def values(self) -> Vector:
        """The values now."""
        array: Vector = self._values.detach().numpy().copy()
        return array


class Replica:
    """One controller: draws architectures from parameters it is given, and turns rewards into a gradient."""

    def __init__(self, space: SearchSpace, settings: ControllerSettings, seed: int) -> None:
        self._space = space
        self._settings = settings
        self._seed = seed
        self._policy = LstmPolicy(space, [seed], settings.units, settings.layers, settings.initial)

    def propose(self, parameters: Vector, count: int, update: int) -> Architectures:
        """`count` architectures of this replica's `update`-th batch; the same again if a lost replica has to be asked twice."""
        load_parameters(self._policy, parameters)
        uniforms = np.random.default_rng([self._seed, 1, update]).random((1, count, len(self._space.decisions)))
        rows: Architectures = self._policy.sample(torch.as_tensor(uniforms, dtype=torch.float32))[0].numpy()
        return rows

    def gradient(self, parameters: Vector, architectures: Architectures, advantage: NDArray[np.float64]) -> Vector:
        """REINFORCE's gradient of the loss at `parameters`."""
        load_parameters(self._policy, parameters)
        self._policy.zero_grad()
        live = self._space.live(architectures)
        reinforce_loss(self._policy, architectures[None], live[None], advantage[None], self._settings.entropy).backward()
        parts = [parameter.grad if parameter.grad is not None else torch.zeros_like(parameter) for parameter in self._policy.parameters()]
        array: Vector = torch.cat([part.flatten() for part in parts]).numpy()
        return array


def parameters_of(policy: LstmPolicy) -> Vector:
    """All parameters of a policy as one vector."""
    array: Vector = torch.nn.utils.parameters_to_vector(policy.parameters()).detach().numpy().copy()
    return array


def load_parameters(policy: LstmPolicy, parameters: Vector) -> None:
    """Sets all parameters of a policy from one vector."""
    torch.nn.utils.vector_to_parameters(torch.from_numpy(parameters.copy()), policy.parameters())


@dataclass
class _Turn:
    """Where one replica is: its current batch, and which children of it are still to come."""

    replica: int
    worker: Worker
    update: int = 0
    parameters: Vector = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    architectures: Architectures = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    rewards: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Call:
    """What a future is the answer to, and how to ask again."""

    kind: str
    turn: _Turn
    index: int
    worker: Worker


class DistributedSearch:
    """Trains `total` children, `scale.children` at a time for each of `scale.replicas` controllers that share their parameters.

    With one replica, one shard and local workers this is the plain algorithm. `create_trainer` makes the evaluator of a child
    worker; it is called in the worker's process.
    """

    def __init__(
        self,
        workers: Workers,
        space: SearchSpace,
        create_trainer: Callable[[], Predictor],
        objective: Objective,
        settings: ControllerSettings,
        scale: Scale,
        seed: int,
    ) -> None:
        self._workers = workers
        self._objective = objective
        self._settings = settings
        self._scale = scale
        self._restarts = 0
        self._create_trainer = create_trainer
        self._create_replica = [partial(Replica, space, settings, seed * 1000 + index) for index in range(scale.replicas)]
        initial = parameters_of(LstmPolicy(space, [seed], settings.units, settings.layers, settings.initial))
        self._values = np.array_split(initial, scale.shards)
        self._shards = [self._new_shard(index) for index in range(scale.shards)]
        self._turns = [_Turn(index, workers.start(create)) for index, create in enumerate(self._create_replica)]
        self._trainers = [workers.start(create_trainer) for _ in range(scale.replicas * scale.children)]
        self._baseline = float("nan")
        self._calls: dict[Future, _Call] = {}
        self._unproposed = 0

    @property
    def parameters(self) -> Vector:
        """The policy's parameters now, all shards together."""
        return np.concatenate(self._values)

    def run(self, total: int, done: Callable[[Child], None]) -> None:
        """Trains `total` children and gives each to `done` as it completes.

        Raises:
            InputError: what a child's training raised; more workers died than a healthy machine loses.
        """
        self._unproposed = total
        for turn in self._turns:
            self._propose(turn)
        while self._calls:
            future = self._workers.wait(list(self._calls))
            call = self._calls.pop(future)
            try:
                answer = self._workers.result(future)
            except WorkerDiedError:
                self._replace(call)
                continue
            getattr(self, f"_on_{call.kind}")(call, answer, done)

    def _propose(self, turn: _Turn) -> None:
        """Asks a replica for its next batch, unless all children are spoken for."""
        count = min(self._scale.children, self._unproposed)
        if count == 0:
            return
        self._unproposed -= count
        turn.update += 1
        turn.parameters = self.parameters
        turn.rewards = {}
        self._send(_Call("proposal", turn, count, turn.worker))

    def _on_proposal(self, call: _Call, architectures: Architectures, done: Callable[[Child], None]) -> None:
        call.turn.architectures = architectures
        for index in range(len(architectures)):
            self._send(_Call("child", call.turn, index, self._trainers[call.turn.replica * self._scale.children + index]))

    def _on_child(self, call: _Call, metrics: Metrics, done: Callable[[Child], None]) -> None:
        turn = call.turn
        reward = float(self._objective(metrics, Budget())[0])
        turn.rewards[call.index] = reward
        done(Child(turn.architectures[call.index], metrics, reward, turn.replica))
        if len(turn.rewards) == len(turn.architectures):
            self._send(_Call("gradient", turn, 0, turn.worker))

    def _on_gradient(self, call: _Call, gradient: Vector, done: Callable[[Child], None]) -> None:
        rewards = np.array([call.turn.rewards[index] for index in range(len(call.turn.architectures))])
        decay = self._settings.baseline_decay
        self._baseline = decay * self._known_baseline(rewards) + (1.0 - decay) * rewards.mean()
        for index, part in enumerate(np.array_split(gradient, self._scale.shards)):
            self._values[index] = self._apply(index, part)
        self._propose(call.turn)

    def _known_baseline(self, rewards: NDArray[np.float64]) -> float:
        """The moving average so far; the first batch stands for its own history."""
        return float(rewards.mean()) if np.isnan(self._baseline) else self._baseline

    def _apply(self, index: int, gradient: Vector) -> Vector:
        """Applies a shard's part of a gradient. A dead shard is started again from its last values, without Adam's memory."""
        while True:
            try:
                values: Vector = self._workers.result(self._workers.call(self._shards[index], "apply", gradient))
                return values
            except WorkerDiedError:
                self._count_restart()
                self._shards[index] = self._new_shard(index)

    def _send(self, call: _Call) -> None:
        turn = call.turn
        arguments: tuple[Any, ...]
        if call.kind == "proposal":
            method, arguments = "propose", (turn.parameters, call.index, turn.update)
        elif call.kind == "child":
            method, arguments = "predict", (turn.architectures[call.index : call.index + 1],)
        else:
            rewards = np.array([turn.rewards[index] for index in range(len(turn.architectures))])
            method, arguments = "gradient", (turn.parameters, turn.architectures, rewards - self._known_baseline(rewards))
        self._calls[self._workers.call(call.worker, method, *arguments)] = call

    def _replace(self, call: _Call) -> None:
        """Starts a worker in the place of a dead one and asks it again."""
        self._count_restart()
        if call.kind == "child":
            position = call.turn.replica * self._scale.children + call.index
            self._trainers[position] = worker = self._workers.start(self._create_trainer)
        else:
            call.turn.worker = worker = self._workers.start(self._create_replica[call.turn.replica])
        self._send(_Call(call.kind, call.turn, call.index, worker))

    def _new_shard(self, index: int) -> Worker:
        return self._workers.start(partial(Shard, self._values[index], self._settings.learning_rate))

    def _count_restart(self) -> None:
        self._restarts += 1
        if self._restarts > RESTARTS:
            raise InputError(f"{self._restarts} workers died", "Look at the memory of the machine and at Ray's logs.")
