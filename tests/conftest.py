"""What all tests share: the data folder. Where it is absent its tests skip with a reason; in CI that is a failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Networks of these sizes are fastest on one thread, and threads that wait for each other are slow on busy machines.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder that HILNAS_DATA names."""
    folder = os.environ.get("HILNAS_DATA")
    if folder and Path(folder).is_dir():
        return Path(folder)
    reason = "HILNAS_DATA names no folder"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
