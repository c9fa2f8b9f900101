"""Children of study 3: the network of a convolutional architecture, its training, and an evaluator that trains what it is asked about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hilnas.errors import InputError
from hilnas.nas.data import DataSet, Images
from hilnas.nas.layers import GlobalAveragePool, SameConv2d
from hilnas.nas.metrics import Estimate, Metrics
from hilnas.nas.space import Architectures
from hilnas.nas.spaces.convolutional import CONVOLUTION, POOLING, ConvolutionalLayer, ConvolutionalSpace
from hilnas.nas.threads import one_thread

Size = tuple[int, int, int]
"""Channels, height, width."""


class ConvolutionalChild(nn.Module):
    """A network of an architecture: images (N, C, H, W) -> logits (N, classes).

    A convolution is followed by BatchNorm and ReLU. A layer reads its sources side by side; sources smaller than the largest
    are padded with zeros at their lower right. A layer without sources reads the image; layers that none reads go to the
    classifier together.
    """

    def __init__(self, layers: tuple[ConvolutionalLayer, ...], image: Size, classes: int) -> None:
        super().__init__()
        self.layers = layers
        self.joins = nn.ModuleList()
        self.operators = nn.ModuleList()
        sizes: list[Size] = []
        for layer in layers:
            join, joined = _join([sizes[source] for source in layer.sources] or [image])
            operator, size = _operator(layer, joined)
            self.joins.append(join)
            self.operators.append(operator)
            sizes.append(size)
        read = {source for layer in layers for source in layer.sources}
        self.unread = tuple(index for index in range(len(layers)) if index not in read)
        last, joined = _join([sizes[index] for index in self.unread])
        self.joins.append(last)
        self.pool = GlobalAveragePool()
        self.classifier = nn.Linear(joined[0], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Runs the layers in order."""
        values: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            values.append(self.operators[index](self._joined(index, [values[source] for source in layer.sources] or [images])))
        logits: Tensor = self.classifier(self.pool(self._joined(len(self.layers), [values[index] for index in self.unread])))
        return logits

    def _joined(self, index: int, values: list[Tensor]) -> Tensor:
        pads = self.joins[index]
        assert isinstance(pads, nn.ModuleList)
        padded = [pad(value) for pad, value in zip(pads, values, strict=True)]
        return padded[0] if len(padded) == 1 else torch.cat(padded, 1)


@dataclass(frozen=True)
class ChildRecipe:
    """How a child is trained: Nesterov momentum with a cosine learning rate. Source: Zoph and Le, 2017, section 4.1, at a smaller scale."""

    epochs: int = 5
    batch_size: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    judged_epochs: int = 5
    """The best validation accuracy of that many last epochs counts."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2 or self.judged_epochs < 1 or not self.learning_rate > 0:
            raise InputError("a child needs at least one epoch, two images a batch and a positive learning rate")


@dataclass(frozen=True)
class Trained:
    """A trained child, the best validation accuracy of its last epochs, and the number of its parameters."""

    module: ConvolutionalChild
    accuracy: float
    parameters: int


class ChildTrainer:
    """Trains the children of a space on a data set, on a GPU when there is one. A child's seed is `seed` and its own decisions."""

    def __init__(self, space: ConvolutionalSpace, data: DataSet, recipe: ChildRecipe, seed: int) -> None:
        self.space = space
        self.data = data
        self.recipe = recipe
        self.seed = seed
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def train(self, architecture: NDArray[np.int64]) -> Trained:
        """Trains one child from scratch; equal networks and seeds give equal results on one machine."""
        row = self.space.canonical(architecture[None])[0]
        rng = np.random.default_rng([self.seed, *row.tolist()])
        height, width, channels = self.data.shape
        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**31)))
            child = ConvolutionalChild(self.space.layers(row), (channels, height, width), self.data.classes)
        child.to(self.device)
        with one_thread():
            accuracies = self._fit(child, rng)
        parameters = sum(parameter.numel() for parameter in child.parameters())
        return Trained(child.eval(), max(accuracies[-self.recipe.judged_epochs :]), parameters)

    def predict(self, architectures: Architectures) -> Metrics:
        """Trains a batch (N, D): validation accuracy, flash of one byte a parameter; latency and SRAM are not known (NaN)."""
        trained = [self.train(row) for row in architectures]
        return child_metrics([one.accuracy for one in trained], [one.parameters for one in trained])

    def update(self, architectures: Architectures, metrics: Metrics) -> None:
        """Nothing: training is the measurement."""

    def accuracy(self, child: nn.Module, images: Images) -> float:
        """How often the highest logit of a child is an image's class."""
        inputs, classes = self._tensors(images)
        child.eval()
        with torch.no_grad():
            return float((child(inputs).argmax(1) == classes).float().mean())

    def _fit(self, child: nn.Module, rng: np.random.Generator) -> list[float]:
        """Validation accuracy after each epoch."""
        recipe, (images, classes) = self.recipe, self._tensors(self.data.training)
        optimizer = torch.optim.SGD(
            child.parameters(), recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
        )
        steps = max(len(images) // recipe.batch_size, 1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs * steps)
        accuracies = []
        for _ in range(recipe.epochs):
            child.train()
            order = torch.from_numpy(rng.permutation(len(images))).to(self.device)
            for batch in order[: steps * recipe.batch_size].chunk(steps):
                optimizer.zero_grad()
                functional.cross_entropy(child(images[batch]), classes[batch]).backward()
                optimizer.step()
                schedule.step()
            accuracies.append(self.accuracy(child, self.data.validation))
        return accuracies

    def _tensors(self, images: Images) -> tuple[Tensor, Tensor]:
        inputs = torch.from_numpy(np.ascontiguousarray(images.inputs.transpose(0, 3, 1, 2)))
        return inputs.to(self.device), torch.from_numpy(images.y).to(self.device)


def child_metrics(accuracies: list[float], parameters: list[int]) -> Metrics:
    """Metrics of trained children."""
    unknown = Estimate.exact(np.full(len(accuracies), np.nan))
    return Metrics(Estimate.exact(accuracies), unknown, Estimate.exact(parameters), unknown)


def _join(sizes: list[Size]) -> tuple[nn.ModuleList, Size]:
    """What pads each of several images to the largest, and the size of them all side by side."""
    height, width = max(size[1] for size in sizes), max(size[2] for size in sizes)
    pads = [nn.ZeroPad2d((0, width - size[2], 0, height - size[1])) if size[1:] != (height, width) else nn.Identity() for size in sizes]
    return nn.ModuleList(pads), (sum(size[0] for size in sizes), height, width)


def _operator(layer: ConvolutionalLayer, size: Size) -> tuple[nn.Module, Size]:
    """The module of a layer and the size of its output."""
    channels, height, width = size
    if layer.type == POOLING:
        window = (min(layer.kernel[0], height), min(layer.kernel[1], width))
        return nn.MaxPool2d(window), (channels, height // window[0], width // window[1])
    if layer.type == CONVOLUTION:
        convolution = SameConv2d(channels, layer.filters, layer.kernel, layer.stride)
        module = nn.Sequential(convolution, nn.BatchNorm2d(layer.filters), nn.ReLU())
        return module, (layer.filters, -(-height // layer.stride[0]), -(-width // layer.stride[1]))
    # A depthwise convolution of one pixel gives the normalisation weights to be folded into.
    return nn.Sequential(SameConv2d(channels, channels, 1, groups=channels), nn.BatchNorm2d(channels)), size
