"""Budgets as text: latency=0.9,flash=1.4MB,sram=880kB."""

from __future__ import annotations

import math
import re

from hilnas.errors import InputError
from hilnas.nas.metrics import Budget

SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
BYTES = {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "kib": 1024.0, "mib": 1024.0**2}
KEYS = {"latency": ("latency_s", SECONDS), "flash": ("flash_bytes", BYTES), "sram": ("sram_bytes", BYTES)}
_VALUE = re.compile(r"\s*([0-9.eE+-]+?)\s*([a-zA-Z]*)\s*")


def parse_budget(text: str) -> Budget:
    """Reads limits separated by commas; latency in s, ms or us, sizes in B, kB, MB, KiB or MiB. An empty text is no limit.

    Raises:
        InputError: an unknown name or unit, a name twice, or no positive number.
    """
    limits: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, _, value = part.partition("=")
        if key not in KEYS:
            raise InputError(f"the budget has no limit {key!r}", "Give latency=, flash= or sram=, for example latency=0.9,flash=1.4MB.")
        name = KEYS[key][0]
        if name in limits:
            raise InputError(f"the budget limits {key} twice", "Give each limit once.")
        limits[name] = parse_limit(key, value)
    return Budget(**limits)


def parse_limit(key: str, text: str) -> float:
    """Reads one limit, of `latency`, `flash` or `sram`: seconds or bytes.

    Raises:
        InputError: an unknown unit, or no positive number.
    """
    units = KEYS[key][1]
    match = _VALUE.fullmatch(text)
    if match is None or match[2].lower() not in units:
        raise InputError(f"{text!r} is no limit for {key}", f"Give a number with one of the units: {', '.join(filter(None, units))}.")
    return _positive(key, match[1]) * units[match[2].lower()]


def _positive(key: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number > 0.0 and math.isfinite(number)):
        raise InputError(f"{text!r} is no limit for {key}", "Give a positive number.")
    return number
