"""The target serial on virtual boards: the same as the emulator, and every fault found, named, and overcome where that is possible."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilnas.boards.board import load_board
from hilnas.errors import ConnectError, InputError, TargetTimeoutError
from hilnas.hil.board_selection import BoardSelection
from hilnas.hil.flashers.virtual import VirtualFlasher
from hilnas.hil.measure import measure
from hilnas.hil.samples import Samples
from hilnas.hil.session import Session
from hilnas.hil.target import TargetRun
from hilnas.hil.targets.emulator import EmulatorTarget
from hilnas.hil.targets.serial import SerialTarget
from hilnas.hil.transport import PortForbiddenError, SerialTransport
from hilnas.hil.virtual_board.board import FLASH_NAME, VirtualBoard
from hilnas.hil.virtual_board.faults import Fault

sys.path.insert(0, str(Path(__file__).parent))
from virtual_boards import BOARD, PATIENCE, PERSISTENCE, probe_of, selection, virtual_board

SILENT = replace(PERSISTENCE, patience=replace(PATIENCE, reply_s=0.5, run_s=0.5))
"""For boards that say nothing: what is waited for does not come."""


@pytest.fixture(scope="module")
def undisturbed(tiny: Any) -> TargetRun:
    """What the emulator says."""
    return EmulatorTarget().run(tiny.build(BOARD), load_board(BOARD), tiny.inputs, take_exits=False)


def run(tiny: Any, *boards: VirtualBoard, **options: Any) -> TargetRun:
    return SerialTarget(selection(*boards, **options)).run(tiny.build(BOARD), load_board(BOARD), tiny.inputs, take_exits=False)


def check_same(result: TargetRun, undisturbed: TargetRun) -> None:
    for got, expected in zip(result.inferences, undisturbed.inferences, strict=True):
        np.testing.assert_array_equal(got.outputs[0], expected.outputs[0])
        assert (got.cycles, got.layer_cycles) == (expected.cycles, expected.layer_cycles)


def test_a_board_in_order_says_what_the_emulator_says(tiny: Any, undisturbed: TargetRun) -> None:
    with virtual_board() as board:
        result = run(tiny, board)
    check_same(result, undisturbed)
    assert result.attempts == ()
    assert result.stack_bytes == undisturbed.stack_bytes
    assert result.cycles_source == "modelled"
    assert result.target_version.startswith("virtual board")


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (Fault.PORT_MISSING, "there is no port"),
        (Fault.PORT_BUSY, "another program uses"),
        (Fault.FIRST_CONNECT, "cannot connect to the core"),
        (Fault.VERIFY, "verify failed"),
        (Fault.SILENCE, "does not answer 'hello'"),
        (Fault.RESET, r"reset itself, (in layer \d \(|after the last layer)"),
        (Fault.HANG, r"hangs: in layer \d \(|does not answer 'run', after the last layer"),
        (Fault.DISCONNECT, "connection to .* broke"),
        (Fault.ALTERNATES, "does not answer 'hello'"),
    ],
)
def test_a_passing_fault_is_named_and_changes_nothing(tiny: Any, undisturbed: TargetRun, fault: Fault, name: str) -> None:
    with virtual_board([fault]) as board:
        result = run(tiny, board, persistence=SILENT)
    check_same(result, undisturbed)
    assert any(re.search(name, attempt) for attempt in result.attempts), result.attempts


@pytest.mark.parametrize("faults", [[Fault.NOISE], [Fault.TRUNCATION], [Fault.NOISE, Fault.RESETS]])
def test_a_lasting_fault_changes_nothing(tiny: Any, undisturbed: TargetRun, faults: Sequence[Fault]) -> None:
    with virtual_board(faults, seed=2) as board:
        results = [run(tiny, board) for _ in range(3)]
    for result in results:
        check_same(result, undisturbed)
    assert any(result.attempts for result in results)


def test_yesterdays_firmware_is_named_and_flashed_over(tiny: Any, undisturbed: TargetRun) -> None:
    with virtual_board([Fault.STALE_BUILD]) as board:
        # The first flash, which the fault spoils, finds this in the board.
        (board.probe.parent / FLASH_NAME).write_bytes(tiny.build(BOARD, build_id="aaaaaaaaaaaaaaaa").elf.read_bytes())
        result = run(tiny, board)
    check_same(result, undisturbed)
    assert "another firmware: its build is aaaaaaaaaaaaaaaa" in result.attempts[0]


def test_no_permission_is_not_tried_again(tiny: Any) -> None:
    with virtual_board([Fault.PERMISSION_DENIED]) as board, pytest.raises(PortForbiddenError, match="no permission to open") as caught:
        run(tiny, board)
    assert "usermod -aG dialout" in caught.value.hint


def test_a_layer_that_always_hangs_is_named(tiny: Any) -> None:
    image = tiny.build(BOARD, "for (;;) { }")
    message = r"hangs: in layer 1 \(plus_one, ADD\), silent for 0.5 s; no board is left after \d+ attempts"
    with virtual_board() as board, pytest.raises(TargetTimeoutError, match=message):
        SerialTarget(selection(board, persistence=SILENT)).run(image, load_board(BOARD), tiny.inputs, take_exits=False)


def test_a_dead_board_is_set_aside_and_the_others_go_on(tiny: Any, undisturbed: TargetRun, tmp_path: Path) -> None:
    with virtual_board([Fault.DIES]) as dying, virtual_board() as well:
        result = run(tiny, dying, well, aside=tmp_path)
        check_same(result, undisturbed)
        assert result.target_version.startswith(f"virtual board {probe_of(well)}")
        assert any("no power" in attempt and probe_of(dying) in attempt for attempt in result.attempts)
        # Another target of the same run does not try the dead one again.
        assert run(tiny, dying, well, aside=tmp_path).attempts == ()
    with virtual_board([Fault.DIES]) as board:
        for message in ("no power", f"no board is left: .*{probe_of(board)}: "):
            with pytest.raises(ConnectError, match=message):
                run(tiny, board, aside=tmp_path)


def test_what_a_stateful_model_said_before_a_reset_is_not_used(tiny: Any, undisturbed: TargetRun) -> None:
    image = tiny.build(BOARD)
    stateful = replace(image, manifest=replace(image.manifest, stateful=True))
    with virtual_board([Fault.RESET], seed=3) as board:
        result = SerialTarget(selection(board)).run(stateful, load_board(BOARD), tiny.inputs, take_exits=False)
    check_same(result, undisturbed)
    assert len(result.attempts) == 1


def test_a_board_of_another_kind_is_refused(tiny: Any) -> None:
    with virtual_board(board=load_board("nucleo-h7a3zi-q")) as board, pytest.raises(InputError, match="is a nucleo-h7a3zi-q, not a nucleo"):
        run(tiny, board)


def test_accuracy_over_a_data_set_is_that_of_the_emulator(tiny: Any) -> None:
    image, board = tiny.build(BOARD), load_board(BOARD)
    values = np.concatenate([inputs[0] for inputs in tiny.inputs])
    answers = np.array([int(np.argmax(tiny.expected((value[None],)))) for value in values])
    data = Samples("three", values, (answers + np.array([0, 1, 1])) % 600)
    emulated = measure(image, board, EmulatorTarget(), data=data)
    with virtual_board([Fault.NOISE, Fault.RESET]) as virtual:
        measured = measure(image, board, SerialTarget(selection(virtual)), data=data)
    assert measured.exits == emulated.exits
    assert measured.exits.accuracy == pytest.approx(1 / 3)
    assert measured.output_digest == emulated.output_digest
    assert any("reset itself" in attempt for attempt in measured.attempts)


def test_flash_keeps_its_content_without_power(tiny: Any) -> None:
    board, image = load_board(BOARD), tiny.build(BOARD)
    with tempfile.TemporaryDirectory(prefix="vb-") as folder:
        with virtual_board(folder=Path(folder)) as before:
            VirtualFlasher().flash(image.elf, board, probe_of(before), 10.0)
        with virtual_board(folder=Path(folder)) as after, SerialTransport(str(after.port), board.uart.baud_rate) as transport:
            session = Session(transport, image, PATIENCE)
            session.connect()
            session.infer(tiny.inputs[0], take_exits=False)


@pytest.mark.parametrize(
    ("ports", "probes", "message"),
    [
        (("a", "b"), ("x",), "2 ports are named and 1 probes"),
        (("a", "b"), (), "2 ports are named and 0 probes"),
        ((), ("x", "x"), "x is named twice"),
        (("a", "a"), ("x", "y"), "a is named twice"),
    ],
)
def test_a_selection_that_contradicts_itself_is_refused(ports: tuple[str, ...], probes: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BoardSelection(ports, probes).attached()


def test_ports_go_with_probes_in_their_order() -> None:
    assert BoardSelection(("a", "b"), ("x", "y")).attached() == [("a", "x"), ("b", "y")]
    assert BoardSelection(("a", "auto"), ("x", "virtual:/v/probe")).attached() == [("a", "x"), ("/v/port", "virtual:/v/probe")]
    assert BoardSelection((), ("x", "y")).attached() == [("auto", "x"), ("auto", "y")]
