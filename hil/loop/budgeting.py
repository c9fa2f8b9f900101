"""A budget that bites: limits that each exclude a known share of random nets."""

from __future__ import annotations

import math

import numpy as np

from hilnas.hil.loop.result import BudgetResult
from hilnas.nas.metrics import Budget, FloatArray, Metrics

EXCLUDED = 0.3
"""The share of random nets that each chosen limit excludes at least: more than the fifth it has to, for predictions err."""


def choose_budget(random_nets: Metrics, given: Budget) -> BudgetResult:
    """Limits on latency, flash and SRAM from the metrics of random nets; a limit that the user gave is kept as it is."""
    chosen = {
        "latency_s": _rounded_down(_limit(random_nets.latency_s.mean)),
        "flash_bytes": _limit(random_nets.flash_bytes.mean),
        "sram_bytes": _limit(random_nets.sram_bytes.mean),
    }
    limits = chosen | given.limits()
    excluded = {name: float(np.mean(getattr(random_nets, name).mean > limit)) for name, limit in limits.items()}
    return BudgetResult(Budget(**limits), excluded)


def _limit(values: FloatArray) -> float:
    """The largest of the values that at least the share `EXCLUDED` of them exceeds; the smallest if none is so small."""
    levels = np.unique(values)
    exceeding = 1.0 - np.searchsorted(np.sort(values), levels, side="right") / len(values)
    biting = levels[exceeding >= EXCLUDED]
    return float(biting[-1] if len(biting) else levels[0])


def _rounded_down(seconds: float) -> float:
    """The number with three significant digits, not larger than it was."""
    step = 10.0 ** (math.floor(math.log10(seconds)) - 2)
    return float(f"{math.floor(seconds / step + 1e-9) * step:.3g}")
