"""A board belongs to one process at a time, and a process that dies gives it back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hilnas.boards.board import load_board
from hilnas.errors import ConnectError
from hilnas.hil.board_lock import BoardLock, hold_any
from hilnas.hil.targets.serial import SerialTarget

sys.path.insert(0, str(Path(__file__).parent))
from virtual_boards import BOARD, PERSISTENCE, probe_of, selection, virtual_board

_HOLD = """
import sys
from hilnas.hil.board_lock import BoardLock
lock = BoardLock(sys.argv[1])
print(lock.try_acquire(), flush=True)
sys.stdin.read()
"""
_MEASURE = """
import json, pathlib, sys
import numpy as np
from hilnas.boards.board import load_board
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.board_selection import BoardSelection
from hilnas.hil.targets.serial import SerialTarget
image, inputs = FirmwareImage.load(pathlib.Path(sys.argv[2])), [(np.full((1, 600), 8, np.int8),)] * 3
target = SerialTarget(BoardSelection(probes=(sys.argv[1],)))
print("ready", flush=True)
sys.stdin.readline()
runs = [target.run(image, load_board(image.manifest.board), inputs, False) for _ in range(6)]
print(json.dumps([run.attempts for run in runs]))
"""


def process(script: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own whose pipes are read and written line by line."""
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def test_two_processes_on_one_board_never_interleave(tiny: Any) -> None:
    """Each run flashes an image of its own: had the other process the board meanwhile, the build id would not be the image's."""
    images = [tiny.build(BOARD, build_id=f"{number:016x}") for number in (1, 2)]
    with virtual_board() as board:
        children = [process(_MEASURE, probe_of(board), str(image.folder)) for image in images]
        assert [line(child) for child in children] == ["ready\n", "ready\n"]
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        for child in children:
            output, _ = child.communicate()
            assert child.returncode == 0
            assert json.loads(output) == [[]] * 6


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_frees_its_board(how: signal.Signals) -> None:
    lock = BoardLock(f"test-{os.getpid()}-{how}")
    child = process(_HOLD, lock.name)
    assert line(child) == "True\n"
    assert not lock.try_acquire()
    assert f"process {child.pid} (" in lock.holder()
    child.send_signal(how)
    child.communicate()
    assert lock.try_acquire()
    lock.release()


def test_who_waits_is_told_for_whom_and_gives_up(caplog: pytest.LogCaptureFixture) -> None:
    lock, same = (BoardLock(f"test-wait-{os.getpid()}") for _ in range(2))
    assert lock.try_acquire()
    message = f"{lock.name} is used by process {os.getpid()} \\(.*pytest"
    with (
        pytest.raises(ConnectError, match=f"no board is free after 0.3 s: {message}"),
        hold_any(lambda: [same], 0.3),
    ):
        pass
    assert "waiting for a board" in caplog.text
    lock.release()
    with hold_any(lambda: [same], 0.0) as held:
        assert held is same
        assert not lock.try_acquire()
    assert lock.try_acquire()
    lock.release()


def test_a_board_in_use_is_passed_by(tiny: Any) -> None:
    with virtual_board() as taken, virtual_board() as free:
        lock = BoardLock(probe_of(taken))
        assert lock.try_acquire()
        target = SerialTarget(selection(taken, free, persistence=replace(PERSISTENCE, wait_s=0.0)))
        result = target.run(tiny.build(BOARD), load_board(BOARD), tiny.inputs, take_exits=False)
        lock.release()
    assert probe_of(free) in result.target_version
