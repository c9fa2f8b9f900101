"""What can go wrong between host and flash. Each flasher says by which words its tool tells of which failure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UDEV = (
    "install a udev rule (Debian: apt-get install openocd, then unplug and plug in the board) or write "
    '\'SUBSYSTEM=="usb", ATTR{idVendor}=="0483", MODE="0666"\' to /etc/udev/rules.d/49-stlink.rules; '
    "in a container, pass /dev/bus/usb through"
)


@dataclass(frozen=True)
class Failure:
    """A failure, the pattern in a tool's output that tells of it, and what to check. `can_pass`: trying again may help."""

    pattern: re.Pattern[str]
    problem: str
    check: str
    can_pass: bool = False


def no_probe(words: str) -> Failure:
    """No debug probe is attached, or not the one that was named."""
    return Failure(
        re.compile(words),
        "no ST-LINK found",
        "Check that the board's ST-LINK socket is connected by a cable that carries data, that `hilnas boards --attached` lists it, "
        "and, in a container or virtual machine, that USB is passed through.",
    )


def no_permission(words: str) -> Failure:
    """The user may not open the probe."""
    return Failure(re.compile(words), "no permission to use the ST-LINK", f"As root, {_UDEV}.")


def probe_busy(words: str) -> Failure:
    """Another program holds the probe."""
    return Failure(
        re.compile(words),
        "the ST-LINK is in use by another program",
        "End the debugger, IDE or GDB server that holds it (`fuser -v /dev/bus/usb/*/*` names it).",
        can_pass=True,
    )


def no_power(words: str) -> Failure:
    """The probe sees no supply voltage at the part."""
    return Failure(
        re.compile(words),
        "the part has no supply voltage",
        "Check the board's power jumpers (IDD, power source) and its other supply, if any.",
    )


def no_answer(words: str) -> Failure:
    """The probe does not reach the part: often the first time after power-up, or because of what runs on it."""
    return Failure(
        re.compile(words),
        "the part does not answer its ST-LINK",
        "Hold the reset button while it connects, power the board off and on, or start it with BOOT0 high; "
        "a wrong `supply` in the board file has this effect, too.",
        can_pass=True,
    )


def wrong_part(words: str) -> Failure:
    """Another part than the board file says."""
    return Failure(
        re.compile(words), "the part on the board is not the board file's", "Check --board, and --probe where several boards are attached."
    )


def not_verified(words: str) -> Failure:
    """The flash does not hold what was written."""
    return Failure(
        re.compile(words),
        "the flash does not hold what was written",
        "Flash again; if that does not help, erase the whole part, and check its supply.",
        can_pass=True,
    )


def write_protected(words: str) -> Failure:
    """The flash refuses to be erased or written."""
    return Failure(
        re.compile(words),
        "the flash cannot be erased or written",
        "It may be write-protected or the part locked: take the protection off in its option bytes.",
    )


def unknown_to_tool(words: str, check: str) -> Failure:
    """The tool itself lacks what it needs for this part."""
    return Failure(re.compile(words), "the tool does not know the part", check)
