"""The largest network of the full-size space that a board's flash holds, all exits active: chosen exactly, with weights but untrained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hilnas.firmware.fusion import fuse
from hilnas.firmware.lower import lower
from hilnas.hil.loop.weightless_graph import weightless_graph
from hilnas.nas.network import FULL_SIZE
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_network import largest, network_of

SPACE = McuSpace(FULL_SIZE)
CHOICES = tuple(product(range(len(FULL_SIZE.kernels)), range(len(FULL_SIZE.expands))))
"""Kernel and expand ratio, of a block or of an exit."""


@dataclass(frozen=True)
class Part:
    """A piece of a network: bytes of its constants in flash, multiply-accumulates, and (column, choice) of its decisions."""

    constant_bytes: int = 0
    macs: int = 0
    decisions: tuple[tuple[int, int], ...] = ()

    def __add__(self, other: Part) -> Part:
        return Part(self.constant_bytes + other.constant_bytes, self.macs + other.macs, self.decisions + other.decisions)


def largest_within(constant_bytes: int) -> NDArray[np.int64]:
    """The architecture (D,) of the most multiply-accumulates whose constants take at most so many bytes, all exits active.

    Work and constants of a network are sums over its blocks and exits, so it is enough to keep, stage after stage, the combinations that
    no other one of no more bytes exceeds.
    """
    size, layout = FULL_SIZE, SPACE.layout
    columns = np.arange(len(SPACE.decisions))
    costs = _costs()
    networks = [sum((costs[name, CHOICES[0]] for name in ("stem", "first", "final")), Part())]
    for stage, (base, slots) in enumerate(zip(size.base_depths, size.depth_slots, strict=True)):
        first_slot = sum(size.depth_slots[:stage])
        ways: list[Part] = []
        for index, increment in enumerate(size.depth_increments):
            stages = [Part(decisions=((columns[layout.depth][stage], index),))]
            for block in range(min(base + increment, slots)):
                kernel, expand = columns[layout.kernel][first_slot + block], columns[layout.expand][first_slot + block]
                # The last stage's block is fixed.
                choices = CHOICES if stage + 1 < size.stages else CHOICES[:1]
                blocks = (
                    costs[f"stage{stage}.block{block}", one] + Part(decisions=((kernel, one[0]), (expand, one[1]))) for one in choices
                )
                stages = _joined(stages, blocks, constant_bytes)
            ways += stages
        kernel, expand = columns[layout.exit_kernel][stage], columns[layout.exit_expand][stage]
        exits = (costs[f"exit{stage}", one] + Part(decisions=((kernel, one[0]), (expand, one[1]))) for one in CHOICES)
        networks = _joined(_joined(networks, _best(ways), constant_bytes), exits, constant_bytes)
    architecture = np.zeros(len(SPACE.decisions), dtype=np.int64)
    architecture[layout.exit_active] = 1
    for column, choice in networks[-1].decisions:
        architecture[column] = choice
    return architecture


def _costs() -> dict[tuple[str, tuple[int, int]], Part]:
    """What each block and exit takes with each choice, from networks in which all have the same."""
    layout, costs = SPACE.layout, defaultdict[tuple[str, tuple[int, int]], Part](Part)
    for choice in CHOICES:
        architecture = largest(SPACE)
        architecture[layout.kernel] = architecture[layout.exit_kernel] = choice[0]
        architecture[layout.expand] = architecture[layout.exit_expand] = choice[1]
        for layer in lower(fuse(weightless_graph(network_of(SPACE, architecture)))).layers:
            name = ".".join(layer.name.split(".")[: 2 if layer.name.startswith("stage") else 1])
            costs[name, choice] += Part(layer.kernel.constant_bytes, layer.macs)
    return costs


def _joined(ones: Iterable[Part], others: Iterable[Part], most: int) -> list[Part]:
    """The best sums of two within `most` bytes."""
    others = list(others)
    return _best(one + other for one in ones for other in others if one.constant_bytes + other.constant_bytes <= most)


def _best(parts: Iterable[Part]) -> list[Part]:
    """Those that no other one of no more bytes exceeds, by rising work."""
    kept: list[Part] = []
    for part in sorted(parts, key=lambda part: (part.constant_bytes, -part.macs)):
        if not kept or part.macs > kept[-1].macs:
            kept.append(part)
    return kept
