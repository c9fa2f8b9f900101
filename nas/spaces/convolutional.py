"""Study 3's space of convolutional networks: filters of any size, and skip connections between any two layers.

Source: Zoph and Le, "Neural Architecture Search with Reinforcement Learning", 2017, sections 3.1 and 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import InputError
from hilnas.nas.space import Architectures, Connection, Decision, Features, SearchSpace

CONVOLUTION = "convolution"
POOLING = "pooling"
NORMALISATION = "normalisation"
LAYER_TYPES = (CONVOLUTION, POOLING, NORMALISATION)


@dataclass(frozen=True)
class ConvolutionalDimensions:
    """What can be chosen. A single stride or layer type is no decision. `depths` are the numbers of layers, in increasing order."""

    name: str = "convolutional"
    depths: tuple[int, ...] = (2, 3, 4, 5)
    heights: tuple[int, ...] = (1, 3, 5, 7)
    widths: tuple[int, ...] = (1, 3, 5, 7)
    filters: tuple[int, ...] = (4, 8, 16, 24)
    strides: tuple[int, ...] = (1,)
    types: tuple[str, ...] = (CONVOLUTION,)

    def __post_init__(self) -> None:
        if not all((self.depths, self.heights, self.widths, self.filters, self.strides, self.types)):
            raise InputError(f"dimensions {self.name}: every kind of decision needs a choice")
        if list(self.depths) != sorted(set(self.depths)) or self.depths[0] < 1:
            raise InputError(f"dimensions {self.name}: depths are different, increasing and at least 1")
        if any(size % 2 == 0 for size in (*self.heights, *self.widths)):
            raise InputError(f"dimensions {self.name}: heights and widths are odd")
        if unknown := set(self.types) - set(LAYER_TYPES):
            raise InputError(f"dimensions {self.name}: unknown layer types {sorted(unknown)}", f"Known: {', '.join(LAYER_TYPES)}.")


@dataclass(frozen=True)
class ConvolutionalLayer:
    """One layer: sizes and strides (vertical, horizontal); `sources` are the layers that it reads, none for the image."""

    type: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    filters: int
    sources: tuple[int, ...]


class ConvolutionalSpace(SearchSpace):
    """Networks of a varying number of layers, each with the layers it reads.

    The depth is decided first; then, layer by layer: type, height, width, vertical and horizontal stride, filters, and one
    connection from each earlier layer. What lies beyond the depth is inert, and so are the filters of a layer that has none.
    """

    def __init__(self, dimensions: ConvolutionalDimensions | None = None) -> None:
        self.dimensions = dimensions or ConvolutionalDimensions()
        self.name = self.dimensions.name
        decisions: list[Decision] = [Decision("depth", self.dimensions.depths)]
        self._columns: list[dict[str, int]] = []
        self._connections: list[range] = []
        self._layer_of_column = [-1]
        for layer in range(self.dimensions.depths[-1]):
            self._columns.append({name: len(decisions) + offset for offset, name in enumerate(dict(self._choices()))})
            decisions += [Decision(f"layer{layer}.{name}", choices) for name, choices in self._choices()]
            self._connections.append(range(len(decisions), len(decisions) + layer))
            decisions += [Connection(f"layer{layer}.from{source}", ("no", "yes"), anchor=self._anchor(source)) for source in range(layer)]
            self._layer_of_column += [layer] * (len(decisions) - len(self._layer_of_column))
        self.decisions = tuple(decisions)

    def layers(self, architecture: NDArray[np.int64]) -> tuple[ConvolutionalLayer, ...]:
        """The layers of one architecture (D,)."""
        size = self.dimensions
        depth = size.depths[architecture[0]]

        def chosen(layer: int, name: str, choices: tuple[int, ...] | tuple[str, ...]) -> int | str:
            column = self._columns[layer].get(name)
            return choices[0 if column is None else architecture[column]]

        return tuple(
            ConvolutionalLayer(
                type=str(chosen(layer, "type", size.types)),
                kernel=(int(chosen(layer, "height", size.heights)), int(chosen(layer, "width", size.widths))),
                stride=(int(chosen(layer, "stride_down", size.strides)), int(chosen(layer, "stride_across", size.strides))),
                filters=int(chosen(layer, "filters", size.filters)),
                sources=tuple(source for source, column in enumerate(self._connections[layer]) if architecture[column]),
            )
            for layer in range(depth)
        )

    def live(self, architectures: Architectures) -> NDArray[np.bool_]:
        """Decisions of layers within the depth; of a pooling or normalisation layer only those that it has."""
        depth = np.asarray(self.dimensions.depths)[architectures[:, 0]]
        live: NDArray[np.bool_] = np.asarray(self._layer_of_column)[None] < depth[:, None]
        for columns in self._columns:
            if "type" not in columns:
                continue
            types = np.asarray(self.dimensions.types)[architectures[:, columns["type"]]]
            for name in ("height", "width", "stride_down", "stride_across", "filters"):
                if name in columns:
                    has = (types == CONVOLUTION) | ((types == POOLING) & (name in ("height", "width")))
                    live[:, columns[name]] &= has
        return live

    def canonical(self, architectures: Architectures) -> Architectures:
        """The batch with every inert decision set to 0."""
        batch: Architectures = np.where(self.live(architectures), architectures, 0)
        return batch

    def encode(self, architectures: Architectures) -> Features:
        """One-hot decisions; inert ones leave zeros."""
        first = np.cumsum(self.choice_counts) - self.choice_counts
        rows, columns = np.nonzero(self.live(architectures))
        features = np.zeros((len(architectures), len(self.feature_names)), dtype=np.float32)
        features[rows, first[columns] + architectures[rows, columns]] = 1.0
        return features

    def _choices(self) -> Iterator[tuple[str, tuple[int, ...] | tuple[str, ...]]]:
        """Name and choices of each decision about one layer, in order."""
        size = self.dimensions
        if len(size.types) > 1:
            yield "type", size.types
        yield "height", size.heights
        yield "width", size.widths
        if len(size.strides) > 1:
            yield "stride_down", size.strides
            yield "stride_across", size.strides
        yield "filters", size.filters

    def _anchor(self, layer: int) -> int:
        """The column at which a controller has decided a layer: its connections, or the last decision of the first layer."""
        return self._connections[layer].start if layer > 0 else self._columns[0]["filters"]
