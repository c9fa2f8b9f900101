"""Where an image runs. One protocol and one result, whoever answers: emulator, QEMU, Renode, a board, a farm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hilnas.boards.board import Board
from hilnas.firmware.image import FirmwareImage

Tensor = NDArray[np.generic]
"""A model input or output, dtype and shape as in the manifest."""


@dataclass(frozen=True)
class Inference:
    """One inference on the target: its outputs (None behind a taken exit), the exit taken, and what it cost.

    `layer_cycles` and `layer_instructions` have one entry per manifest layer, None where the target cannot know or the layer
    was not run; `cycles` and `instructions` count from the input being ready to the output being written.
    """

    outputs: tuple[Tensor | None, ...]
    exit_taken: int
    cycles: int | None
    instructions: int | None
    layer_cycles: tuple[int | None, ...]
    layer_instructions: tuple[int | None, ...]


@dataclass(frozen=True)
class TargetRun:
    """What a target reports of a series of inferences."""

    inferences: tuple[Inference, ...]
    stack_bytes: int | None
    cycles_source: str | None
    target_version: str
    attempts: tuple[str, ...] = ()


class Target(Protocol):
    """Runs images of one board."""

    name: str

    def run(self, image: FirmwareImage, board: Board, inputs: Sequence[tuple[Tensor, ...]], take_exits: bool) -> TargetRun:
        """Runs the image once per input tuple, in order.

        Raises:
            ConnectError: the target cannot be reached or flashed.
            TargetTimeoutError: it does not answer in time.
            ProtocolError: what it answers is not the report of this image.
        """
