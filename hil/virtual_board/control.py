"""The debug probe of a virtual board: one JSON line for a request and one for its answer, over a Unix socket."""

from __future__ import annotations

import json
import socket
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from hilnas.errors import ConnectError, InputError

PORT_NAME, PROBE_NAME = "port", "probe"
"""What lies in the folder of a virtual board: its serial port and the socket of its probe."""

_LONGEST_PATH = 107
_MAX_BYTES = 1 << 26


class ProbeError(ConnectError):
    """The probe was reached and could not do what it was asked."""


def listen(path: Path) -> socket.socket:
    """The probe's end, at `path`.

    Raises:
        InputError: the path is too long for a socket.
    """
    if len(str(path).encode()) > _LONGEST_PATH:
        raise InputError(f"{path} is too long for a socket: {_LONGEST_PATH} bytes are the most", "Choose a shorter folder.")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def ask_probe(path: Path, command: str, elf: bytes = b"", timeout_s: float = 60.0) -> str:
    """Asks the probe at `path` to `flash` an ELF, to `reset` the board, or what it is (`identify`); returns its answer.

    Raises:
        ConnectError: nobody answers there.
        ProbeError: the probe could not do it.
    """
    request = {"command": command, "elf": b64encode(elf).decode()}
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(_line(connection))
    except (OSError, ValueError) as error:
        raise ConnectError(
            f"the virtual board's probe {path} does not answer: {error}", "Is `hilnas virtual-board` still running?"
        ) from error
    if "error" in answer:
        raise ProbeError(str(answer["error"]), "This is what the virtual board was asked to do wrong; it may go well next time.")
    return str(answer["done"])


def receive_request(connection: socket.socket) -> tuple[str, bytes]:
    """A request as the probe gets it: the command and the ELF.

    Raises:
        ValueError, OSError: it is none, or stays away.
    """
    request: dict[str, Any] = json.loads(_line(connection))
    return str(request.get("command")), b64decode(str(request.get("elf", "")))


def answer(connection: socket.socket, *, done: str | None = None, error: str | None = None) -> None:
    """Answers a request."""
    connection.sendall(json.dumps({"done": done} if error is None else {"error": error}).encode() + b"\n")


def _line(connection: socket.socket) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n") and len(received) < _MAX_BYTES:
        piece = connection.recv(65_536)
        if not piece:
            break
        received += piece
    return bytes(received)
