"""The full-size space on a board: the largest network that its flash holds, with its exits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hilnas.boards.board import load_board
from hilnas.export.quantise import to_int8_tflite
from hilnas.firmware.fusion import fuse
from hilnas.firmware.image import FirmwareImage
from hilnas.firmware.lower import lower
from hilnas.firmware.plan import plan_memory
from hilnas.firmware.size import arena_memories
from hilnas.hil.loop.weightless_graph import weightless_graph
from hilnas.hil.measure import deploy
from hilnas.hil.targets import create_target
from hilnas.nas.network import FULL_SIZE
from hilnas.nas.spaces.mcu_network import network_of
from hilnas.nas.supernet import Supernet

sys.path.insert(0, str(Path(__file__).parent))
from full_size import SPACE, largest_within

BOARD = load_board("nucleo-h743zi2")
FLASH_BYTES = BOARD.memories[BOARD.placement.text].size
CODE_BYTES = 36_000
"""Kept free beside the constants: code, tables of the exits, the chains' steps."""
ARENA_BYTES = 300_000
IMAGES = 32


def test_the_largest_that_fits_keeps_its_arenas_below_300_kb() -> None:
    architecture = largest_within(FLASH_BYTES - CODE_BYTES)
    network = network_of(SPACE, architecture)
    assert len(network.thresholds) == FULL_SIZE.stages
    program = lower(fuse(weightless_graph(network)))
    assert 0.99 * (FLASH_BYTES - CODE_BYTES) < program.constant_bytes <= FLASH_BYTES - CODE_BYTES
    assert plan_memory(program, arena_memories(BOARD)).arena_bytes < ARENA_BYTES


@pytest.mark.acceptance
@pytest.mark.data
def test_the_largest_that_fits_is_bit_exact_on_the_board(data_folder: Path, tmp_path: Path) -> None:
    """Untrained weights; ranges from real images."""
    torch.manual_seed(0)
    with np.load(data_folder / "images" / "cifar10_lossless_4000train.npz") as file:
        pixels = file["x"][:IMAGES]
    scale = FULL_SIZE.resolution // pixels.shape[1]
    images = pixels.repeat(scale, axis=1).repeat(scale, axis=2).astype(np.float32) / 128 - 1
    subnet = Supernet(SPACE).subnet(network_of(SPACE, largest_within(FLASH_BYTES - CODE_BYTES)))
    subnet.recalibrate(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), 8)
    model = tmp_path / "model.tflite"
    model.write_bytes(to_int8_tflite(subnet, images, subnet.network.thresholds))
    measurement = deploy(model, BOARD, create_target("emulator"), tmp_path / "image")
    assert measurement.bit_exact
    assert measurement.arena_bytes < ARENA_BYTES
    assert len(FirmwareImage.load(tmp_path / "image").manifest.exit_thresholds) == FULL_SIZE.stages
