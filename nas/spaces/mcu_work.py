"""What a network of the microcontroller space has to compute, without building it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hilnas.nas.network import McuDimensions
from hilnas.nas.space import Architectures
from hilnas.nas.spaces.mcu import McuSpace


def work(space: McuSpace, architectures: Architectures) -> NDArray[np.float64]:
    """What latency is nearly linear in, no exit taken, shape (N, 5): multiply-accumulates of pointwise and of depthwise convolutions,
    outputs of depthwise and of pointwise ones, layers. The stem, the first block and the classifier, which are in every network, are left
    out."""
    size, layout = space.dimensions, space.layout
    batch = space.canonical(architectures)
    inputs, sides_in, sides_out = _block_shapes(size)
    widths = np.repeat(size.widths, size.depth_slots)
    hidden = inputs * np.asarray(size.expands)[batch[:, layout.expand]]
    kernels = np.asarray(size.kernels)[batch[:, layout.kernel]]
    area_in, area_out = sides_in**2, sides_out**2
    present = space.present_blocks(batch)

    blocks = _columns(
        pointwise_macs=area_in * inputs * hidden + area_out * hidden * widths,
        depthwise_macs=area_out * hidden * kernels**2,
        depthwise_outputs=area_out * hidden,
        pointwise_outputs=area_in * hidden + area_out * widths,
        present=present,
    )
    stage_sides = sides_out[np.cumsum(size.depth_slots) - 1]
    stage_widths = np.asarray(size.widths)
    exit_hidden = np.round(stage_widths * np.asarray(size.exit_expands)[batch[:, layout.exit_expand]])
    exit_kernels = np.asarray(size.exit_kernels)[batch[:, layout.exit_kernel]]
    area = stage_sides**2
    exits = _columns(
        pointwise_macs=area * stage_widths * exit_hidden,
        depthwise_macs=area * exit_hidden * exit_kernels**2,
        depthwise_outputs=area * exit_hidden,
        pointwise_outputs=area * exit_hidden,
        present=space.active_exits(batch),
    )
    return blocks + exits


def _block_shapes(size: McuDimensions) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Input channels, input side and output side of every block slot."""
    side, channels = -(-size.resolution // size.stem_stride), size.first_width
    shapes = []
    for width, stride, slots in zip(size.widths, size.strides, size.depth_slots, strict=True):
        for slot in range(slots):
            side_out = -(-side // stride) if slot == 0 else side
            shapes.append((channels, side, side_out))
            channels, side = width, side_out
    inputs, sides_in, sides_out = np.array(shapes, dtype=np.int64).T
    return inputs, sides_in, sides_out


def _columns(
    pointwise_macs: NDArray[np.float64],
    depthwise_macs: NDArray[np.float64],
    depthwise_outputs: NDArray[np.float64],
    pointwise_outputs: NDArray[np.float64],
    present: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Sums of each over the present layers, and three layers for each."""
    parts = (pointwise_macs, depthwise_macs, depthwise_outputs, pointwise_outputs)
    return np.stack([*((part * present).sum(axis=1) for part in parts), 3.0 * present.sum(axis=1)], axis=1)
