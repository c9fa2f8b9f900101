"""Limits as text: a number with its unit, the same wherever a user gives one or is told of one."""

from __future__ import annotations

import math
import re

from hilnas.errors import InputError

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "KiB": 1024.0, "MiB": 1024.0**2}
UNITS = {"latency": _SECONDS, "flash": _BYTES, "sram": _BYTES}
"""The units of each limit, in the program's own: seconds and bytes."""
_VALUE = re.compile(r"\s*([0-9.eE+-]+?)\s*([a-zA-Z]*)\s*")


def parse_limit(key: str, text: str) -> float:
    """Reads one limit, of `latency`, `flash` or `sram`: seconds or bytes. A number without a unit is refused: people expect
    milliseconds as well as seconds.

    Raises:
        InputError: no unit or an unknown one, or no positive number.
    """
    units = {name.lower(): size for name, size in UNITS[key].items()}
    match = _VALUE.fullmatch(text)
    if match is None or match[2].lower() not in units:
        raise InputError(f"{text!r} is no limit for {key}", f"Give a number with one of the units: {', '.join(UNITS[key])}.")
    return _positive(key, match[1]) * units[match[2].lower()]


def show_limit(key: str, limit: float) -> str:
    """A limit in the unit in which it is shortest, which is the one that people write it in: 0.9 s, 25 ms, 20 KiB."""
    return _in_unit(key, limit, _unit_of(key, limit), digits=12)


def show_against(key: str, value: float, limit: float) -> str:
    """A value beside its limit, in the limit's unit: `1.23 s (limit 0.9 s)`."""
    return f"{_in_unit(key, value, _unit_of(key, limit), digits=6)} (limit {show_limit(key, limit)})"


def _unit_of(key: str, limit: float) -> str:
    def length(unit: str) -> tuple[bool, int]:
        text = _in_unit(key, limit, unit, digits=12)
        return "e" in text.split()[0], len(text)

    return min(UNITS[key], key=length)


def _in_unit(key: str, value: float, unit: str, digits: int) -> str:
    return f"{value / UNITS[key][unit]:.{digits}g} {unit}"


def _positive(key: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number > 0.0 and math.isfinite(number)):
        raise InputError(f"{text!r} is no limit for {key}", "Give a positive number.")
    return number
