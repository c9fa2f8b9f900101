"""The closed loop on several boards at once, which do what boards do: it measures what an undisturbed run measures."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from hilnas.errors import ConnectError
from hilnas.hil.loop.closed_loop import resume_run
from hilnas.hil.loop.nets import recorded_nets
from hilnas.hil.loop.result import LoopResult
from hilnas.hil.loop.run_folder import RESULT_NAME, RunFolder
from hilnas.hil.measurement import Measurement
from hilnas.hil.store import MeasurementStore
from hilnas.hil.virtual_board.faults import Fault

sys.path.insert(0, str(Path(__file__).parents[1]))
from virtual_boards import PATIENCE, PERSISTENCE, probe_of, selection, virtual_board

DYING_LAYERS = 100
"""The smallest net has more layers than this in its verification: the board dies in its first measurement."""
STUBBORN = replace(PERSISTENCE, failures=8, patience=replace(PATIENCE, attempts=10))
"""A board that resets at random is no board that only fails."""


def run_again_on_boards(finished: RunFolder, path: Path) -> RunFolder:
    """A run that is asked for the same on the target serial. The supernet is trained; nothing is measured."""
    folder = RunFolder(path)
    shutil.copytree(finished.path, path)
    shutil.rmtree(path / "stages" / "nets")
    for name in ("run.json", RESULT_NAME):
        (path / name).unlink()
    for file in path.glob("measurements.db*"):
        file.unlink()
    folder.create(replace(finished.description().configuration, target="serial"))
    return folder


def stored(folder: RunFolder) -> dict[str, Measurement]:
    """The measurements of a run by build id, without what differs from run to run."""
    with MeasurementStore.existing(folder.store_path) as store:
        measurements = store.find()
    assert max(Counter(one.build_id for one in measurements).values()) == 1
    return {one.build_id: replace(one, target="", instructions=None, layers=(), attempts=(), provenance={}) for one in measurements}


def test_three_boards_measure_what_an_undisturbed_run_measures(finished_run: RunFolder, tmp_path: Path) -> None:
    """Noise on every line, one board that resets at random, one that dies midway."""
    folder = run_again_on_boards(finished_run, tmp_path / "run")
    said: list[str] = []
    with (
        virtual_board([Fault.NOISE], seed=1) as noisy,
        virtual_board([Fault.NOISE, Fault.RESETS, Fault.RESET], seed=2) as resetting,
        virtual_board([Fault.NOISE, Fault.DIES], seed=3, layers=DYING_LAYERS) as dying,
    ):
        result = resume_run(folder, 3, said.append, selection(dying, resetting, noisy, persistence=STUBBORN))
    assert replace(result, target="emulator") == finished_run.read(RESULT_NAME, LoopResult)
    assert recorded_nets(folder) == recorded_nets(finished_run)
    assert stored(folder) == stored(finished_run)
    dead = f"set aside: board {probe_of(dying)}: the target has no power (target voltage 0.0 V)"
    assert [line for line in said if "set aside" in line] == [dead]
    with MeasurementStore.existing(folder.store_path) as store:
        measurements = store.find()
    assert all(probe_of(dying) not in str(one.provenance["target_version"]) for one in measurements)
    assert any("reset itself" in attempt for one in measurements for attempt in one.attempts)


@pytest.mark.acceptance
def test_a_run_without_a_board_left_names_them_and_goes_on_with_others(finished_run: RunFolder, tmp_path: Path) -> None:
    folder = run_again_on_boards(finished_run, tmp_path / "run")
    said: list[str] = []
    with virtual_board([Fault.DIES]) as dying, pytest.raises(ConnectError, match="no board is left"):
        resume_run(folder, 1, said.append, selection(dying))
    assert any(f"set aside: board {probe_of(dying)}" in line for line in said)
    with virtual_board() as repaired:
        resume_run(folder, 2, said.append, selection(repaired))
    assert stored(folder) == stored(finished_run)
