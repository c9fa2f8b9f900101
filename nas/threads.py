"""How many threads torch may use. Sums in floating point depend on how many threads add them up: results must not depend on the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Gives torch `count` threads, and afterwards as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_thread() -> AbstractContextManager[None]:
    """Keeps torch on one thread: small matrices are not worth sharing, and on busy cores its threads wait for each other."""
    return threads(1)


def use_one_thread() -> None:
    """Keeps torch on one thread for good: for processes that are ours alone."""
    import torch

    torch.set_num_threads(1)
