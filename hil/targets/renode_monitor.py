"""Renode's monitor over TCP: one command at a time, its output or its error."""

from __future__ import annotations

import re
import socket
import time
from types import TracebackType

from hilnas.errors import ConnectError, TargetError, TargetTimeoutError

_TELNET = re.compile(rb"\xff[\xfb-\xfe].", re.DOTALL)
_PROMPT = re.compile(rb"(?:^|[\r\n])\([^()\r\n]+\) $")
_ERROR = "There was an error executing command"
_CONNECT_PAUSE_S = 0.1


class Monitor:
    """A connection to the monitor at a port of this host. `version` is what the monitor says of itself. Use as a context manager.

    Args:
        give_up: until when (`time.monotonic`) to wait for Renode to start.
        reply_s: how long a command may take.

    Raises:
        ConnectError: nothing answers there.
    """

    def __init__(self, port: int, give_up: float, reply_s: float) -> None:
        self._reply_s = reply_s
        self._socket = _connect(port, give_up)
        try:
            greeting = self._until_prompt("the greeting", max(give_up - time.monotonic(), 1.0))
        except BaseException:
            self._socket.close()
            raise
        found = re.search(r"Renode, version (\S+)", greeting)
        self.version = f"Renode {found[1]}" if found else "Renode"

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def execute(self, command: str) -> str:
        """Runs a command and returns what it printed.

        Raises:
            TargetError: Renode refused it; the message has Renode's reason.
            TargetTimeoutError: no end of it.
        """
        try:
            self._socket.sendall(command.encode() + b"\n")
        except OSError as error:
            raise self._broken(command) from error
        said = self._until_prompt(command, self._reply_s)
        lines = [line.strip() for line in re.split(r"[\r\n]+", said.replace(command, "", 1))]
        lines = [line for line in lines[:-1] if line]
        for index, line in enumerate(lines):
            if line.startswith(_ERROR):
                reason = " ".join(lines[index + 1 :]) or "no reason given"
                raise TargetError(f"Renode refused `{command}`: {reason}", "Is it Renode 1.16 or newer?")
        return "\n".join(lines)

    def number(self, command: str) -> int:
        """Runs a command that prints a number.

        Raises:
            TargetError: it prints something else, or was refused.
        """
        said = self.execute(command)
        try:
            return int(said, 0)
        except ValueError as error:
            raise TargetError(
                f"Renode answered `{command}` with {said[:80]!r}, which is no number", "Is it Renode 1.16 or newer?"
            ) from error

    def _until_prompt(self, command: str, timeout_s: float) -> str:
        """What comes up to the next prompt, the prompt included."""
        give_up = time.monotonic() + timeout_s
        received = b""
        while not _PROMPT.search(received):
            self._socket.settimeout(max(give_up - time.monotonic(), 0.001))
            try:
                data = self._socket.recv(65536)
            except TimeoutError as error:
                raise TargetTimeoutError(f"Renode does not end `{command}` within {timeout_s:.0f} s", "Is the host overloaded?") from error
            except OSError as error:
                raise self._broken(command) from error
            if not data:
                raise self._broken(command)
            received = _TELNET.sub(b"", received + data)
        return received.decode(errors="replace")

    def _broken(self, command: str) -> ConnectError:
        return ConnectError(f"Renode closed its monitor during `{command}`", "Start it by hand to see why.")


def _connect(port: int, give_up: float) -> socket.socket:
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1.0)
        except OSError as error:
            if time.monotonic() >= give_up:
                raise ConnectError(
                    f"Renode's monitor does not answer at port {port}: {error}", "Start Renode by hand to see why."
                ) from error
            time.sleep(_CONNECT_PAUSE_S)
