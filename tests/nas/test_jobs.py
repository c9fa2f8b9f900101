"""Jobs give the same results wherever they run."""

from __future__ import annotations

import pytest

from hilnas.errors import ConnectError
from hilnas.nas.jobs import run_jobs
from hilnas.nas.limits import parse_budget


def test_processes_give_the_results_of_one_process_in_order() -> None:
    texts = [f"latency={number}" for number in range(1, 6)]
    assert run_jobs(parse_budget, texts, "jobs", processes=2) == run_jobs(parse_budget, texts, "jobs", processes=1)


def test_ray_gives_the_results_of_one_process() -> None:
    pytest.importorskip("ray")
    texts = [f"latency={number}" for number in range(1, 4)]
    assert run_jobs(parse_budget, texts, "jobs", ray="local") == [parse_budget(text) for text in texts]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:99999999"])
def test_a_ray_that_does_not_answer_is_named(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ConnectError, match=address):
        run_jobs(parse_budget, ["latency=1"], "jobs", ray=address)
