"""Torch on one thread: the networks of these tests are small, and results do not depend on the machine."""

from __future__ import annotations

import pytest

from hilnas.nas.threads import use_one_thread


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """For every test of this folder."""
    use_one_thread()
