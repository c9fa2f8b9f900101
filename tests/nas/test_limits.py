"""Budgets as text."""

from __future__ import annotations

import pytest

from hilnas.errors import InputError
from hilnas.nas.limits import parse_budget
from hilnas.nas.metrics import Budget


def test_limits_have_units() -> None:
    assert parse_budget("latency=0.9s,flash=1.4MB, sram=880kB") == Budget(0.9, 1.4e6, 880e3)
    assert parse_budget("latency=25ms,sram=512KiB") == Budget(0.025, None, 512 * 1024)
    assert parse_budget("flash=2e6B") == Budget(flash_bytes=2e6)
    assert parse_budget("") == Budget()


@pytest.mark.parametrize(
    "text",
    [
        "speed=1",
        "latency",
        "latency=",
        "latency=fast",
        "latency=-1s",
        "latency=0s",
        "latency=25",
        "flash=2e6",
        "flash=1GB",
        "flash=1B,flash=2B",
        "latency=1kB",
        "sram=nanB",
        "latency=1e999s",
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_budget(text)
