"""Networks as plain descriptions: layers with shapes, before any weight exists."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

from hilnas.errors import InputError

CONV = "CONV_2D"
DEPTHWISE = "DEPTHWISE_CONV_2D"
ADD = "ADD"
MEAN = "MEAN"
DENSE = "FULLY_CONNECTED"
INPUT = "input"
"""What a layer calls the network's input."""

Shape = tuple[int, ...]
"""Height, width, channels; or channels alone. Without the batch."""


@dataclass(frozen=True)
class Layer:
    """One operator of a network, as the exported .tflite holds it: BatchNorm folded, activation fused, SAME padding.

    `op` is TensorFlow Lite's name; `inputs` are names of layers, or `INPUT`. A convolution is square and has a bias. `MEAN` is
    over height and width. `relu6` says that the output is clipped to [0, 6].
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    input_shape: Shape
    output_shape: Shape
    kernel: int = 1
    stride: int = 1
    relu6: bool = False

    @property
    def weight_count(self) -> int:
        """Number of weights, biases not counted."""
        channels = self.input_shape[-1]
        if self.op in (CONV, DENSE):
            return self.kernel**2 * channels * self.output_shape[-1]
        return self.kernel**2 * channels if self.op == DEPTHWISE else 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates: every weight once per output pixel, padding included."""
        return self.weight_count * prod(self.output_shape[:-1])


@dataclass(frozen=True)
class Network:
    """A network with early exits: layers in execution order, outputs exit_0 .. exit_n and last the final logits.

    `thresholds` has one entropy in nats per exit, scaled to the number of classes.
    """

    input_shape: Shape
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    thresholds: tuple[float, ...]

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the longest path: all exits computed, none taken."""
        return sum(layer.macs for layer in self.layers)

    @cached_property
    def weight_count(self) -> int:
        """Number of weights, biases not counted."""
        return sum(layer.weight_count for layer in self.layers)


@dataclass(frozen=True)
class McuDimensions:
    """What is fixed in a space of early-exit networks of inverted residuals, and what can be chosen.

    Stem convolution, first block (expand 1, kernel 3), stages of inverted residual blocks, global average pool, fully
    connected layer; one possible exit after each stage. Per-stage tuples have one entry per stage. A stage has between
    `base_depths` and `depth_slots` blocks: `min(base + increment, slots)`. Exit thresholds are those of the table for 100
    classes, in nats, before scaling to `classes`.
    """

    name: str
    resolution: int
    channels: int
    classes: int
    stem_width: int
    stem_stride: int
    first_width: int
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    base_depths: tuple[int, ...]
    depth_slots: tuple[int, ...]
    depth_increments: tuple[int, ...] = (0, 1, 2)
    kernels: tuple[int, ...] = (3, 5, 7)
    expands: tuple[int, ...] = (3, 4, 6)
    exit_thresholds: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
    exit_expands: tuple[float, ...] = (1.0, 1.5, 2.0)
    exit_kernels: tuple[int, ...] = (3, 5, 7)

    def __post_init__(self) -> None:
        lengths = {len(self.widths), len(self.strides), len(self.base_depths), len(self.depth_slots)}
        if len(lengths) != 1:
            raise InputError(f"dimensions {self.name}: widths, strides, base_depths and depth_slots need one entry per stage")
        if any(base > slots or base < 1 for base, slots in zip(self.base_depths, self.depth_slots, strict=True)):
            raise InputError(f"dimensions {self.name}: every stage needs at least one block and no more base blocks than slots")
        if any(kernel % 2 == 0 for kernel in (*self.kernels, *self.exit_kernels)):
            raise InputError(f"dimensions {self.name}: kernels are odd")

    @property
    def stages(self) -> int:
        """Number of stages, which is the number of possible exits."""
        return len(self.widths)

    @property
    def blocks(self) -> int:
        """Number of block slots over all stages."""
        return sum(self.depth_slots)


FULL_SIZE = McuDimensions(
    name="mcu",
    resolution=224,
    channels=3,
    classes=100,
    stem_width=32,
    stem_stride=2,
    first_width=16,
    widths=(24, 40, 80, 96, 192, 320),
    strides=(2, 2, 2, 1, 2, 1),
    base_depths=(1, 2, 2, 2, 2, 1),
    depth_slots=(3, 4, 4, 4, 4, 1),
)
"""Once-for-All's ProxylessNAS backbone at width 1.0 (Cai et al., 2020) with exits: 70 decisions."""

DIGITS = McuDimensions(
    name="mcu-digits",
    resolution=8,
    channels=1,
    classes=10,
    stem_width=8,
    stem_stride=1,
    first_width=8,
    widths=(12, 16, 24, 40),
    strides=(1, 2, 1, 2),
    base_depths=(1, 1, 1, 1),
    depth_slots=(3, 3, 3, 1),
    kernels=(3, 5),
    expands=(2, 4, 6),
    exit_kernels=(3, 5),
)
"""The small instance for the 8 x 8 grey images of scikit-learn's digits."""

DIMENSIONS = {dimensions.name: dimensions for dimensions in (FULL_SIZE, DIGITS)}
"""The named instances."""
