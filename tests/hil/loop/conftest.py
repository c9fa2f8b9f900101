"""A finished run of the loop, as small as one can be, for all tests that need one."""

from __future__ import annotations

import pytest

from hilnas.hil.loop.closed_loop import resume_run, start_run
from hilnas.hil.loop.configuration import LoopConfiguration
from hilnas.hil.loop.run_folder import RunFolder
from hilnas.nas.metrics import Budget

TINY = LoopConfiguration(
    rounds=1,
    limits=Budget(latency_s=1.0, flash_bytes=1e6, sram_bytes=2.5e5),
    epochs=2,
    trained_accuracies=10,
    first_nets=3,
    held_out=2,
    proposals=1,
    explored=1,
    evaluations=200,
)
"""Asks for too little to find good nets, but for every step. Its budget is one that every net meets."""


@pytest.fixture(scope="session")
def tiny_loop() -> LoopConfiguration:
    """What the smallest run is asked."""
    return TINY


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The smallest run, undisturbed. Tests must not change it."""
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    start_run(folder, TINY)
    resume_run(folder, workers=2, say=lambda line: None)
    return folder
