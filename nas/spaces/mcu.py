"""The space of early-exit networks of inverted residuals: 70 decisions and 198 features at full size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hilnas.nas.network import FULL_SIZE, McuDimensions
from hilnas.nas.space import Architectures, Decision, Features, SearchSpace


@dataclass(frozen=True)
class Layout:
    """The columns of an architecture, one slice per kind of decision, in the order of the decisions."""

    kernel: slice
    expand: slice
    depth: slice
    exit_active: slice
    exit_threshold: slice
    exit_expand: slice
    exit_kernel: slice

    @classmethod
    def of(cls, dimensions: McuDimensions) -> Layout:
        """Kernel and expand ratio of every block slot, then depth and the four exit decisions of every stage."""
        widths = [dimensions.blocks] * 2 + [dimensions.stages] * 5
        stops = np.cumsum(widths).tolist()
        return cls(*(slice(stop - width, stop) for stop, width in zip(stops, widths, strict=True)))


class McuSpace(SearchSpace):
    """Every network of given dimensions.

    Decisions in order: kernel of each block slot; expand ratio of each block slot; depth increment of each stage; then for the
    stages' exits active, entropy threshold (nats, for 100 classes), expand ratio, kernel. The last stage is fixed at its base
    depth and its blocks at the first kernel and expand ratio: its decisions are inert, as in the study, which never encodes them.

    Features are one-hot: kernels and expand ratios of the block slots of all stages but the last, exit thresholds, exit expand
    ratios, exit kernels; all zero for a block beyond its stage's depth and for an inactive exit.
    """

    def __init__(self, dimensions: McuDimensions = FULL_SIZE) -> None:
        self.dimensions = dimensions
        self.name = dimensions.name
        self.layout = Layout.of(dimensions)
        self.decisions = _decisions(dimensions)
        self.stage_of_block = np.repeat(np.arange(dimensions.stages), dimensions.depth_slots)
        self.encoded_blocks = dimensions.blocks - dimensions.depth_slots[-1]
        self._position_in_stage = np.concatenate([np.arange(slots) for slots in dimensions.depth_slots])

    @property
    def structure(self) -> NDArray[np.int64]:
        """The depths and which exits are active."""
        columns = np.arange(len(self.decisions))
        return np.concatenate([columns[self.layout.depth], columns[self.layout.exit_active]])

    def depths(self, architectures: Architectures) -> NDArray[np.int64]:
        """Number of blocks of each stage, shape (N, S)."""
        size = self.dimensions
        depths = np.asarray(size.base_depths) + np.asarray(size.depth_increments)[architectures[:, self.layout.depth]]
        depths[:, -1] = size.base_depths[-1]
        limited: NDArray[np.int64] = np.minimum(depths, size.depth_slots)
        return limited

    def present_blocks(self, architectures: Architectures) -> NDArray[np.bool_]:
        """Which block slots a network has, shape (N, B)."""
        present: NDArray[np.bool_] = self._position_in_stage < self.depths(architectures)[:, self.stage_of_block]
        return present

    def active_exits(self, architectures: Architectures) -> NDArray[np.bool_]:
        """Which exits a network has, shape (N, S)."""
        active: NDArray[np.bool_] = architectures[:, self.layout.exit_active] == 1
        return active

    def live(self, architectures: Architectures) -> NDArray[np.bool_]:
        """Which decisions change the network, shape (N, D): not those of absent blocks, inactive exits or the last stage."""
        layout, live = self.layout, np.ones(architectures.shape, dtype=np.bool_)
        blocks, exits = self.present_blocks(architectures), self.active_exits(architectures)
        blocks[:, self.encoded_blocks :] = False
        live[:, layout.kernel] = live[:, layout.expand] = blocks
        live[:, layout.depth.stop - 1] = False
        live[:, layout.exit_threshold] = live[:, layout.exit_expand] = live[:, layout.exit_kernel] = exits
        return live

    def canonical(self, architectures: Architectures) -> Architectures:
        """The batch with every inert decision set to 0: equal rows are equal networks and have equal features."""
        batch = architectures * self.live(architectures)
        # Increments that reach the stage's last slot alike are one choice, the smallest of them.
        increments = self.depths(architectures) - np.asarray(self.dimensions.base_depths)
        batch[:, self.layout.depth] = np.searchsorted(np.asarray(self.dimensions.depth_increments), increments)
        return batch

    @cached_property
    def _encoded(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The decisions that features encode, in the features' order, and the first feature of each."""
        layout, columns = self.layout, np.arange(len(self.decisions))
        blocks = slice(0, self.encoded_blocks)
        kinds = (columns[layout.kernel][blocks], columns[layout.expand][blocks])
        exits = (columns[layout.exit_threshold], columns[layout.exit_expand], columns[layout.exit_kernel])
        encoded = np.concatenate([*kinds, *exits])
        counts = self.choice_counts[encoded]
        return encoded, np.cumsum(counts) - counts

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """One name per feature: decision=choice."""
        decisions = (self.decisions[column] for column in self._encoded[0])
        return tuple(f"{decision.name}={choice}" for decision in decisions for choice in decision.choices)

    def encode(self, architectures: Architectures) -> Features:
        """One-hot features (N, F), float32; inert decisions leave zeros."""
        blocks = self.present_blocks(architectures)[:, : self.encoded_blocks]
        exits = self.active_exits(architectures)
        encoded, offsets = self._encoded
        rows, columns = np.nonzero(np.concatenate([blocks, blocks, exits, exits, exits], axis=1))
        features = np.zeros((len(architectures), len(self.feature_names)), dtype=np.float32)
        features[rows, offsets[columns] + architectures[rows, encoded[columns]]] = 1.0
        return features


def _decisions(size: McuDimensions) -> tuple[Decision, ...]:
    blocks = [f"stage{stage}.block{slot}" for stage, slots in enumerate(size.depth_slots) for slot in range(slots)]
    stages = range(size.stages)
    return (
        *(Decision(f"{block}.kernel", size.kernels) for block in blocks),
        *(Decision(f"{block}.expand", size.expands) for block in blocks),
        *(Decision(f"stage{stage}.depth", size.depth_increments) for stage in stages),
        *(Decision(f"exit{stage}.active", ("no", "yes")) for stage in stages),
        *(Decision(f"exit{stage}.threshold", size.exit_thresholds) for stage in stages),
        *(Decision(f"exit{stage}.expand", size.exit_expands) for stage in stages),
        *(Decision(f"exit{stage}.kernel", size.exit_kernels) for stage in stages),
    )
