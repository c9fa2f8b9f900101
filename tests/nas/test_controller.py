"""The RNN controller and its policy, on the spaces at hand."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import torch

from hilnas.errors import InputError
from hilnas.nas.metrics import Budget, Estimate, Metrics
from hilnas.nas.searches.controller import Controller, ControllerSettings, reinforce_loss
from hilnas.nas.searches.lstm_policy import LstmPolicy, steps_of
from hilnas.nas.space import Architectures, Connection, Decision, Features, SearchSpace
from hilnas.nas.spaces.nasbench201 import NasBench201Space

FAST = ControllerSettings(learning_rate=0.02, batch=10)


@dataclass
class ConnectedSpace(SearchSpace):
    """Three layers of one decision each; the second may read the first, the third both."""

    name = "connected"
    decisions = (
        Decision("layer0", (1, 2, 3)),
        Decision("layer1", (1, 2)),
        Connection("layer1.from0", ("no", "yes"), anchor=0),
        Decision("layer2", (1, 2)),
        Connection("layer2.from0", ("no", "yes"), anchor=0),
        Connection("layer2.from1", ("no", "yes"), anchor=2),
    )

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(decision.name for decision in self.decisions)

    def encode(self, architectures: Architectures) -> Features:
        return architectures.astype(np.float32)


SPACES = [NasBench201Space(), ConnectedSpace()]


def accuracy_only(values: np.ndarray) -> Metrics:
    rest = Estimate.exact(np.ones(len(values)))
    return Metrics(Estimate.exact(values), rest, rest, rest)


def matches(architectures: Architectures, target: np.ndarray) -> Metrics:
    return accuracy_only((architectures == target).mean(axis=1))


def all_architectures(space: SearchSpace) -> torch.Tensor:
    return torch.tensor(list(product(*(range(count) for count in space.choice_counts))))[None]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_the_policy_is_a_distribution_over_the_whole_space(space: SearchSpace) -> None:
    policy = LstmPolicy(space, [3], initial=0.5)
    with torch.no_grad():
        log_probability, entropy = policy.log_probability(all_architectures(space))
    assert log_probability.sum(-1).exp().sum().item() == pytest.approx(1.0, abs=1e-4)
    assert (entropy >= 0).all()


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_samples_are_as_frequent_as_the_policy_says(space: SearchSpace) -> None:
    policy = LstmPolicy(space, [5], initial=0.8)
    count = 20_000
    uniforms = np.random.default_rng(0).random((1, count, len(space.decisions)), dtype=np.float32)
    sampled = policy.sample(torch.from_numpy(uniforms))
    space.validate(sampled[0].numpy())
    with torch.no_grad():
        every = all_architectures(space)
        probability = policy.log_probability(every)[0].sum(-1).exp()[0].numpy()
    for column, choices in enumerate(space.choice_counts):
        for choice in range(choices):
            expected = probability[every[0, :, column].numpy() == choice].sum()
            assert (sampled[0, :, column].numpy() == choice).mean() == pytest.approx(expected, abs=0.015)


def test_all_connections_of_a_layer_are_one_step() -> None:
    steps = steps_of(ConnectedSpace())
    assert [(step.columns.start, step.columns.stop) for step in steps] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 6)]
    assert [step.anchors for step in steps] == [(), (), (0,), (), (0, 2)]


def test_the_loss_has_the_gradient_of_the_expected_reward() -> None:
    """REINFORCE over every architecture, weighted by its probability, is the exact gradient of the mean reward."""
    space = ConnectedSpace()
    policy = LstmPolicy(space, [1], initial=0.5)
    every = all_architectures(space)
    reward = torch.rand(1, every.shape[1], generator=torch.Generator().manual_seed(0))
    probability = policy.log_probability(every)[0].sum(-1).exp()
    (probability * reward).sum().backward()
    exact = {name: weight.grad.clone() for name, weight in policy.weights.items()}
    policy.zero_grad()
    weights = (reward * probability.detach() * every.shape[1]).numpy().astype(np.float64)
    reinforce_loss(policy, every.numpy(), np.ones(every.shape, dtype=bool), weights, entropy=0.0).backward()
    for name, weight in policy.weights.items():
        torch.testing.assert_close(-weight.grad, exact[name], atol=1e-5, rtol=1e-3)


def test_decisions_that_are_not_live_have_no_gradient() -> None:
    space = ConnectedSpace()
    policy = LstmPolicy(space, [1])
    live = np.zeros((1, 4, 6), dtype=bool)
    reinforce_loss(policy, np.zeros((1, 4, 6), dtype=np.int64), live, np.ones((1, 4)), entropy=1.0).backward()
    assert all(weight.grad is None or not weight.grad.any() for weight in policy.parameters())


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_it_learns_what_is_rewarded(space: SearchSpace) -> None:
    target = space.choice_counts - 1
    controller = Controller(space, Budget(), seed=0, settings=FAST)
    first = None
    for _ in range(150):
        architectures = controller.ask(10)
        controller.tell(architectures, matches(architectures, target))
        first = matches(architectures, target).accuracy.mean.mean() if first is None else first
    assert matches(controller.ask(100), target).accuracy.mean.mean() > 0.95 > 0.7 > first


def test_replicas_learn_as_they_would_alone() -> None:
    space, target = NasBench201Space(), np.array([1, 2, 3, 4, 0, 1])
    together = Controller(space, Budget(), seed=7, settings=FAST, replicas=3)
    alone = [Controller(space, Budget(), seed=7 + index, settings=FAST) for index in range(3)]
    for _ in range(5):
        rows = together.ask(30)
        together.tell(rows, matches(rows, target))
        for index, controller in enumerate(alone):
            own = controller.ask(10)
            np.testing.assert_array_equal(own, rows[10 * index : 10 * index + 10])
            controller.tell(own, matches(own, target))
    for name, weight in together.policy.weights.items():
        for index, controller in enumerate(alone):
            torch.testing.assert_close(weight[index], controller.policy.weights[name][0], atol=1e-3, rtol=0)


def test_it_goes_on_from_its_state_as_if_never_stopped() -> None:
    space, target = ConnectedSpace(), np.array([2, 1, 1, 0, 1, 0])
    first, second = (Controller(space, Budget(), seed=seed, settings=FAST) for seed in (0, 99))

    def step(controller: Controller) -> Architectures:
        rows = controller.ask(10)
        controller.tell(rows, matches(rows, target))
        return rows

    for _ in range(3):
        step(first)
    second.restore(first.state())
    for _ in range(3):
        np.testing.assert_array_equal(step(first), step(second))


def test_a_reward_that_is_no_number_is_refused_and_changes_nothing() -> None:
    controller = Controller(NasBench201Space(), Budget(), seed=0)
    before = controller.state()["weights"]
    rows = controller.ask(4)
    with pytest.raises(InputError, match="not a finite number"):
        controller.tell(rows, accuracy_only(np.array([0.1, np.nan, 0.3, 0.4])))
    for name, value in controller.state()["weights"].items():
        np.testing.assert_array_equal(value, before[name])
