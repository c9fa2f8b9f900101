"""Quantities where a person reads them; inside the program all is SI."""

from __future__ import annotations


def milliseconds(seconds: float) -> str:
    """A latency: `0.973 ms`."""
    return f"{seconds * 1e3:.3f} ms"


def kilobytes(size: float) -> str:
    """A number of bytes: `60.3 kB`, of 1,000 bytes each; `32 bytes` where that says more."""
    return f"{size / 1e3:.1f} kB" if size >= 1000 else f"{size:.0f} bytes"
