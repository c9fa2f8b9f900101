"""Recalibration from stored measurements."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hilnas.cli.main import verbs
from hilnas.errors import InputError
from hilnas.hil.loop.recalibrate import latency_error, recalibrate
from hilnas.hil.loop.result import LatencyError, LoopResult
from hilnas.hil.loop.run_folder import RESULT_NAME, RunFolder
from hilnas.hil.store import MeasurementStore
from hilnas.nas.metrics import Estimate
from hilnas.nas.network import DIGITS
from hilnas.nas.predictors.gaussian_process import GaussianProcess
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_work import work


@pytest.fixture
def run(finished_run: RunFolder, tmp_path: Path) -> RunFolder:
    shutil.copytree(finished_run.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_the_error_is_relative_to_what_was_measured() -> None:
    assert latency_error([1.1, 1.9], [1.0, 2.0]) == LatencyError(pytest.approx(0.075), pytest.approx(0.1))


def test_the_runs_own_measurements_give_the_loops_own_errors(run: RunFolder) -> None:
    result = run.read(RESULT_NAME, LoopResult)
    again = recalibrate(run)  # learns in another order than the loop did
    assert again.before == result.first_fit_error
    assert again.after.mean == pytest.approx(result.rounds[-1].held_out_error.mean, rel=1e-3)
    assert again.judged == len(result.held_out.measured)


def test_measurements_of_another_board_are_learned_by_model(run: RunFolder) -> None:
    with MeasurementStore(run.store_path) as store:
        slower = [replace(one, board="slow", latency_s=(one.latency_s or 0) * 3) for one in store.find()]
        store.add(*slower)
    result = recalibrate(run, board="slow")
    # The first fit knows a board that is three times as fast.
    assert result.before.mean > 0.5
    assert result.after.mean < 0.5


def test_too_few_measurements_are_named(run: RunFolder) -> None:
    with pytest.raises(InputError, match="of 0 nets to learn from"):
        recalibrate(run, target="serial")


def test_the_verb_prints_both_errors(run: RunFolder) -> None:
    result = CliRunner().invoke(verbs, ["recalibrate", str(run.path), "--json"])
    document = json.loads(result.output)
    assert {"before", "after", "learned", "judged"} <= set(document)
    assert "first fit" in CliRunner().invoke(verbs, ["recalibrate", str(run.path)]).output


def test_work_that_no_measured_net_has_does_not_spoil_predictions() -> None:
    space = McuSpace(DIGITS)
    nets = space.canonical(space.sample(13, np.random.default_rng(0)))
    seconds = work(space, nets)[:, 0] * 1e-9
    process = GaussianProcess(space.encode, lambda batch: np.column_stack([work(space, batch), (batch == nets[-1]).all(axis=1) * 1e4]))
    process.update(nets[:12], Estimate.exact(seconds[:12]))
    assert process.predict(nets[12:]).mean[0] == pytest.approx(seconds[12], rel=0.3)
