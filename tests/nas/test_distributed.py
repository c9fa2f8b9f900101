"""The distributed search: in this process and on Ray; workers that are killed cost their running child and nothing else."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hilnas.errors import ConnectError, InputError
from hilnas.nas.distributed import Child, DistributedSearch, Scale, load_parameters, parameters_of
from hilnas.nas.metrics import Budget, Estimate, Metrics
from hilnas.nas.searches.controller import Controller, ControllerSettings
from hilnas.nas.searches.lstm_policy import LstmPolicy
from hilnas.nas.space import Architectures
from hilnas.nas.spaces.convolutional import ConvolutionalSpace
from hilnas.nas.spaces.nasbench201 import NasBench201Space
from hilnas.nas.workers import LocalWorkers, RayWorkers, Workers

SPACE = ConvolutionalSpace()
SETTINGS = ControllerSettings(learning_rate=0.02)


def accuracy(architectures: Architectures) -> Metrics:
    """Filters as wide as they come are right."""
    known = Estimate.exact((architectures[:, 1:4] == 3).mean(axis=1))
    return Metrics(known, known, known, known)


class Trainer:
    """Answers at once, and notes every child and its process in a file."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def predict(self, architectures: Architectures) -> Metrics:
        with self._log.open("a") as file:
            file.write(f"{os.getpid()} {architectures.tolist()}\n")
        return accuracy(architectures)

    def update(self, architectures: Architectures, metrics: Metrics) -> None:
        raise AssertionError


def reward(metrics: Metrics, budget: Budget) -> np.ndarray:
    return metrics.accuracy.mean


def search(workers: Workers, log: Path, scale: Scale) -> DistributedSearch:
    return DistributedSearch(workers, SPACE, partial(Trainer, log), reward, SETTINGS, scale, seed=0)


@pytest.fixture(scope="module")
def ray_workers() -> RayWorkers:
    workers = RayWorkers("local")
    yield workers
    workers.close()


@pytest.mark.parametrize("scale", [Scale(), Scale(shards=3, replicas=2, children=4), Scale(shards=1, replicas=3, children=5)])
def test_every_scale_trains_all_children_and_improves(tmp_path: Path, scale: Scale) -> None:
    children: list[Child] = []
    search(LocalWorkers(), tmp_path / "log", scale).run(240, children.append)
    assert len(children) == 240
    assert {child.replica for child in children} == set(range(scale.replicas))
    rewards = [child.reward for child in children]
    assert np.mean(rewards[-60:]) > np.mean(rewards[:60]) + 0.2


def test_one_replica_is_the_plain_algorithm(tmp_path: Path) -> None:
    """The same children to learn from give the parameters that the controller gets, whatever the number of shards."""
    children: list[Child] = []
    distributed = search(LocalWorkers(), tmp_path / "log", Scale(shards=3, children=4))
    distributed.run(40, children.append)
    controller = Controller(SPACE, Budget(), 0, reward, ControllerSettings(learning_rate=0.02, batch=4))
    for start in range(0, 40, 4):
        rows = np.stack([child.architecture for child in children[start : start + 4]])
        controller.tell(rows, accuracy(rows))
    np.testing.assert_allclose(distributed.parameters, parameters_of(controller.policy), atol=2e-4)


def test_parameters_as_a_vector_are_all_of_them() -> None:
    first, second = (LstmPolicy(NasBench201Space(), [seed]) for seed in (0, 1))
    load_parameters(second, parameters_of(first))
    for name, weight in first.weights.items():
        np.testing.assert_array_equal(weight.detach().numpy(), second.weights[name].detach().numpy())


def test_on_ray_it_finds_what_it_finds_in_one_process(tmp_path: Path, ray_workers: RayWorkers) -> None:
    local: list[Child] = []
    remote: list[Child] = []
    search(LocalWorkers(), tmp_path / "local", Scale(children=2)).run(12, local.append)
    search(ray_workers, tmp_path / "remote", Scale(children=2)).run(12, remote.append)
    for start in range(0, 12, 2):
        ours, theirs = ({tuple(child.architecture) for child in children[start : start + 2]} for children in (local, remote))
        assert ours == theirs


def test_a_killed_worker_costs_its_running_child(tmp_path: Path, ray_workers: RayWorkers) -> None:
    """A child worker is killed by the operating system twice on the way: every child comes back, at most two are trained again."""
    log = tmp_path / "log"
    children: list[Child] = []

    def done(child: Child) -> None:
        children.append(child)
        if len(children) in (5, 11):
            os.kill(int(log.read_text().splitlines()[-1].split()[0]), signal.SIGKILL)

    distributed = search(ray_workers, log, Scale(replicas=2, children=1))
    distributed.run(24, done)
    assert len(children) == 24
    assert distributed.restarts == 2
    trained = log.read_text().splitlines()
    assert 24 <= len(trained) <= 26
    assert len({line.split()[0] for line in trained}) == 2 + 2


def test_what_a_childs_training_raises_reaches_the_user(ray_workers: RayWorkers) -> None:
    distributed = DistributedSearch(ray_workers, SPACE, Failing, reward, SETTINGS, Scale(children=1), seed=0)
    with pytest.raises(InputError, match="no such data"):
        distributed.run(1, lambda child: None)


def test_a_trainer_that_cannot_be_made_says_why(ray_workers: RayWorkers) -> None:
    distributed = DistributedSearch(ray_workers, SPACE, unmakeable, reward, SETTINGS, Scale(children=1), seed=0)
    with pytest.raises(InputError, match="no such file"):
        distributed.run(1, lambda child: None)


def test_the_next_search_trains_in_the_same_processes(tmp_path: Path, ray_workers: RayWorkers) -> None:
    processes = []
    for name in ("first", "second"):
        with closing(search(ray_workers, tmp_path / name, Scale(replicas=2, children=1))) as distributed:
            distributed.run(8, lambda child: None)
        processes.append({line.split()[0] for line in (tmp_path / name).read_text().splitlines()})
    assert processes[0] == processes[1]


def unmakeable() -> Trainer:
    raise InputError("no such file")


class Failing:
    def predict(self, architectures: Architectures) -> Metrics:
        raise InputError("no such data set")


def test_a_ray_that_does_not_answer_is_named() -> None:
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1:1"):
        RayWorkers("127.0.0.1:1")


@pytest.mark.parametrize("scale", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_scale_needs_one_of_each(scale: tuple[int, int, int]) -> None:
    with pytest.raises(InputError):
        Scale(*scale)
