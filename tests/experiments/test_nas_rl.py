"""Study 3's experiments at a small scale; whole under `acceptance`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from hilnas.errors import InputError
from hilnas.experiments import nas_rl, nas_rl_text
from hilnas.progress import Advance


def test_children_are_searched_and_the_best_one_runs_bit_exact_on_the_emulator() -> None:
    report = nas_rl.run(nas_rl.Options(seeds=2, children=4, epochs=1))
    best = report.document["best"]
    assert len(report.tables[0].rows) == 8
    assert best["bit_exact"] is True
    assert best["test_accuracy"] > 0.5
    assert best["int8_test_accuracy"] == pytest.approx(best["test_accuracy"], abs=0.05)
    assert "first_quarter" in report.document


def test_a_worker_that_is_killed_costs_the_experiment_at_most_its_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system kills the process of a child worker after the third child: all ten come back, one worker was replaced."""
    finished = []

    @contextmanager
    def watched(description: str, total: int) -> Iterator[Advance]:
        def advance(steps: int) -> None:
            finished.append(steps)
            if len(finished) == 3:
                # Child workers are started last, after the shard and the replicas.
                os.kill(max(ray_actors()), signal.SIGKILL)

        yield advance

    monkeypatch.setattr(nas_rl, "progress", watched)
    report = nas_rl.run(nas_rl.Options(seeds=1, children=10, epochs=1, ray="local", replicas=2, batch=1, board="none"))
    assert len(report.tables[0].rows) == len(finished) == 10
    assert report.document["workers_replaced"] == 1


def ray_actors() -> list[int]:
    """Processes of this test's actors on Ray."""
    processes = psutil.Process().children(recursive=True)
    return [process.pid for process in processes if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::_Actor")]


def test_cells_are_searched_on_a_text(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(nas_rl_text.default_text().read_bytes()[:100_000])
    options = nas_rl_text.Options(seeds=1, children=4, units=8, text=str(tmp_path / "text.txt"))
    report = nas_rl_text.run(options)
    assert len(report.tables[0].rows) == 4
    assert len(report.tables[1].rows) == 15 + 2
    best = report.document["best"]
    assert 1.0 < best["perplexity"] == report.document["controller_best"]["mean"]
    assert 1.0 < best["test_perplexity"] < report.document["text"]["vocabulary"]


@pytest.mark.parametrize("options", [nas_rl.Options(seeds=0), nas_rl.Options(children=3), nas_rl.Options(data="nothing")])
def test_bad_options_are_refused(options: nas_rl.Options) -> None:
    with pytest.raises(InputError):
        nas_rl.run(options)


def test_a_missing_text_is_refused() -> None:
    with pytest.raises(InputError, match=r"nothing\.txt"):
        nas_rl_text.run(nas_rl_text.Options(text="nothing.txt"))


@pytest.mark.acceptance
def test_the_controller_improves_its_children() -> None:
    document = nas_rl.run(nas_rl.Options()).document
    assert document["p_value"] < 0.01
    assert document["best"]["bit_exact"] is True


@pytest.mark.acceptance
def test_two_replicas_on_ray_improve_them_too() -> None:
    document = nas_rl.run(nas_rl.Options(ray="local", replicas=2)).document
    assert document["p_value"] < 0.01


@pytest.mark.acceptance
def test_the_search_beats_random_cells() -> None:
    document = nas_rl_text.run(nas_rl_text.Options()).document
    assert document["controller_all"]["mean"] < document["random_all"]["mean"]
    assert document["p_value"] < 0.01
    assert document["p_value_improvement"] < 0.01
