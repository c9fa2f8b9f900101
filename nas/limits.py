"""Budgets as text: latency=0.9s,flash=1.4MB,sram=880kB."""

from __future__ import annotations

from hilnas.errors import InputError
from hilnas.limits import parse_limit
from hilnas.nas.metrics import Budget

_FIELDS = {"latency": "latency_s", "flash": "flash_bytes", "sram": "sram_bytes"}


def parse_budget(text: str) -> Budget:
    """Reads limits separated by commas; latency in s, ms or us, sizes in B, kB, MB, KiB or MiB. An empty text is no limit.

    Raises:
        InputError: an unknown name or unit, a name twice, or no positive number.
    """
    limits: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, _, value = part.partition("=")
        if key not in _FIELDS:
            raise InputError(f"the budget has no limit {key!r}", "Give latency=, flash= or sram=, for example latency=0.9s,flash=1.4MB.")
        name = _FIELDS[key]
        if name in limits:
            raise InputError(f"the budget limits {key} twice", "Give each limit once.")
        limits[name] = parse_limit(key, value)
    return Budget(**limits)
