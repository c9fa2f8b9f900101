"""The network of an architecture of the microcontroller space."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import InputError
from hilnas.exit_rule import scale_threshold
from hilnas.files import read_input
from hilnas.nas.network import ADD, CONV, DENSE, DEPTHWISE, INPUT, MEAN, Layer, Network, Shape
from hilnas.nas.spaces.mcu import McuSpace


def network_of(space: McuSpace, architecture: NDArray[np.int64]) -> Network:
    """Describes the network of one architecture (D,). The last stage's kernel and expand ratio are taken as they are given.

    Raises:
        InputError: not an architecture of the space.
    """
    choices = _Choices(space, space.validate(architecture)[0])
    size = space.dimensions
    builder = _Builder()
    image = _Value(INPUT, (size.resolution, size.resolution, size.channels))
    trunk = builder.convolution(image, "stem", size.stem_width, kernel=3, stride=size.stem_stride)
    trunk = builder.depthwise(trunk, "first.depthwise", kernel=3)
    trunk = builder.convolution(trunk, "first.project", size.first_width, relu6=False)
    outputs, thresholds = [], []
    first_slot = 0
    for stage, (width, slots) in enumerate(zip(size.widths, size.depth_slots, strict=True)):
        for block in range(choices.depth(stage)):
            kernel, expand = choices.block(first_slot + block)
            stride = size.strides[stage] if block == 0 else 1
            trunk = builder.inverted_residual(trunk, f"stage{stage}.block{block}", width, expand, kernel, stride)
        first_slot += slots
        if choices.has_exit(stage):
            outputs.append(builder.exit(trunk, f"exit{stage}", *choices.exit(stage), size.classes).name)
            thresholds.append(scale_threshold(choices.exit_threshold(stage), size.classes))
    outputs.append(builder.classifier(trunk, "final", size.classes).name)
    return Network(image.shape, tuple(builder.layers), tuple(outputs), tuple(thresholds))


def smallest(space: McuSpace) -> NDArray[np.int64]:
    """The architecture with the first choice everywhere, shape (D,): no exits."""
    return np.zeros(len(space.decisions), dtype=np.int64)


def largest(space: McuSpace) -> NDArray[np.int64]:
    """The architecture with the last choice everywhere, shape (D,): all exits."""
    last: NDArray[np.int64] = space.choice_counts - 1
    return last


def read_architecture(space: McuSpace, name_or_path: str) -> NDArray[np.int64]:
    """`smallest`, `largest`, or the architecture in a JSON file: a list of choice indices, or an object with it as `architecture`.

    Raises:
        InputError: unreadable, or not an architecture of the space.
    """
    if name_or_path in _NAMED:
        return _NAMED[name_or_path](space)
    hint = f"Give {', '.join(_NAMED)}, or a .json file with a list of {len(space.decisions)} choice indices."
    if not name_or_path.endswith(".json"):
        raise InputError(f"unknown architecture {name_or_path!r}", hint)
    try:
        content = json.loads(read_input(Path(name_or_path)))
    except ValueError as error:
        raise InputError(f"{name_or_path} is not JSON: {error}", hint) from error
    indices = content.get("architecture") if isinstance(content, dict) else content
    if not isinstance(indices, list) or not all(type(index) is int and abs(index) < 2**31 for index in indices):
        raise InputError(f"{name_or_path} holds no list of choice indices", hint)
    row: NDArray[np.int64] = space.validate(np.array([indices], dtype=np.int64))[0]
    return row


_NAMED: dict[str, Callable[[McuSpace], NDArray[np.int64]]] = {"smallest": smallest, "largest": largest}


@dataclass(frozen=True)
class _Choices:
    """One architecture, read as what its indices choose."""

    space: McuSpace
    row: NDArray[np.int64]

    def depth(self, stage: int) -> int:
        return int(self.space.depths(self.row[None])[0, stage])

    def block(self, slot: int) -> tuple[int, int]:
        """Kernel and expand ratio."""
        size, layout = self.space.dimensions, self.space.layout
        return size.kernels[self.row[layout.kernel][slot]], size.expands[self.row[layout.expand][slot]]

    def has_exit(self, stage: int) -> bool:
        return bool(self.row[self.space.layout.exit_active][stage])

    def exit(self, stage: int) -> tuple[int, int]:
        """Hidden channels and kernel."""
        size, layout = self.space.dimensions, self.space.layout
        hidden = round(size.widths[stage] * size.exit_expands[self.row[layout.exit_expand][stage]])
        return hidden, size.exit_kernels[self.row[layout.exit_kernel][stage]]

    def exit_threshold(self, stage: int) -> float:
        return float(self.space.dimensions.exit_thresholds[self.row[self.space.layout.exit_threshold][stage]])


@dataclass(frozen=True)
class _Value:
    """What a layer makes: the layer's name and the shape."""

    name: str
    shape: Shape

    @property
    def channels(self) -> int:
        return self.shape[-1]


@dataclass
class _Builder:
    """Collects layers in execution order."""

    layers: list[Layer] = field(default_factory=list)

    def convolution(self, source: _Value, name: str, width: int, kernel: int = 1, stride: int = 1, relu6: bool = True) -> _Value:
        return self._append(Layer(name, CONV, (source.name,), source.shape, _strided(source.shape, stride, width), kernel, stride, relu6))

    def depthwise(self, source: _Value, name: str, kernel: int, stride: int = 1) -> _Value:
        shape = _strided(source.shape, stride, source.channels)
        return self._append(Layer(name, DEPTHWISE, (source.name,), source.shape, shape, kernel, stride, relu6=True))

    def inverted_residual(self, source: _Value, name: str, width: int, expand: int, kernel: int, stride: int) -> _Value:
        hidden = self.convolution(source, f"{name}.expand", source.channels * expand)
        filtered = self.depthwise(hidden, f"{name}.depthwise", kernel, stride)
        projected = self.convolution(filtered, f"{name}.project", width, relu6=False)
        if stride != 1 or projected.shape != source.shape:
            return projected
        return self._append(Layer(f"{name}.add", ADD, (source.name, projected.name), source.shape, source.shape))

    def exit(self, source: _Value, name: str, hidden: int, kernel: int, classes: int) -> _Value:
        expanded = self.convolution(source, f"{name}.expand", hidden)
        return self.classifier(self.depthwise(expanded, f"{name}.depthwise", kernel), name, classes)

    def classifier(self, source: _Value, name: str, classes: int) -> _Value:
        pooled = self._append(Layer(f"{name}.mean", MEAN, (source.name,), source.shape, source.shape[-1:]))
        return self._append(Layer(f"{name}.dense", DENSE, (pooled.name,), pooled.shape, (classes,)))

    def _append(self, layer: Layer) -> _Value:
        self.layers.append(layer)
        return _Value(layer.name, layer.output_shape)


def _strided(shape: Shape, stride: int, channels: int) -> Shape:
    """The shape after SAME padding and a stride."""
    return (-(-shape[0] // stride), -(-shape[1] // stride), channels)
