"""Jobs give the same results wherever they run."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from hilnas.errors import ConnectError
from hilnas.nas.jobs import run_jobs
from hilnas.nas.limits import parse_budget
from hilnas.nas.searches.job import SearchJob, run_searches
from hilnas.nas.searches.run import RunSettings
from hilnas.nas.threads import threads


def test_processes_give_the_results_of_one_process_in_order() -> None:
    texts = [f"latency={number}s" for number in range(1, 6)]
    assert run_jobs(parse_budget, texts, "jobs", processes=2) == run_jobs(parse_budget, texts, "jobs", processes=1)


def test_ray_gives_the_results_of_one_process() -> None:
    pytest.importorskip("ray")
    texts = [f"latency={number}s" for number in range(1, 4)]
    assert run_jobs(parse_budget, texts, "jobs", ray="local") == [parse_budget(text) for text in texts]


def announce_and_wait(pipe: str) -> None:
    """Says on a named pipe that the job runs, and keeps the pipe open until the process ends."""
    with Path(pipe).open("w") as file:
        print("running", file=file, flush=True)
        threading.Event().wait()


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = f"from test_jobs import *\nif __name__ == '__main__': run_jobs(announce_and_wait, [{str(pipe)!r}] * 2, 'jobs', processes=2)"
    (tmp_path / "campaign.py").write_text(program)
    search_path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    campaign = subprocess.Popen([sys.executable, str(tmp_path / "campaign.py")], env=os.environ | {"PYTHONPATH": search_path})
    with pipe.open() as reports:
        assert [reports.readline() for _ in range(2)] == ["running\n"] * 2
        campaign.kill()
        campaign.wait()
        # The end of the file: nobody holds the pipe any more.
        ready, _, _ = select.select([reports], [], [], 60)
        assert ready and reports.read() == ""


@pytest.mark.data
def test_a_campaign_of_searches_on_ray_finds_what_one_process_finds(data_folder: Path) -> None:
    pytest.importorskip("ray")
    job = SearchJob("rl", parse_budget("latency=1.5s,flash=1.8MB"), 3, RunSettings(evaluations=400), data_folder / "seed")
    here, there = run_searches(job, 2), run_searches(job, 2, ray="local")
    assert [one.history for one in here] == [one.history for one in there]
    assert [one.architecture.tolist() for one in here] == [one.architecture.tolist() for one in there]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:99999999"])
def test_a_ray_that_does_not_answer_is_named(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ConnectError, match=address):
        run_jobs(parse_budget, ["latency=1s"], "jobs", ray=address)


def _threads(_: int) -> int:
    return torch.get_num_threads()


def test_jobs_have_one_thread_and_the_caller_keeps_its_own() -> None:
    with threads(3):
        assert run_jobs(_threads, [0, 1], "jobs", processes=1) == [1, 1]
        assert torch.get_num_threads() == 3
