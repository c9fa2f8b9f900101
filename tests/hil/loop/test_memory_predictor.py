"""Flash and SRAM computed from shapes, against images that were built."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hilnas.boards.board import load_board
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.loop.memory_predictor import FlashPredictor, MemoryPlanner, NetworkPlanner, SramPredictor
from hilnas.hil.loop.nets import NetRecord, recorded_nets
from hilnas.hil.loop.recalibrate import rows
from hilnas.hil.loop.run_folder import RunFolder
from hilnas.hil.loop.weightless_graph import weightless_graph
from hilnas.nas.metrics import Estimate
from hilnas.nas.network import DIGITS, FULL_SIZE
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_network import largest, network_of, smallest

SPACE = McuSpace(DIGITS)
BOARD = load_board("nucleo-h743zi2")


def planner() -> MemoryPlanner:
    plan = NetworkPlanner.of(lambda row: network_of(SPACE, row), BOARD)
    return MemoryPlanner(SPACE, lambda batch: [plan(row) for row in batch])


@pytest.fixture(scope="module")
def nets(finished_run: RunFolder) -> list[NetRecord]:
    return recorded_nets(finished_run)


def test_arenas_and_layers_are_those_of_the_built_image(finished_run: RunFolder, nets: list[NetRecord]) -> None:
    for net in nets:
        (needs,) = planner()(np.array([net.architecture]))
        manifest = FirmwareImage.load(finished_run.candidate(net.name) / "firmware").manifest
        assert needs.arena_bytes == -(-manifest.arena_bytes // 4) * 4
        assert needs.layers == len(manifest.layers)
        assert needs.exits == len(manifest.exit_thresholds)


def test_sram_is_exact_once_two_images_are_known(nets: list[NetRecord]) -> None:
    predictor = SramPredictor(planner())
    known = [net for net in nets if net is nets[0] or len(network_of(SPACE, np.array(net.architecture)).layers) > 21]
    predictor.update(rows(known[:2]), Estimate.exact([net.sram_bytes for net in known[:2]]))
    assert predictor.predict(rows(nets)).mean.tolist() == [net.sram_bytes for net in nets]


def test_flash_is_right_within_bytes_for_known_kinds_of_code(nets: list[NetRecord]) -> None:
    predictor = FlashPredictor(planner())
    measured = np.array([net.flash_bytes for net in nets])
    predictor.update(rows(nets), Estimate.exact(measured))
    estimate = predictor.predict(rows(nets))
    assert np.abs(estimate.mean - measured).max() <= 32
    assert np.ptp(measured) > 1000


def test_equal_networks_have_equal_needs() -> None:
    net = SPACE.sample(1, np.random.default_rng(0))[0]
    inert = net.copy()
    inert[SPACE.layout.exit_active] = 0
    other = inert.copy()
    other[SPACE.layout.exit_kernel] = 1 - other[SPACE.layout.exit_kernel]
    first, second = planner()(np.stack([inert, other]))
    assert first == second


def test_more_exits_and_blocks_never_need_less() -> None:
    least, most = planner()(np.stack([smallest(SPACE), largest(SPACE)]))
    assert least.constant_bytes < most.constant_bytes
    assert least.arena_bytes < most.arena_bytes
    assert (least.exits, most.exits) == (0, 4)


def test_a_network_larger_than_the_board_still_has_a_size() -> None:
    space = McuSpace(replace(FULL_SIZE, resolution=448))
    board = load_board("stm32f746g-disco")
    needs = NetworkPlanner.of(lambda row: network_of(space, row), board)(largest(space))
    assert needs.arena_bytes > 448 * 448 * 3


def test_code_is_that_for_the_instruction_cache_of_the_board() -> None:
    cached = NetworkPlanner.of(lambda row: network_of(SPACE, row), load_board("nucleo-l4r5zi"))
    needs, boundless = (planner(largest(SPACE)) for planner in (cached, replace(cached, cache=None)))
    assert needs.routine_bytes < boundless.routine_bytes
    assert needs.constant_bytes == boundless.constant_bytes


def test_the_graph_has_the_networks_multiply_accumulates_and_same_padding() -> None:
    from hilnas.firmware.fusion import fuse
    from hilnas.firmware.lower import lower

    for net in SPACE.canonical(SPACE.sample(20, np.random.default_rng(1))):
        network = network_of(SPACE, net)
        program = lower(fuse(weightless_graph(network)))
        assert program.macs == network.macs
        for operator in program.graph.operators:
            if operator.op == "DEPTHWISE_CONV_2D" and operator.attributes.strides == (2, 2):
                kernel = program.graph.input_of(operator, 1).shape[1]
                padding = operator.attributes.padding
                assert (padding.top, padding.bottom) == {3: (0, 1), 5: (1, 2), 7: (2, 3)}[kernel]
