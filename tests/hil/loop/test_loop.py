"""The closed loop: what it finds, and that no disturbance changes it."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hilnas.errors import BudgetError, InputError
from hilnas.hil.loop.closed_loop import _best, resume_run, start_run
from hilnas.hil.loop.configuration import LoopConfiguration
from hilnas.hil.loop.nets import recorded_nets
from hilnas.hil.loop.recalibrate import FirstNets
from hilnas.hil.loop.result import LoopResult
from hilnas.hil.loop.run_folder import RESULT_NAME, RunFolder
from hilnas.hil.store import MeasurementStore
from hilnas.nas.metrics import Budget
from hilnas.nas.threads import threads

LIMIT_S = 600.0
IN_MOVED_TO = 0x80  # sys/inotify.h


def test_the_result_is_what_was_measured(finished_run: RunFolder) -> None:
    result = finished_run.read(RESULT_NAME, LoopResult)
    records = {record.name: record for record in recorded_nets(finished_run)}
    for candidate in result.candidates:
        record = records[candidate.name]
        assert candidate.measured.latency_s == record.latency_s > 0
        assert candidate.measured.flash_bytes == record.flash_bytes
        assert sum(candidate.exit_rates) == pytest.approx(1.0)
        assert 0 < candidate.expected_latency_s <= candidate.measured.latency_s
        files = finished_run.candidate(candidate.name)
        assert all((files / name).stat().st_size for name in ("model.tflite", "model.onnx", "firmware/firmware.elf"))
    assert result.best in {candidate.name for candidate in result.candidates}


def test_the_best_candidate_is_the_most_accurate_that_meets_the_budget(finished_run: RunFolder) -> None:
    found = finished_run.read(RESULT_NAME, LoopResult).rounds[0]

    def best(*candidates: tuple[float, float, bool]) -> int:
        """Which of these accuracies and latencies, and whether they meet the budget."""
        made = [
            replace(
                found.candidates[0],
                name=str(index),
                meets_budget=meets,
                measured=replace(found.candidates[0].measured, accuracy=accuracy, latency_s=latency_s),
            )
            for index, (accuracy, latency_s, meets) in enumerate(candidates)
        ]
        return int(_best([replace(found, candidates=tuple(made))], Budget(latency_s=0.5)).name)

    assert best((0.7, 0.1, True), (0.8, 0.3, True), (0.8, 0.2, True), (0.9, 0.6, False)) == 2
    assert best((0.9, 0.8, False), (0.1, 0.6, False)) == 1


def test_every_measurement_is_stored_once_and_bit_exact(finished_run: RunFolder) -> None:
    with MeasurementStore.existing(finished_run.store_path) as store:
        measurements = store.find()
    models = [measurement.model_sha256 for measurement in measurements]
    assert sorted(models) == sorted({record.model_sha256 for record in recorded_nets(finished_run)})
    assert all(measurement.bit_exact for measurement in measurements)


def test_memory_of_candidates_is_predicted_before_they_are_built(finished_run: RunFolder) -> None:
    result = finished_run.read(RESULT_NAME, LoopResult)
    for candidate in result.candidates:
        assert candidate.predicted.sram_bytes == candidate.measured.sram_bytes
        assert candidate.predicted.flash_bytes == pytest.approx(candidate.measured.flash_bytes, abs=2000)


def test_held_out_nets_are_not_learned_from(finished_run: RunFolder) -> None:
    first = finished_run.read("stages/first_nets.json", FirstNets)
    assert not set(first.held_out) & set(first.fitted)
    result = finished_run.read(RESULT_NAME, LoopResult)
    assert not set(first.held_out) & {candidate.architecture for candidate in result.candidates}


def test_going_on_with_a_finished_run_measures_nothing(finished_run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(finished_run.path, copy.path)
    before = (copy.path / RESULT_NAME).read_bytes()
    with threads(3):
        resume_run(copy, workers=1, say=lambda line: None)
        assert torch.get_num_threads() == 3, "the caller keeps its threads"
    assert (copy.path / RESULT_NAME).read_bytes() == before
    with MeasurementStore(copy.store_path) as store:
        assert len(store) == len(recorded_nets(copy))


def test_a_budget_that_nothing_meets_names_the_nearest(finished_run: RunFolder, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(finished_run.path, folder.path)
    for stage in ("budget.json", "round_1_proposals.json"):
        (folder.path / "stages" / stage).unlink()
    (folder.path / "run.json").unlink()
    asked = finished_run.description().configuration
    folder.create(replace(asked, limits=Budget(latency_s=1.0, flash_bytes=1000, sram_bytes=2.5e5)))
    with pytest.raises(BudgetError, match=r"nearest .* flash \S+ kB \(limit 1 kB\), SRAM \S+ kB \(limit 250 kB\)"):
        resume_run(folder, workers=1, say=lambda line: None)


@pytest.mark.parametrize(("changes", "named"), [({"board": "no-such"}, "no-such"), ({"data": "nothing.npz"}, "nothing.npz")])
def test_wrong_input_leaves_no_run_behind(tmp_path: Path, changes: dict[str, str], named: str) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match=named):
        start_run(folder, LoopConfiguration(**changes))  # type: ignore[arg-type]
    assert not folder.path.exists()


def test_resume_takes_no_other_wishes(finished_run: RunFolder) -> None:
    done = _hilnas("loop", "--resume", str(finished_run.path), "--seed", "1")
    assert done.wait(LIMIT_S) == 2


def test_a_disturbed_run_ends_like_an_undisturbed_one(finished_run: RunFolder, tiny_loop: LoopConfiguration, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    start_run(folder, tiny_loop)
    resume = ("loop", "--resume", str(folder.path))

    full = _hilnas(*resume, largest_file=500_000)
    _, message = full.communicate(timeout=LIMIT_S)
    assert full.returncode == 7, message
    assert "cannot write" in message and "Traceback" not in message

    interrupted = _hilnas(*resume)
    _wait_until(folder.supernet_path.exists, folder.path, interrupted)
    os.killpg(interrupted.pid, signal.SIGINT)
    _, message = interrupted.communicate(timeout=LIMIT_S)
    assert interrupted.returncode == 130, message
    assert f"hilnas loop --resume {folder.path}" in message

    killed = _hilnas(*resume)
    nets = folder.path / "stages" / "nets"
    nets.mkdir(parents=True, exist_ok=True)
    _wait_until(lambda: len(recorded_nets(folder)) >= 2, nets, killed)
    killed.kill()
    killed.communicate(timeout=LIMIT_S)
    known = _stored(folder)
    assert known

    last = _hilnas(*resume, "--json")
    output, message = last.communicate(timeout=LIMIT_S)
    assert last.returncode == 0, message
    assert json.loads(output)["best"] == finished_run.read(RESULT_NAME, LoopResult).best
    assert (folder.path / RESULT_NAME).read_bytes() == (finished_run.path / RESULT_NAME).read_bytes()
    after = _stored(folder)
    assert after[: len(known)] == known
    assert len(after) == len(recorded_nets(folder))


@pytest.mark.acceptance
def test_ten_random_kills_change_nothing(finished_run: RunFolder, tiny_loop: LoopConfiguration, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    start_run(folder, tiny_loop)
    rng = np.random.default_rng(10)
    total = sum(finished_run.stopwatch().seconds.values())
    for _ in range(10):
        process = _hilnas("loop", "--resume", str(folder.path))
        try:
            process.communicate(timeout=float(rng.uniform(0.05, 0.5)) * total)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate(timeout=LIMIT_S)
    last = _hilnas("loop", "--resume", str(folder.path))
    _, message = last.communicate(timeout=LIMIT_S)
    assert last.returncode == 0, message
    assert (folder.path / RESULT_NAME).read_bytes() == (finished_run.path / RESULT_NAME).read_bytes()
    assert len(_stored(folder)) == len(recorded_nets(folder))


def _hilnas(*arguments: str, largest_file: int | None = None) -> subprocess.Popen[str]:
    """The command in a process group of its own; `largest_file` bytes make the disk look full."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it, and so would what they start
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.Popen(
        [sys.executable, "-m", "hilnas.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=prepare,
    )


def _wait_until(condition: Callable[[], bool], arrivals: Path, process: subprocess.Popen[str]) -> None:
    """Looks at the condition whenever a file has arrived in the folder `arrivals`: whole files are moved there."""
    native = ctypes.CDLL(None, use_errno=True)
    watch, ended = native.inotify_init1(os.O_CLOEXEC), os.pidfd_open(process.pid)
    try:
        assert native.inotify_add_watch(watch, os.fsencode(arrivals), IN_MOVED_TO) > 0, os.strerror(ctypes.get_errno())
        events = select.poll()
        events.register(watch, select.POLLIN)
        events.register(ended, select.POLLIN)
        while not condition():
            happened = [descriptor for descriptor, _ in events.poll(LIMIT_S * 1e3)]
            assert ended not in happened or watch in happened, process.communicate()[1]
            assert happened, f"no file arrived in {arrivals} within {LIMIT_S} s"
            os.read(watch, 65_536)
    finally:
        os.close(watch)
        os.close(ended)


def _stored(folder: RunFolder) -> list[str]:
    with MeasurementStore.existing(folder.store_path) as store:
        return [measurement.build_id for measurement in store.find()]
