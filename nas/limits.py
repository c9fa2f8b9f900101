"""Budgets as text: latency=0.9s,flash=1.4MB,sram=880kB."""

from __future__ import annotations

from collections.abc import Mapping

from hilnas.errors import InputError
from hilnas.limits import parse_limit, show_against, show_limit
from hilnas.nas.metrics import Budget

_FIELDS = {"latency": "latency_s", "flash": "flash_bytes", "sram": "sram_bytes"}
_KEYS = {name: key for key, name in _FIELDS.items()}
METRIC_WORDS = {"latency_s": "latency", "flash_bytes": "flash", "sram_bytes": "SRAM"}
"""What people read in place of a metric's name."""


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


def show_budget(budget: Budget) -> str:
    """The limits as people write them: `latency 0.9 s, flash 1.4 MB`."""
    return ", ".join(f"{METRIC_WORDS[name]} {show_limit(_KEYS[name], limit)}" for name, limit in budget.limits().items())


def show_against_budget(budget: Budget, values: Mapping[str, float]) -> str:
    """Values by metric beside their limits: `latency 1.23 s (limit 0.9 s)`. Those without a limit are left out."""
    limits = {name: limit for name, limit in budget.limits().items() if name in values}
    return ", ".join(f"{METRIC_WORDS[name]} {show_against(_KEYS[name], values[name], limit)}" for name, limit in limits.items())
