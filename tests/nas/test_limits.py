"""Budgets as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilnas.errors import InputError
from hilnas.nas.limits import parse_budget, show_against_budget, show_budget
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


@pytest.mark.parametrize(
    "text", ["latency=0.9s", "latency=25ms", "latency=1us", "flash=1.4MB", "flash=2MiB", "sram=880kB", "sram=20KiB", "sram=24001B"]
)
def test_limits_are_shown_as_they_are_written(text: str) -> None:
    key, _, limit = text.partition("=")
    shown = show_budget(parse_budget(text))
    assert (shown.split(" ")[0].lower(), "".join(shown.split(" ")[1:])) == (key, limit)


@given(st.sampled_from(["latency", "flash", "sram"]), st.integers(1, 10**9))
def test_a_shown_limit_is_the_limit(key: str, count: int) -> None:
    budget = parse_budget(f"{key}={count}us" if key == "latency" else f"{key}={count}B")
    name, number, unit = show_budget(budget).split()
    (limit,) = budget.limits().values()
    assert parse_budget(f"{name.lower()}={number}{unit}").limits() == {next(iter(budget.limits())): pytest.approx(limit, rel=1e-11)}


def test_values_are_shown_in_the_unit_of_their_limits() -> None:
    budget = parse_budget("latency=0.9s,sram=250kB")
    values = {"accuracy": 0.5, "latency_s": 1.23, "flash_bytes": 1.0, "sram_bytes": 251_500.0}
    assert show_against_budget(budget, values) == "latency 1.23 s (limit 0.9 s), SRAM 251.5 kB (limit 250 kB)"
