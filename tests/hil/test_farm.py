"""The target farm against a real labgrid coordinator and exporter on loopback, which export the port of a virtual board."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilnas.boards.board import load_board
from hilnas.errors import ConnectError, InputError, ToolMissingError
from hilnas.hil.board_lock import hold_any
from hilnas.hil.board_selection import BoardSelection
from hilnas.hil.farm import place as farm_place
from hilnas.hil.farm.place import FarmPlace, labgrid_python
from hilnas.hil.targets.emulator import EmulatorTarget
from hilnas.hil.targets.farm import FarmTarget

sys.path.insert(0, str(Path(__file__).parent))
from virtual_boards import BOARD, PERSISTENCE, probe_of, virtual_board

PLACE, REAL_PLACE = "desk", "real-desk"
_SSH = """#!/bin/sh
# Stands in for ssh to 127.0.0.1: runs the command here.
while [ $# -gt 0 ] && [ "$1" != 127.0.0.1 ]; do
    [ "$1" = -O ] && echo "Master running (pid=1)" && exit 0
    shift
done
shift
[ "$1" = -- ] && shift
exec sh -c "$*"
"""
LIMIT_S = 60.0


@dataclass(frozen=True)
class Farm:
    """A coordinator, and a virtual board that it has in a place."""

    coordinator: str
    probe: str

    def target(self) -> FarmTarget:
        return FarmTarget(BoardSelection(places=(PLACE,), coordinator=self.coordinator, persistence=PERSISTENCE))

    def place(self) -> FarmPlace:
        return FarmPlace(PLACE, self.coordinator)


@contextmanager
def labgrid(program: str, *arguments: str, folder: Path, until: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A program of labgrid, once it has said a line that contains `until`, and that line."""
    python = labgrid_python()
    if python is None:
        pytest.skip("labgrid is not installed")
    command = [str(python.with_name(f"labgrid-{program}")), *arguments]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as process:
        try:
            yield process, wait_for(process, until)
        finally:
            process.terminate()


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"{process.args} ended")


def serve_raw(listener: socket.socket, port: Path) -> None:
    """Gives the bytes of a port to one TCP connection after the other, until the listener is shut down."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        device = os.open(port, os.O_RDWR | os.O_NOCTTY)
        with connection:
            while True:
                ready, _, _ = select.select([connection, device], [], [])
                if connection in ready:
                    data = connection.recv(4096)
                    if not data:
                        break
                    os.write(device, data)
                if device in ready:
                    connection.sendall(os.read(device, 4096))
        os.close(device)


@pytest.fixture(scope="module", params=["raw", "ser2net"])
def farm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """The serial port is exported as a TCP port, or by the exporter's own ser2net."""
    if request.param == "ser2net" and shutil.which("ser2net", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("ser2net is not installed")
    folder = tmp_path_factory.mktemp("farm")
    with ExitStack() as stack:
        board = stack.enter_context(virtual_board())
        if request.param == "raw":
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            server = threading.Thread(target=serve_raw, args=(listener, board.port))
            server.start()
            stack.callback(server.join)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            port = f"NetworkSerialPort: {{host: 127.0.0.1, port: {listener.getsockname()[1]}, protocol: raw}}"
        else:
            port = f"RawSerialPort: {{port: {board.port.readlink()}, speed: 921600}}"
        resources = folder / "resources.yaml"
        usb = "NetworkUSBDebugger: {host: 127.0.0.1, busnum: 1, devnum: 2, path: 1-1, vendor_id: 0x0483, model_id: 0x374E}"
        resources.write_text(f"real:\n  {usb}\nbench:\n  {port}\n  HilnasVirtualBoard: {{probe: '{probe_of(board)}'}}\n")
        coordinator, said = stack.enter_context(labgrid("coordinator", "-l", "127.0.0.1:0", folder=folder, until="listening on"))
        address = said.split()[-1]
        exporter = ("-c", address, "-n", "here", "--hostname", "127.0.0.1", str(resources))
        stack.enter_context(labgrid("exporter", *exporter, folder=folder, until="Exporter ready"))
        wait_for(coordinator, "set_resource bench HilnasVirtualBoard")
        python = labgrid_python()
        assert python is not None
        for place, group in ((PLACE, "bench"), (REAL_PLACE, "real")):
            for command in (["create"], ["add-match", f"here/{group}/*"]):
                subprocess.run([python.with_name("labgrid-client"), "-x", address, "-p", place, *command], check=True, timeout=LIMIT_S)
        yield Farm(address, probe_of(board))


def test_a_place_is_acquired_measured_and_released(farm: Farm, tiny: Any) -> None:
    image, board = tiny.build(BOARD), load_board(BOARD)
    emulated = EmulatorTarget().run(image, board, tiny.inputs, take_exits=False)
    for _ in range(2):
        result = farm.target().run(image, board, tiny.inputs, take_exits=False)
        for got, expected in zip(result.inferences, emulated.inferences, strict=True):
            np.testing.assert_array_equal(got.outputs[0], expected.outputs[0])
            assert got.cycles == expected.cycles
        assert (result.attempts, result.cycles_source) == ((), "modelled")
        assert result.target_version == f"place {PLACE} of the labgrid coordinator {farm.coordinator}"
    place = farm.place()
    assert place.try_acquire()
    place.release()


def test_a_place_in_use_is_waited_for_and_its_user_named(farm: Farm) -> None:
    held, wanted = farm.place(), farm.place()
    assert held.try_acquire()
    try:
        with pytest.raises(ConnectError, match=rf"{PLACE} is used by \S+/\S+"), hold_any(lambda: [wanted], 0.0):
            pass
    finally:
        held.release()
    with hold_any(lambda: [wanted], 0.0):
        pass


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_client_leaves_the_place_free(farm: Farm, how: signal.Signals) -> None:
    script = """
import sys
from hilnas.hil.farm.place import FarmPlace
place = FarmPlace(*sys.argv[1:])
print(place.try_acquire(), flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", script, PLACE, farm.coordinator]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "True\n"
        assert not farm.place().try_acquire()
        client.send_signal(how)
    with hold_any(lambda: [farm.place()], LIMIT_S):
        pass


@pytest.mark.skipif(shutil.which("openocd") is None, reason="OpenOCD is not installed")
def test_a_real_board_is_flashed_by_openocd_on_its_own_host(farm: Farm, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the real OpenOCD comes without a probe."""
    (tmp_path / "ssh").write_text(_SSH)
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    place = FarmPlace(REAL_PLACE, farm.coordinator)
    assert place.try_acquire()
    try:
        with pytest.raises(ConnectError, match=f"flashing place {REAL_PLACE} with openocd: no ST-LINK found"):
            place.flash(tiny.build(BOARD).elf, load_board(BOARD))
        with pytest.raises(ConnectError, match="has no serial port"):
            place.port()
        assert place.cycles_source == "measured"
    finally:
        place.release()


def test_an_unknown_place_is_an_error(farm: Farm) -> None:
    with pytest.raises(ConnectError, match="nowhere"):
        FarmPlace("nowhere", farm.coordinator).try_acquire()


def test_a_holder_that_is_told_to_end_releases_the_place(farm: Farm) -> None:
    place = farm.place()
    assert place.try_acquire()
    assert place._process is not None
    place._process.terminate()
    place.release()
    with hold_any(lambda: [farm.place()], LIMIT_S):
        pass


def test_a_place_that_is_gone_is_set_aside(farm: Farm, tiny: Any) -> None:
    target = FarmTarget(BoardSelection(places=("nowhere", PLACE), coordinator=farm.coordinator, persistence=PERSISTENCE))
    result = target.run(tiny.build(BOARD), load_board(BOARD), tiny.inputs, take_exits=False)
    assert result.target_version.startswith(f"place {PLACE}")


def test_no_coordinator_is_an_error() -> None:
    if labgrid_python() is None:
        pytest.skip("labgrid is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ConnectError, match="Could not connect to coordinator"):
        FarmPlace(PLACE, address).try_acquire()


def test_without_labgrid_the_farm_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farm_place, "labgrid_python", lambda: None)
    with pytest.raises(ToolMissingError, match="pipx install labgrid"):
        FarmPlace(PLACE, "127.0.0.1:1").try_acquire()


def test_a_farm_needs_a_place() -> None:
    with pytest.raises(InputError, match="--place"):
        FarmTarget(BoardSelection())
