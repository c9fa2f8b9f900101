"""Training of the supernet: sandwich rule, in-place distillation, exits trained jointly; resumable to the same result."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hilnas.errors import InputError
from hilnas.files import read_input, write_atomically
from hilnas.nas.data import DIGITS_NAME, DataSet, Images, load_data
from hilnas.nas.network import DIGITS, McuDimensions
from hilnas.nas.space import Architectures
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_network import largest, network_of, smallest
from hilnas.nas.supernet import Supernet
from hilnas.nas.threads import threads
from hilnas.progress import progress

_FORMAT = 1


@dataclass(frozen=True)
class Recipe:
    """How a supernet is trained. Every step trains the largest, the smallest and `random_subnets` other networks.

    `exit_weight` is the weight of each exit's loss beside the final one's; `data_seed` splits the data set. `threads` belongs
    to the recipe because sums in floating point depend on how many threads add them up.
    """

    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 1e-2
    weight_decay: float = 1e-3
    random_subnets: int = 2
    exit_weight: float = 0.3
    seed: int = 0
    data_seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if min(self.epochs, self.threads, self.batch_size - 1, self.random_subnets + 1) < 1 or not self.learning_rate > 0:
            raise InputError("training needs at least one epoch, one thread, two images a batch and a positive learning rate")


@dataclass(frozen=True)
class TrainedSupernet:
    """A supernet with where it comes from: the data set's name (`load_data` loads it), the recipe, the epochs done."""

    supernet: Supernet
    data: str
    recipe: Recipe
    epochs: int


def space_for(data: DataSet) -> McuSpace:
    """The small instance of the space, with the size and classes of a data set's images.

    Raises:
        InputError: the images are not square.
    """
    height, width, channels = data.shape
    if height != width:
        raise InputError(f"{data.name} has images of {height} x {width}; the space is of square ones", "Pad or crop them.")
    if data.name == DIGITS_NAME:
        return McuSpace(DIGITS)
    return McuSpace(replace(DIGITS, name=f"mcu-{data.name}", resolution=height, channels=channels, classes=data.classes))


def train(space: McuSpace, data_name: str, recipe: Recipe, checkpoint: Path) -> TrainedSupernet:
    """Trains a supernet and writes `checkpoint` after every epoch; goes on from it if it is there.

    The same space, data and recipe give the same weights, interrupted or not.

    Raises:
        InputError: the data do not fit the space, or the checkpoint is of another training.
        StoreError: the disk refused.
    """
    data = load_data(data_name, recipe.data_seed)
    size = space.dimensions
    if data.shape != (size.resolution, size.resolution, size.channels) or data.classes != size.classes:
        raise InputError(
            f"{data_name} has images {data.shape} of {data.classes} classes; the space {space.name} needs "
            f"{(size.resolution, size.resolution, size.channels)} and {size.classes}"
        )
    torch.manual_seed(recipe.seed)
    supernet = Supernet(space)
    optimizer = _optimizer(supernet, recipe)
    first_epoch = _resume(checkpoint, supernet, optimizer, _identity(space, data_name, recipe)) if checkpoint.exists() else 0
    steps = len(data.training) // recipe.batch_size
    with threads(recipe.threads), progress("training the supernet", (recipe.epochs - first_epoch) * steps) as advance:
        for epoch in range(first_epoch, recipe.epochs):
            _train_epoch(supernet, optimizer, data.training, recipe, epoch, advance)
            _save(checkpoint, supernet, optimizer, _identity(space, data_name, recipe), epoch + 1)
    return TrainedSupernet(supernet, data_name, recipe, recipe.epochs)


def load_supernet(path: Path) -> TrainedSupernet:
    """Loads what `train` wrote.

    Raises:
        InputError: unreadable, or not a supernet of this version. Nothing in the file is executed.
    """
    content = _read(path)
    try:
        sizes: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in content["space"].items()}
        dimensions = McuDimensions(**sizes)
        supernet = Supernet(McuSpace(dimensions))
        supernet.load_state_dict(content["weights"])
        return TrainedSupernet(supernet, str(content["data"]), Recipe(**content["recipe"]), int(content["epochs"]))
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path} is not a supernet of this version: {error}", "Train it again with `hilnas train`.") from error


def _optimizer(supernet: Supernet, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; scales, shifts, biases and the kernels' matrices, which start as identities, do not decay."""
    named = list(supernet.named_parameters())
    decaying = [parameter for name, parameter in named if name.endswith(".weight")]
    others = [parameter for name, parameter in named if not name.endswith(".weight")]
    groups = [{"params": decaying, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def _train_epoch(
    supernet: Supernet, optimizer: torch.optim.Optimizer, images: Images, recipe: Recipe, epoch: int, advance: Callable[[int], None]
) -> None:
    # One generator per epoch: a resumed training draws what an uninterrupted one would have drawn.
    rng = np.random.default_rng((recipe.seed, epoch))
    batches = list(_batches(images, recipe.batch_size, rng))
    for index, (inputs, classes) in enumerate(batches):
        done = (epoch + index / len(batches)) / recipe.epochs
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * 0.5 * (1.0 + cos(pi * done))
        optimizer.zero_grad(set_to_none=True)
        _sandwich_step(supernet, inputs, classes, recipe, rng)
        optimizer.step()
        advance(1)


def _sandwich_step(supernet: Supernet, inputs: Tensor, classes: Tensor, recipe: Recipe, rng: np.random.Generator) -> None:
    """Adds up the gradients of one step (Yu and Huang, "Universally Slimmable Networks", 2019): the largest network learns the
    classes, every other one what the largest says."""
    space = supernet.space
    outputs = supernet(inputs, network_of(space, largest(space)))
    _joint_loss(outputs, classes, recipe.exit_weight).backward()
    teacher = outputs[-1].detach().softmax(dim=1)
    for architecture in _with_all_exits(space, np.stack([smallest(space), *space.sample(recipe.random_subnets, rng)])):
        outputs = supernet(inputs, network_of(space, architecture))
        _joint_loss(outputs, teacher, recipe.exit_weight).backward()


def _joint_loss(outputs: tuple[Tensor, ...], target: Tensor, exit_weight: float) -> Tensor:
    """Cross-entropy of the final output, plus that of every exit with a weight (Teerapittayanon et al., "BranchyNet", 2016)."""
    exits = [functional.cross_entropy(logits, target) for logits in outputs[:-1]]
    return functional.cross_entropy(outputs[-1], target) + exit_weight * sum(exits, torch.zeros(()))


def _with_all_exits(space: McuSpace, architectures: Architectures) -> Architectures:
    """The networks that searches meet (inert decisions at 0), each with every exit."""
    batch = architectures.copy()
    batch[:, space.layout.exit_active] = 1
    return space.canonical(batch)


def _batches(images: Images, size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches of equal size, (N, C, H, W) and (N,); what is left over is left out."""
    inputs, classes = as_tensor(images), torch.from_numpy(images.y)
    order = torch.from_numpy(rng.permutation(len(images)))
    for batch in order.split(size):
        if len(batch) == size:
            yield inputs[batch], classes[batch]


def as_tensor(images: Images) -> Tensor:
    """What a torch network reads: (N, C, H, W) float32, channels last in memory, which trains twice as fast on a CPU."""
    return torch.from_numpy(images.inputs).permute(0, 3, 1, 2)


def _identity(space: McuSpace, data_name: str, recipe: Recipe) -> dict[str, Any]:
    """What makes a training this one and no other, as values that a checkpoint can hold."""
    dimensions = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(space.dimensions).items()}
    return {"format": _FORMAT, "space": dimensions, "data": data_name, "recipe": asdict(recipe)}


def _save(path: Path, supernet: Supernet, optimizer: torch.optim.Optimizer, identity: dict[str, Any], epochs: int) -> None:
    buffer = io.BytesIO()
    torch.save({**identity, "epochs": epochs, "weights": supernet.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    write_atomically(path, buffer.getvalue())


def _resume(path: Path, supernet: Supernet, optimizer: torch.optim.Optimizer, identity: dict[str, Any]) -> int:
    """Restores a training and returns the epochs done."""
    content = _read(path)
    other = [name for name, value in identity.items() if content.get(name) != value]
    if other:
        raise InputError(f"{path} is of a training with another {', '.join(other)}", "Choose another file, or remove it to start over.")
    try:
        supernet.load_state_dict(content["weights"])
        optimizer.load_state_dict(content["optimizer"])
        return int(content["epochs"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} is not a whole checkpoint: {error}", "Remove it to start over.") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(io.BytesIO(read_input(path)), weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"{path} is not a supernet", "Train one with `hilnas train`.") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise InputError(f"{path} is not a supernet of this version", "Train one with `hilnas train`.")
    return content
