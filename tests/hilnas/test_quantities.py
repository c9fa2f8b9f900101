"""Latencies and sizes as people read them."""

from __future__ import annotations

import pytest

from hilnas.quantities import kilobytes, milliseconds


@pytest.mark.parametrize(("size", "text"), [(0, "0 bytes"), (32, "32 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (60_251.0, "60.3 kB")])
def test_sizes_are_in_kilobytes_of_a_thousand_bytes_unless_they_are_smaller(size: float, text: str) -> None:
    assert kilobytes(size) == text


def test_latencies_are_in_milliseconds() -> None:
    assert milliseconds(0.000_973_4) == "0.973 ms"
