"""In Renode's place: speaks its monitor byte for byte as a real Renode 1.16.1 was recorded to, and runs the ELF on the emulator.

Started as Renode is, with `-P PORT`; HILNAS_STAND_IN names a JSON file: the recording, the board, and what shall go wrong.
"""

from __future__ import annotations

import ast
import json
import os
import re
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

from hilnas.boards.board import load_board
from hilnas.firmware.elf import read_elf
from hilnas.hil.emulator.machine import Machine

SLICE_INSTRUCTIONS = 480_000
EXECUTED = "cpu ExecutedInstructions"


def recorded(path: Path) -> tuple[bytes, dict[str, bytes]]:
    """The greeting, and what followed each command; numbers that differ from run to run are left out of the commands."""
    greeting, replies, command = b"", {}, None
    for line in path.read_text().splitlines():
        content = ast.literal_eval(line[3:])
        if line.startswith(">>"):
            command = general(content.decode().rstrip("\n"))
        elif command is None:
            greeting += content
        elif command not in replies:
            replies[command] = content
    return greeting, replies


def general(command: str) -> str:
    """The command without what depends on the run: ports, times, paths of ELFs that are there."""
    command = re.sub(r"(CreateServerSocketTerminal) \d+", r"\1 PORT", command)
    command = re.sub(r'(RunFor) "[\d.]+"', r'\1 "TIME"', command)
    if command.startswith("sysbus LoadELF @") and "nonexistent" not in command:
        return "sysbus LoadELF @ELF"
    return command


class StandIn:
    def __init__(self, wishes: dict) -> None:
        self.greeting, self.replies = recorded(Path(wishes["recording"]))
        self.wishes = wishes
        self.board = load_board(wishes["board"]).model_copy(update={"cycles_per_instruction": 1.0})
        self.machine: Machine | None = None
        self.uart: socket.socket | None = None
        self.executed = 0

    def reply(self, command: str) -> bytes:
        """What Renode says to a command, its echo and prompt included."""
        echo = command.encode() + b"\n\r"
        if refused := next((error for start, error in self.wishes.get("refuse", {}).items() if command.startswith(start)), None):
            return echo + f"There was an error executing command '{command}'\r\n{refused}\r\n(h7) ".encode()
        if command.startswith("emulation CreateServerSocketTerminal"):
            self.listen(int(command.split()[2]))
        elif command.startswith("sysbus LoadELF @"):
            path = Path(command.split("@", 1)[1])
            if not path.exists():
                return self.replies["sysbus LoadELF @/nonexistent.elf"]
            self.machine = Machine(self.board, read_elf(path))
        elif command.startswith("emulation RunFor"):
            self.advance()
            return echo + b"(h7) "
        elif command == EXECUTED:
            return echo + f"0x{self.executed:016X}\r\r\n(h7) ".encode()
        recording = self.replies.get(general(command))
        # Commands that set something print nothing, recorded or not.
        return echo + b"(h7) " if recording is None or command.startswith("sysbus Load") or "PORT" in general(command) else recording

    def listen(self, port: int) -> None:
        server = socket.create_server(("127.0.0.1", port))

        def accept() -> None:
            self.uart = server.accept()[0]
            self.uart.setblocking(False)

        threading.Thread(target=accept, daemon=True).start()

    def advance(self) -> None:
        if self.wishes.get("dies"):
            print("Fatal error: out of memory", flush=True)
            os._exit(134)
        if self.uart is None:
            return
        if text := self.wishes.get("says"):
            self.uart.send(ast.literal_eval(text))
            return
        with suppress(BlockingIOError):
            self.machine.send(self.uart.recv(65536))
        self.executed = max(self.executed, self.machine.run(SLICE_INSTRUCTIONS).instructions)
        if data := self.machine.receive():
            self.uart.setblocking(True)
            self.uart.sendall(data)
            self.uart.setblocking(False)


def main() -> None:
    stand_in = StandIn(json.loads(Path(os.environ["HILNAS_STAND_IN"]).read_text()))
    assert sys.argv[1:4] == ["--disable-xwt", "--plain", "--hide-log"], sys.argv
    server = socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("-P") + 1])))
    monitor = server.accept()[0]
    monitor.sendall(stand_in.greeting)
    Path(os.environ["HILNAS_STAND_IN"] + ".pid").write_text(str(os.getpid()))
    with Path(os.environ["HILNAS_STAND_IN"] + ".commands").open("w") as log:
        for line in monitor.makefile("r"):
            print(line, end="", file=log, flush=True)
            monitor.sendall(stand_in.reply(line.rstrip("\n")))


if __name__ == "__main__":
    main()
