"""The journal of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hilnas.errors import InputError, StoreError
from hilnas.hil.loop.configuration import LoopConfiguration
from hilnas.hil.loop.recalibrate import recalibrate
from hilnas.hil.loop.report import write_report
from hilnas.hil.loop.result import Figures
from hilnas.hil.loop.run_folder import RunFolder
from hilnas.hil.store import MeasurementStore


def test_a_run_remembers_what_was_asked(tmp_path: Path) -> None:
    asked = LoopConfiguration(seed=7, rounds=2)
    RunFolder(tmp_path).create(asked)
    assert RunFolder(tmp_path).description().configuration == asked


def test_a_run_is_not_started_over_another(tmp_path: Path) -> None:
    RunFolder(tmp_path).create(LoopConfiguration())
    with pytest.raises(InputError, match="holds a run already"):
        RunFolder(tmp_path).create(LoopConfiguration(seed=1))
    assert RunFolder(tmp_path).description().configuration.seed == 0


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not the folder of a run"):
        RunFolder(tmp_path).description()


def test_a_finished_step_is_not_done_again(tmp_path: Path) -> None:
    folder, done = RunFolder(tmp_path), []

    def step() -> Figures:
        done.append(1)
        return Figures(0.1 + 0.2, 1e-3, 1.0, 2.0)

    assert folder.once("step", Figures, step) == folder.once("step", Figures, step) == Figures(0.1 + 0.2, 1e-3, 1.0, 2.0)
    assert len(done) == 1


def test_a_step_that_fails_leaves_no_record(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)

    def fail() -> Figures:
        raise StoreError("full")

    with pytest.raises(StoreError):
        folder.once("step", Figures, fail)
    assert folder.once("step", Figures, lambda: Figures(1, 1, 1, 1)) == Figures(1, 1, 1, 1)


@pytest.mark.parametrize("content", ["", "{", '{"accuracy": "high"}', "[]"])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    record = tmp_path / "stages" / "step.json"
    record.parent.mkdir()
    record.write_text(content)
    with pytest.raises(InputError, match=str(record)):
        RunFolder(tmp_path).once("step", Figures, lambda: Figures(1, 1, 1, 1))


def test_one_process_at_a_time(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hilnas.hil.loop.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked(): print('mine', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(InputError, match="another process"), RunFolder(tmp_path).locked():
            pass
        other.kill()
    with RunFolder(tmp_path).locked():
        pass


def test_an_unfinished_run_says_how_to_go_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.create(LoopConfiguration())
    for unfinished in (lambda: write_report(folder), lambda: recalibrate(folder), lambda: MeasurementStore.existing(tmp_path)):
        with pytest.raises(InputError) as caught:
            unfinished()
        assert "hilnas loop --resume" in caught.value.hint
