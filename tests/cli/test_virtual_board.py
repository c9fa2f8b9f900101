"""The verb virtual-board, and measuring on what it starts, as a user's script does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hilnas.hil.probes import attached_boards

LIMIT_S = 300.0
HELLO = "tflite/tflm/hello_world_int8.tflite"


@contextmanager
def virtual_board(*arguments: str) -> Iterator[dict[str, str]]:
    """A board as the verb starts it: what its first line says."""
    command = [sys.executable, "-m", "hilnas.cli.main", "virtual-board", "--json", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0


def hilnas(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hilnas.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)


@pytest.mark.data
def test_deploy_on_a_virtual_board_is_bit_exact_and_claims_no_silicon(data_folder: Path) -> None:
    with virtual_board("--fault", "noise", "--fault", "first-connect") as board:
        assert board.keys() == {"board", "port", "probe"}
        device = ("--target", "serial", "--port", board["port"], "--probe", board["probe"])
        result = hilnas("deploy", data_folder / HELLO, "--board", board["board"], *device, "--json")
        unplugged = board
    assert result.returncode == 0, result.stderr
    measured = json.loads(result.stdout)
    assert (measured["bit_exact"], measured["cycles_source"], measured["target"]) == (True, "modelled", "serial")
    assert measured["instructions"] is None
    assert "cannot connect to the core" in result.stderr
    gone = hilnas("deploy", data_folder / HELLO, "--board", unplugged["board"], *device)
    assert gone.returncode == 5
    assert "no virtual board" in gone.stderr and "still running" in gone.stderr and "Traceback" not in gone.stderr


def test_a_fault_that_is_none_is_wrong_usage() -> None:
    result = hilnas("virtual-board", "--fault", "sunspots")
    assert result.returncode == 2
    assert "first-connect" in result.stderr


@pytest.mark.parametrize(
    ("named", "missing"),
    [
        (("--port", "/dev/nothere"), "no serial port /dev/nothere"),
        (("--probe", "virtual:/nowhere/probe"), "no virtual board at /nowhere/probe"),
    ],
)
def test_what_is_named_and_not_there_is_said_at_once(tmp_path: Path, named: tuple[str, str], missing: str) -> None:
    result = hilnas("deploy", tmp_path / "none.tflite", "--board", "nucleo-h743zi2", "--target", "serial", *named)
    assert result.returncode == 5
    assert missing in result.stderr and len(result.stderr.splitlines()) == 2


@pytest.mark.skipif(bool(attached_boards()), reason="a board is attached")
def test_nothing_attached_is_a_connection_error(tmp_path: Path) -> None:
    result = hilnas("deploy", tmp_path / "none.tflite", "--board", "nucleo-h743zi2", "--target", "serial", "--port", "auto")
    assert result.returncode == 5
    assert "no board is attached" in result.stderr
