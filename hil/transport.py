"""How bytes reach a target and come back."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

import serial

from hilnas.errors import ConnectError, TargetError

_READ_BYTES = 4096


class Transport(Protocol):
    """A byte stream to a target."""

    def read(self, timeout_s: float) -> bytes:
        """What has come; waits for the first byte, at most `timeout_s`. Empty if none came, or if none can come any more."""

    def write(self, data: bytes) -> None:
        """Sends all of it."""


class SerialTransport:
    """Anything that pyserial opens: a port of the host, or `socket://HOST:PORT`. Use as a context manager.

    Raises:
        ConnectError: it cannot be opened.
    """

    def __init__(self, url: str, baud_rate: int) -> None:
        self._url = url
        try:
            self._port = serial.serial_for_url(url, baudrate=baud_rate, timeout=0)
        except (serial.SerialException, OSError, ValueError) as error:
            raise ConnectError(f"cannot open {url}: {error}", "Check that it exists and that nothing else uses it.") from error

    def __enter__(self) -> SerialTransport:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._port.close()

    def read(self, timeout_s: float) -> bytes:
        """See `Transport`.

        Raises:
            TargetError: the connection broke.
        """
        try:
            self._port.timeout = timeout_s
            first = bytes(self._port.read(1))
            self._port.timeout = 0
            return first + bytes(self._port.read(_READ_BYTES)) if first else b""
        except (serial.SerialException, OSError) as error:
            raise self._broken(error) from error

    def write(self, data: bytes) -> None:
        """See `Transport`.

        Raises:
            TargetError: the connection broke.
        """
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> TargetError:
        return TargetError(f"the connection to {self._url} broke: {error}", "Check that the target still runs.")
