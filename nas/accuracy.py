"""What a subnet gets right in floating point, with its exits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hilnas.exit_rule import first_exit
from hilnas.nas.data import Images, load_data
from hilnas.nas.metrics import FloatArray
from hilnas.nas.space import Architectures
from hilnas.nas.spaces.mcu_network import largest, network_of, smallest
from hilnas.nas.subnet import Subnet
from hilnas.nas.supernet import Supernet
from hilnas.nas.training import Recipe, as_tensor, space_for, train
from hilnas.progress import progress


@dataclass(frozen=True)
class SubnetAccuracy:
    """Accuracy in [0, 1] when exits are taken; that of every output alone; and how often each is taken, the final one last."""

    accuracy: float
    by_output: tuple[float, ...]
    exit_rates: tuple[float, ...]


def calibrated_subnet(supernet: Supernet, architecture: NDArray[np.int64], training: Images) -> Subnet:
    """The subnet of one architecture (D,), ready to use: weights from the supernet, statistics from the training images."""
    subnet = supernet.subnet(network_of(supernet.space, architecture))
    subnet.recalibrate(as_tensor(training))
    return subnet


def subnet_accuracy(subnet: Subnet, images: Images) -> SubnetAccuracy:
    """Evaluates a subnet in floating point."""
    with torch.no_grad():
        logits = [output.double().numpy() for output in subnet.eval()(as_tensor(images))]
    right = np.stack([output.argmax(axis=1) == images.y for output in logits])
    thresholds = subnet.network.thresholds
    taken = first_exit(logits[:-1], thresholds) if thresholds else np.zeros(len(images), dtype=np.int64)
    return SubnetAccuracy(
        accuracy=float(right[taken, np.arange(len(images))].mean()),
        by_output=tuple(map(float, right.mean(axis=1))),
        exit_rates=tuple(map(float, np.bincount(taken, minlength=len(logits)) / len(images))),
    )


def accuracies(supernet: Supernet, architectures: Architectures, training: Images, images: Images) -> FloatArray:
    """Accuracy of every architecture of a batch (N, D) with its exits taken, shape (N,)."""
    measured = np.empty(len(architectures))
    with progress("evaluating subnets", len(architectures)) as advance:
        for index, architecture in enumerate(architectures):
            measured[index] = subnet_accuracy(calibrated_subnet(supernet, architecture, training), images).accuracy
            advance(1)
    return measured


@dataclass(frozen=True)
class SubnetSummary:
    """A subnet of a trained supernet and its accuracy on the validation images, exits taken."""

    name: str
    macs: int
    weights: int
    accuracy: SubnetAccuracy


def train_and_evaluate(data_name: str, recipe: Recipe, checkpoint: Path) -> tuple[SubnetSummary, ...]:
    """Trains a supernet for a data set (`hilnas.nas.training.train`) and evaluates its smallest and its largest network.

    Raises:
        InputError: wrong data, or a checkpoint of another training.
        StoreError: the disk refused.
    """
    data = load_data(data_name, recipe.data_seed)
    space = space_for(data)
    supernet = train(space, data_name, recipe, checkpoint).supernet
    summaries = []
    for name, architecture in (("smallest", smallest(space)), ("largest", largest(space))):
        subnet = calibrated_subnet(supernet, architecture, data.training)
        network = subnet.network
        summaries.append(SubnetSummary(name, network.macs, network.weight_count, subnet_accuracy(subnet, data.validation)))
    return tuple(summaries)
