"""How bytes reach a target and come back."""

from __future__ import annotations

import errno
import time
from types import TracebackType
from typing import Any, Protocol

import serial

from hilnas.errors import ConnectError, TargetError, TargetTimeoutError

# pyserial sets the port up anew, which takes its time over a network, whenever its time-out changes: it stays, and is waited for again.
_SLICE_S = 0.05
_WRITE_S = 10.0
_LOCAL: dict[str, Any] = {"write_timeout": _WRITE_S, "exclusive": True}
"""What only ports of this host can do."""


class Transport(Protocol):
    """A byte stream to a target."""

    def read(self, timeout_s: float) -> bytes:
        """What has come; waits for the first byte, at most `timeout_s`. Empty if none came, or if none can come any more."""

    def write(self, data: bytes) -> None:
        """Sends all of it."""


class PortForbiddenError(ConnectError):
    """The user may not open the port: trying again does not help."""


class SerialTransport:
    """Anything that pyserial opens, for itself alone: a port of the host, `socket://HOST:PORT` or `rfc2217://HOST:PORT`. A context manager.

    Raises:
        PortForbiddenError: the user may not open it.
        ConnectError: it is missing, in use, or cannot be opened for another reason.
    """

    def __init__(self, url: str, baud_rate: int) -> None:
        self._url = url
        try:
            self._port = serial.serial_for_url(url, baudrate=baud_rate, timeout=_SLICE_S, **({} if "://" in url else _LOCAL))
        except (serial.SerialException, OSError, ValueError) as error:
            raise _cannot_open(url, error) from error

    def __enter__(self) -> SerialTransport:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._port.close()

    def read(self, timeout_s: float) -> bytes:
        """See `Transport`.

        Raises:
            TargetError: the connection broke.
        """
        give_up = time.monotonic() + timeout_s
        try:
            while not (data := bytes(self._port.read(max(1, self._port.in_waiting)))) and time.monotonic() < give_up:
                pass
            return data
        except (serial.SerialException, OSError) as error:
            raise self._broken(error) from error

    def write(self, data: bytes) -> None:
        """See `Transport`.

        Raises:
            TargetError: the connection broke.
        """
        try:
            self._port.write(data)
        except serial.SerialTimeoutException as error:
            raise TargetTimeoutError(f"{self._url} takes no bytes for {_WRITE_S:g} s", "Check the cable and the target's power.") from error
        except (serial.SerialException, OSError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> TargetError:
        return TargetError(f"the connection to {self._url} broke: {error}", "Check that the target still runs.")


def _cannot_open(url: str, error: Exception) -> ConnectError:
    match getattr(error, "errno", None):
        case errno.EACCES | errno.EPERM:
            return PortForbiddenError(
                f"no permission to open {url}", "Join the group that owns it: sudo usermod -aG dialout $USER, then log in again."
            )
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return ConnectError(f"there is no port {url}", "Check the cable and that the board has power; see `hilnas boards --attached`.")
        case errno.EBUSY | errno.EAGAIN:
            return ConnectError(f"another program uses {url}", "End it: a terminal program, or a modem manager.")
    return ConnectError(f"cannot open {url}: {error}", "Check that it exists and that nothing else uses it.")
