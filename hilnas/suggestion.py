"""What a mistyped name was meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that ends in a space, or nothing if no known name is like `name`."""
    close = get_close_matches(name, list(known), 3)
    return f"Did you mean {' or '.join(close)}? " if close else ""
