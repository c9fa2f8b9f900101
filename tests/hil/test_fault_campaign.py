"""A campaign of injected faults: no wrong measurement is accepted, and nothing waits longer than it may."""

from __future__ import annotations

import random
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilnas.boards.board import load_board
from hilnas.errors import ConnectError, HilnasError
from hilnas.hil.target import TargetRun
from hilnas.hil.targets.emulator import EmulatorTarget
from hilnas.hil.targets.serial import SerialTarget
from hilnas.hil.virtual_board.board import VirtualBoard
from hilnas.hil.virtual_board.faults import LASTING, Fault

sys.path.insert(0, str(Path(__file__).parent))
from virtual_boards import BOARD, PATIENCE, PERSISTENCE, selection, virtual_board

KINDS = tuple(Fault)
FATAL = {Fault.DIES, Fault.PERMISSION_DENIED}
LIMIT_S = 120.0
"""Three attempts, each with all its waiting, take a small part of this."""
PERSISTENT = replace(PERSISTENCE, patience=replace(PATIENCE, reply_s=0.7, run_s=0.7))


def outcome(tiny: Any, board: VirtualBoard) -> TargetRun | HilnasError:
    """What a run on the board comes to, within the time limit."""
    found: list[TargetRun | HilnasError] = []
    target = SerialTarget(selection(board, persistence=PERSISTENT))

    def run() -> None:
        try:
            found.append(target.run(tiny.build(BOARD), load_board(BOARD), tiny.inputs, take_exits=False))
        except HilnasError as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    assert found, "it waits for ever, or failed with something else than an error of ours"
    return found[0]


def check(tiny: Any, undisturbed: TargetRun, number: int) -> None:
    """Fault number `number`: every kind in turn, every other time on a noisy line, struck where the number says."""
    fault = KINDS[number % len(KINDS)]
    faults = [fault, *([Fault.NOISE] if random.Random(number).random() < 0.5 else [])]
    tiny.build(BOARD)
    with virtual_board(faults, seed=number) as board:
        result = outcome(tiny, board)
    if fault in FATAL:
        assert isinstance(result, ConnectError), result
        return
    assert isinstance(result, TargetRun), result
    assert result.attempts or fault in LASTING
    for got, expected in zip(result.inferences, undisturbed.inferences, strict=True):
        np.testing.assert_array_equal(got.outputs[0], expected.outputs[0])
        assert (got.cycles, got.layer_cycles) == (expected.cycles, expected.layer_cycles)


@pytest.fixture(scope="module")
def undisturbed(tiny: Any) -> TargetRun:
    """What the emulator says."""
    return EmulatorTarget().run(tiny.build(BOARD), load_board(BOARD), tiny.inputs, take_exits=False)


@pytest.mark.parametrize("number", range(20))
def test_twenty_faults(tiny: Any, undisturbed: TargetRun, number: int) -> None:
    check(tiny, undisturbed, number)


@pytest.mark.acceptance
@pytest.mark.parametrize("number", range(200))
def test_two_hundred_faults(tiny: Any, undisturbed: TargetRun, number: int) -> None:
    check(tiny, undisturbed, 1000 + number)
