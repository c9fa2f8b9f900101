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

from hilnas.errors import InputError, TargetError
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
class _Slot:
    """The place of a worker: who is in it, and how to fill it again."""

    create: Callable[[], Any]
    worker: Worker


@dataclass(frozen=True)
class _Call:
    """What a future is the answer to: enough to ask again, and who gets the answer."""

    slot: _Slot
    method: str
    arguments: tuple[Any, ...]
    receive: Callable[[Any], None]


@dataclass
class _Batch:
    """One update of a replica: the parameters it started from, its children, and their rewards so far by index."""

    replica: int
    number: int
    parameters: Vector
    architectures: Architectures
    rewards: dict[int, float] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every child is done."""
        return len(self.rewards) == len(self.architectures)

    def reward_array(self) -> NDArray[np.float64]:
        """The rewards in the order of the architectures."""
        return np.array([self.rewards[index] for index in range(len(self.architectures))])


class DistributedSearch:
    """Trains children, `scale.children` at a time for each of `scale.replicas` controllers that share their parameters.

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
        initial = parameters_of(LstmPolicy(space, [seed], settings.units, settings.layers, settings.initial))
        self._values = np.array_split(initial, scale.shards)
        self._shards = [self._new_shard(index) for index in range(scale.shards)]
        self._replicas = [self._slot(partial(Replica, space, settings, 1000 * seed + index)) for index in range(scale.replicas)]
        self._trainers = [[self._slot(create_trainer) for _ in range(scale.children)] for _ in range(scale.replicas)]
        self._calls: dict[Future, _Call] = {}
        self._baseline = float("nan")
        self._unproposed = 0
        self._restarts = 0

    @property
    def parameters(self) -> Vector:
        """The policy's parameters now, all shards together."""
        return np.concatenate(self._values)

    @property
    def restarts(self) -> int:
        """Workers that died so far, and were replaced."""
        return self._restarts

    def close(self) -> None:
        """Gives the workers back, in the order in which they were started: the next search's do the same work in the same processes."""
        slots = [*self._replicas, *(slot for slots in self._trainers for slot in slots)]
        for worker in (*self._shards, *(slot.worker for slot in slots)):
            self._workers.release(worker)

    def run(self, total: int, done: Callable[[Child], None]) -> None:
        """Trains `total` children and gives each to `done` as it completes.

        Raises:
            HilnasError: what a child's training raised.
            TargetError: more workers died than a healthy machine loses.
        """
        self._unproposed = total
        for replica in range(self._scale.replicas):
            self._propose(replica, 1, done)
        while self._calls:
            future = self._workers.wait(list(self._calls))
            call = self._calls.pop(future)
            try:
                answer = self._workers.result(future)
            except WorkerDiedError:
                self._refill(call.slot)
                self._submit(call)
            else:
                call.receive(answer)

    def _propose(self, replica: int, number: int, done: Callable[[Child], None]) -> None:
        """Asks a replica for its next batch, unless all children are spoken for."""
        count = min(self._scale.children, self._unproposed)
        if count == 0:
            return
        self._unproposed -= count
        parameters = self.parameters

        def receive(architectures: Architectures) -> None:
            batch = _Batch(replica, number, parameters, architectures)
            for index in range(count):
                trained = partial(self._on_trained, batch, index, done)
                self._submit(_Call(self._trainers[replica][index], "predict", (architectures[index : index + 1],), trained))

        self._submit(_Call(self._replicas[replica], "propose", (parameters, count, number), receive))

    def _on_trained(self, batch: _Batch, index: int, done: Callable[[Child], None], metrics: Metrics) -> None:
        batch.rewards[index] = reward = float(self._objective(metrics, Budget())[0])
        done(Child(batch.architectures[index], metrics, reward, batch.replica))
        if batch.complete:
            rewards = batch.reward_array()
            arguments = (batch.parameters, batch.architectures, rewards - self._baseline_for(rewards))
            learned = partial(self._on_gradient, batch, done)
            self._submit(_Call(self._replicas[batch.replica], "gradient", arguments, learned))

    def _on_gradient(self, batch: _Batch, done: Callable[[Child], None], gradient: Vector) -> None:
        rewards, decay = batch.reward_array(), self._settings.baseline_decay
        self._baseline = decay * self._baseline_for(rewards) + (1.0 - decay) * float(rewards.mean())
        parts = np.array_split(gradient, self._scale.shards)
        self._values = [self._apply(index, part) for index, part in enumerate(parts)]
        self._propose(batch.replica, batch.number + 1, done)

    def _apply(self, index: int, gradient: Vector) -> Vector:
        """The values of a shard after a step: microseconds beside a child's training, so it is waited for."""
        while True:
            try:
                values: Vector = self._workers.result(self._workers.call(self._shards[index], "apply", gradient))
                return values
            except WorkerDiedError:
                self._count_restart()
                self._shards[index] = self._new_shard(index)

    def _new_shard(self, index: int) -> Worker:
        """A shard from its last values, without Adam's moments."""
        return self._workers.start(partial(Shard, self._values[index], self._settings.learning_rate))

    def _baseline_for(self, rewards: NDArray[np.float64]) -> float:
        """The moving average so far; the first batch stands for its own history."""
        return float(rewards.mean()) if np.isnan(self._baseline) else self._baseline

    def _submit(self, call: _Call) -> None:
        self._calls[self._workers.call(call.slot.worker, call.method, *call.arguments)] = call

    def _slot(self, create: Callable[[], Any]) -> _Slot:
        return _Slot(create, self._workers.start(create))

    def _refill(self, slot: _Slot) -> None:
        """Starts a worker in the place of a dead one."""
        self._count_restart()
        slot.worker = self._workers.start(slot.create)

    def _count_restart(self) -> None:
        self._restarts += 1
        if self._restarts > RESTARTS:
            raise TargetError(f"{self._restarts} workers died", "Look at the memory of the machine and at Ray's logs.")
