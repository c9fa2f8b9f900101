"""The boards that are attached to this host: their debug probes, and which of them a user means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

from hilnas.errors import ConnectError

AUTO = "auto"
USB_DEVICES = Path("/sys/bus/usb/devices")
ST_VENDOR = 0x0483
# The on-board ST-LINKs (ST's firmware; OpenOCD's interface/stlink.cfg lists the same) that debug: V2, V2-1, V3.
ST_LINKS = frozenset({0x3748, 0x374B, 0x374D, 0x374E, 0x374F, 0x3752, 0x3753, 0x3754, 0x3757})


@dataclass(frozen=True)
class Probe:
    """A debug probe: its USB identity, and its virtual COM port (a device path) if it has one."""

    serial_number: str
    vendor_id: int
    product_id: int
    port: str | None
    description: str

    def __str__(self) -> str:
        return f"{self.serial_number} ({self.description}, {self.port or 'no port'})"


def attached_boards() -> list[Probe]:
    """Every ST-LINK that is attached, by serial number; on Linux also those without a serial port."""
    found = {
        port.serial_number or port.device: Probe(
            port.serial_number or "", port.vid, port.pid, port.device, port.product or port.description or ""
        )
        for port in sorted(list_ports.comports(), key=lambda port: port.device, reverse=True)
        if port.vid == ST_VENDOR and port.pid in ST_LINKS
    }
    for probe in _without_port():
        found.setdefault(probe.serial_number, probe)
    return [found[key] for key in sorted(found)]


def _without_port() -> Iterator[Probe]:
    """What Linux lists as a USB device, whether it has a driver or not."""
    for device in USB_DEVICES.glob("*/idVendor"):
        values = {name: _read(device.with_name(name)) for name in ("idVendor", "idProduct", "serial", "product")}
        vendor, product = int(values["idVendor"] or "0", 16), int(values["idProduct"] or "0", 16)
        if vendor == ST_VENDOR and product in ST_LINKS:
            yield Probe(values["serial"], vendor, product, None, values["product"])


def _read(path: Path) -> str:
    """A file of sysfs; empty where the device has no such thing or has gone meanwhile."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def choose_probe(serial_number: str | None, attached: Sequence[Probe]) -> Probe | None:
    """The probe of that serial number, or else the only one; None where none is attached and none was named.

    Raises:
        ConnectError: it is not attached, or there are several to choose from.
    """
    if serial_number is None:
        if len(attached) > 1:
            raise ConnectError(f"{len(attached)} boards are attached: {_listing(attached)}", "Name one with --probe SERIAL_NUMBER.")
        return attached[0] if attached else None
    for probe in attached:
        if probe.serial_number == serial_number:
            return probe
    raise ConnectError(
        f"no probe {serial_number} is attached; there is {_listing(attached) or 'none'}", "`hilnas boards --attached` lists them."
    )


def choose_port(port: str, probe: str | None) -> str:
    """The serial port to open: `port` itself or, for `auto`, that of the probe (or of the only one).

    Raises:
        ConnectError: no board is attached, several are, or it has no port.
    """
    if port != AUTO:
        return port
    chosen = choose_probe(probe, attached_boards())
    if chosen is None:
        raise ConnectError(
            "no board is attached: no ST-LINK found",
            "Check that the board's ST-LINK socket is connected by a cable that carries data; a container needs USB passed through.",
        )
    if chosen.port is None:
        raise ConnectError(f"the probe {chosen} has no serial port", "Name the port with --port, or load the kernel module cdc_acm.")
    return chosen.port


def _listing(probes: Sequence[Probe]) -> str:
    return "; ".join(map(str, probes))
