"""The target renode: against what a real Renode was recorded to say, against a stand-in that says the same, and against a real one."""

from __future__ import annotations

import ast
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilnas.boards.board import load_board
from hilnas.errors import BoardError, ConnectError, TargetError, TargetTimeoutError, ToolMissingError
from hilnas.hil.session import Patience
from hilnas.hil.targets.emulator import EmulatorTarget
from hilnas.hil.targets.renode import VARIABLE, RenodeTarget, program, script
from hilnas.hil.targets.renode_monitor import Monitor
from hilnas.hil.timing.model import TimingMode

BOARD = "nucleo-h743zi2"
STAND_IN = Path(__file__).parent / "renode_stand_in.py"
REPLY_S = 20.0
PROMPT = b"(h7) "

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def recording(data_folder: Path) -> list[tuple[str, bytes]]:
    """What was sent (`>>`) and what came (`<<`), in order.

    Once the recorder did not wait for the end of a RunFor: the prompt that ended it stands before the echo of the next command.
    """
    lines = (data_folder / "renode" / "monitor.txt").read_text().splitlines()
    dialogue = [(line[:2], ast.literal_eval(line[3:])) for line in lines]
    for index, (direction, content) in enumerate(dialogue):
        if direction == "<<" and index >= 2 and content.startswith(PROMPT):
            dialogue[index - 2] = ("<<", dialogue[index - 2][1] + PROMPT)
            dialogue[index] = ("<<", content.removeprefix(PROMPT))
    return dialogue


class Replay:
    """A server that answers a recorded dialogue, byte for byte, to one client."""

    def __init__(self, recording: list[tuple[str, bytes]]) -> None:
        self._recording = recording
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.unexpected: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client = self._server.accept()[0]
        with client:
            for direction, content in self._recording:
                if direction == "<<":
                    client.sendall(content)
                elif (sent := self._line(client)) != content:
                    self.unexpected.append(sent)

    @staticmethod
    def _line(client: socket.socket) -> bytes:
        line = b""
        while not line.endswith(b"\n") and (byte := client.recv(1)):
            line += byte
        return line


def open_monitor(port: int) -> Monitor:
    return Monitor(port, time.monotonic() + REPLY_S, REPLY_S)


def test_the_recorded_dialogue_is_understood(recording: list[tuple[str, bytes]]) -> None:
    replay = Replay(recording)
    commands = [content.decode().rstrip("\n") for direction, content in recording if direction == ">>"]
    with open_monitor(replay.port) as monitor:
        assert monitor.version == "Renode 1.16.1"
        said: dict[str, str] = {}
        refused: dict[str, str] = {}
        for command in commands[:-1]:
            try:
                said[command] = monitor.execute(command)
            except TargetError as error:
                refused[command] = error.message
        with pytest.raises(ConnectError, match=r"closed its monitor during `quit`"):
            monitor.execute(commands[-1])
    assert replay.unexpected == []
    assert int(said["cpu ExecutedInstructions"], 0) == 0x29C009
    assert int(said["cpu PC"], 0) == 0x80000A4
    assert int(said["sysbus ReadDoubleWord 0xE0001004"], 0) == 0x509100
    assert "Elapsed Virtual Time: 00:00:00.011" in said["machine ElapsedVirtualTime"]
    assert said['emulation RunFor "0.01"'] == said["sysbus LoadELF @firmware/demo.elf"] == ""
    assert refused == {
        "cpu NoSuchThing": "Renode refused `cpu NoSuchThing`: sysbus.cpu does not provide a field, method or property NoSuchThing.",
        "sysbus LoadELF @/nonexistent.elf": "Renode refused `sysbus LoadELF @/nonexistent.elf`: Parameters did not match the signature",
    }


def test_a_reply_in_single_bytes_is_the_same_reply(recording: list[tuple[str, bytes]]) -> None:
    command = b"cpu ExecutedInstructions\n"
    at = recording.index((">>", command))
    crumbs = [[("<<", bytes([byte])) for byte in content] for content in (recording[0][1], recording[at + 1][1])]
    replay = Replay([*crumbs[0], (">>", command), *crumbs[1]])
    with open_monitor(replay.port) as monitor:
        assert monitor.number("cpu ExecutedInstructions") == 0x29C009


def test_what_is_no_number_is_named() -> None:
    replay = Replay([("<<", b"Renode, version 1.16.1 (v)\n\r\n\r(monitor) "), (">>", b"cpu PC\n"), ("<<", b"cpu PC\n\rnot now\r\r\n(h7) ")])
    with open_monitor(replay.port) as monitor, pytest.raises(TargetError, match="answered `cpu PC` with 'not now'"):
        monitor.number("cpu PC")


def test_the_set_up_is_the_recorded_one(recording: list[tuple[str, bytes]]) -> None:
    """Every command that the recording shows is sent as it was, but for port, file and one more that makes counts exact."""
    sent = [content.decode().rstrip("\n") for direction, content in recording if direction == ">>"]
    made = script(load_board(BOARD), Path("firmware/demo.elf"), 34571)
    assert [command for command in made if command != "cpu MaximumBlockSize 1"] == sent[: len(made) - 1]


def test_a_board_that_renode_has_not_is_refused() -> None:
    with pytest.raises(BoardError, match="Renode cannot be stm32f746g-disco"):
        script(load_board("stm32f746g-disco"), Path("x.elf"), 1)


@pytest.fixture
def renode(tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts the stand-in into Renode's place; returns where it notes the commands that it got."""

    def install(**wishes: Any) -> Path:
        program = tmp_path / "renode"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
        program.chmod(0o755)
        config = tmp_path / "wishes.json"
        config.write_text(json.dumps({"recording": str(data_folder / "renode" / "monitor.txt"), "board": BOARD} | wishes))
        monkeypatch.setenv(VARIABLE, str(program))
        monkeypatch.setenv("HILNAS_STAND_IN", str(config))
        return tmp_path / "wishes.json.commands"

    return install


def run(tiny: Any, second_layer: str = "", patience: Patience | None = None) -> Any:
    return RenodeTarget(patience).run(tiny.build(BOARD, second_layer), load_board(BOARD), tiny.inputs, take_exits=False)


def count_as_the_emulator(tiny: Any) -> Any:
    """The emulator with one cycle an instruction: the firmware's own counter counts instructions there, too."""
    board = load_board(BOARD).model_copy(update={"cycles_per_instruction": 1.0})
    return EmulatorTarget(timing=TimingMode.OFF).run(tiny.build(BOARD), board, tiny.inputs, take_exits=False)


def same_as_the_emulator(tiny: Any, result: Any) -> None:
    for inputs, here, there in zip(tiny.inputs, result.inferences, count_as_the_emulator(tiny).inferences, strict=True):
        np.testing.assert_array_equal(here.outputs[0], tiny.expected(inputs))
        assert (here.instructions, here.layer_instructions) == (there.cycles, there.layer_cycles)
        assert here.cycles is None and set(here.layer_cycles) == {None}
    assert result.cycles_source is None


def test_it_counts_instructions_and_claims_no_cycles(tiny: Any, renode: Callable[..., Path]) -> None:
    commands = renode()
    result = run(tiny)
    same_as_the_emulator(tiny, result)
    assert result.target_version == "Renode 1.16.1"
    sent = commands.read_text().splitlines()
    assert sent.count("cpu ExecutedInstructions") == 2 * len(tiny.inputs)
    assert sum(command.startswith("emulation RunFor") for command in sent) > 0
    with pytest.raises(ProcessLookupError):  # no process is left
        os.kill(int(commands.with_suffix(".pid").read_text()), 0)


def test_a_command_that_renode_refuses_is_named_with_its_reason(tiny: Any, renode: Callable[..., Path]) -> None:
    renode(refuse={"machine LoadPlatformDescription @": "Could not find file 'platforms/cpus/stm32h743.repl'."})
    with pytest.raises(TargetError, match=r"refused `machine LoadPlatformDescription @.*: Could not find file"):
        run(tiny)


def test_a_renode_that_dies_says_what_it_said(tiny: Any, renode: Callable[..., Path]) -> None:
    renode(dies=True)
    with pytest.raises(ConnectError, match=r"ended with code 134: Fatal error: out of memory"):
        run(tiny)


def test_another_firmware_on_the_line_is_not_believed(tiny: Any, renode: Callable[..., Path], data_folder: Path) -> None:
    """The recorded UART is that of a firmware which knows nothing of the report protocol."""
    renode(says=(data_folder / "renode" / "uart.txt").read_text())
    with pytest.raises(TargetError, match="'hello'"):
        run(tiny, patience=Patience(reply_s=0.5, run_s=0.5, attempts=2))


def test_a_hang_names_the_layer(tiny: Any, renode: Callable[..., Path]) -> None:
    renode()
    with pytest.raises(TargetTimeoutError, match=r"in layer 1 \(plus_one, ADD\)"):
        run(tiny, "for (;;) { }", Patience(reply_s=20.0, run_s=3.0, attempts=1))


def test_a_count_that_renode_does_not_bear_out_is_not_believed(tiny: Any, renode: Callable[..., Path]) -> None:
    """The firmware stops the counter and turns it back; a platform without one would read as zero."""
    renode()
    with pytest.raises(TargetError, match=r"counted \d+ instructions where Renode executed \d+"):
        run(tiny, "*(volatile uint32_t *)0xE0001000u = 0; *(volatile uint32_t *)0xE0001004u = 0;")


def test_missing_renode_says_how_to_get_it(tiny: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = tiny.build(BOARD)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match=f"github.com/renode/renode/releases.*{VARIABLE}"):
        RenodeTarget().run(image, load_board(BOARD), tiny.inputs, take_exits=False)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(ToolMissingError, match=f"{VARIABLE} names .*gone, which is no program"):
        RenodeTarget().run(image, load_board(BOARD), tiny.inputs, take_exits=False)


def test_a_real_renode_counts_as_the_emulator_does(tiny: Any) -> None:
    if program() is None:
        pytest.skip("Renode is not installed; it cannot be had from Debian or PyPI")
    same_as_the_emulator(tiny, run(tiny))
