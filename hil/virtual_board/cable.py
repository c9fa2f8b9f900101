"""The USB cable of a virtual board: a pseudo-terminal behind a path that can vanish, be taken, and come back as another device."""

from __future__ import annotations

import fcntl
import os
import tty
from pathlib import Path

_READ_BYTES = 4096
_KEPT_BYTES = 1 << 20
# A device that the kernel lets nobody open for writing, not even root: the way to be refused whoever asks.
_FORBIDDEN = Path("/proc/sys/kernel/ostype")


class Cable:
    """A serial port at the path `port`: a link to a pseudo-terminal's device, as udev's names are links to devices."""

    def __init__(self, port: Path) -> None:
        self.port = port
        self._device = self._host_side = -1
        self._waiting = bytearray()
        self.plug()

    @property
    def descriptor(self) -> int:
        """The board's side, to be waited for; -1 while unplugged."""
        return self._device

    @property
    def is_waiting(self) -> bool:
        """Whether there are bytes that the host has not made room for yet."""
        return bool(self._waiting)

    def plug(self) -> None:
        """Plugs it in, if it is not, and makes its port one that can be opened."""
        if self._device < 0:
            self._device, self._host_side = os.openpty()
            # Raw from the start: the terminal must not echo to the board what it says before the host has come.
            tty.setraw(self._host_side)
            os.set_blocking(self._device, False)
        fcntl.flock(self._host_side, fcntl.LOCK_UN)
        self._link(Path(os.ttyname(self._host_side)))

    def unplug(self) -> None:
        """The port is gone, and whoever has it open notices."""
        self.port.unlink(missing_ok=True)
        if self._device >= 0:
            os.close(self._device)
            os.close(self._host_side)
            self._device = self._host_side = -1
        self._waiting.clear()

    def hide(self) -> None:
        """The port is gone."""
        self.port.unlink(missing_ok=True)

    def occupy(self) -> None:
        """Takes the port as a terminal program does."""
        fcntl.flock(self._host_side, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def forbid(self) -> None:
        """Makes the port one that nobody may open."""
        self._link(_FORBIDDEN)

    def read(self) -> bytes:
        """What the host has sent."""
        try:
            return os.read(self._device, _READ_BYTES)
        except BlockingIOError:
            return b""

    def write(self, data: bytes = b"") -> None:
        """Sends to the host, as far as it reads; the rest waits for the next call. What nobody reads is lost, as on a real line."""
        if self._device < 0:
            return
        self._waiting += data
        del self._waiting[:-_KEPT_BYTES]
        try:
            while self._waiting:
                del self._waiting[: os.write(self._device, self._waiting[:_READ_BYTES])]
        except BlockingIOError:
            pass

    def _link(self, device: Path) -> None:
        fresh = self.port.with_name(f".{self.port.name}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(device)
        fresh.replace(self.port)
