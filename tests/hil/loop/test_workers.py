"""Worker processes: order, errors, and their end."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from hilnas.errors import BuildError, InputError
from hilnas.hil.loop.workers import Workers

_TASKS = """
import os, time
from hilnas.errors import InputError

def receive(fifo):
    return open(fifo).read()

def send(fifo):
    return open(fifo, "w").write("sent")

def exchange(task):
    return receive(task[1]) if task[0] == "receive" else send(task[1])

def refuse(number):
    raise InputError(f"refused {number}", "a hint")

def cry(number):
    print("MemoryError: of the device", flush=True)
    os._exit(9)

def vanish(number):
    os._exit(9)

def forever(fifo):
    open(fifo, "w").write(str(os.getpid()))
    receive(fifo)
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "worker_tasks.py").write_text(_TASKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    import worker_tasks

    yield worker_tasks
    del sys.modules["worker_tasks"]


def test_results_are_in_the_order_of_the_items(tasks, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    items = [(name, str(tmp_path / "fifo")) for name in ("receive", "send")]
    # The first item can only end after the second one has begun.
    with Workers(2, tmp_path / "log") as workers:
        assert workers.map(tasks.exchange, items) == ["sent", 4]


def test_an_error_of_a_task_comes_through_whole(tasks, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="refused 1") as caught, Workers(2, tmp_path / "log") as workers:
        workers.map(tasks.refuse, [1])
    assert caught.value.hint == "a hint"


def test_a_worker_that_dies_is_an_error(tasks, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="worker process died"), Workers(2, tmp_path / "log") as workers:
        workers.map(tasks.vanish, [1, 2])


def test_the_last_words_of_a_worker_are_quoted(tasks, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("of an earlier run\n")
    with pytest.raises(BuildError, match="said nothing"), Workers(1, tmp_path / "log") as workers:
        workers.map(tasks.vanish, [1])
    with pytest.raises(BuildError, match="died: MemoryError: of the device"), Workers(1, tmp_path / "log") as workers:
        workers.map(tasks.cry, [1])


def test_workers_die_with_a_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "worker_tasks.py").write_text(_TASKS)
    program = tmp_path / "program.py"
    program.write_text(
        "import sys; from pathlib import Path; from hilnas.hil.loop.workers import Workers; import worker_tasks\n"
        "if __name__ == '__main__':\n"
        "    with Workers(1, Path(sys.argv[1]) / 'log') as workers: workers.map(worker_tasks.forever, [sys.argv[1] + '/fifo'])\n"
    )
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    parent = subprocess.Popen([sys.executable, str(program), str(tmp_path)])
    worker = os.pidfd_open(int(fifo.read_text()))
    parent.kill()
    parent.wait()
    ended, _, _ = select.select([worker], [], [], 60.0)
    os.close(worker)
    assert ended
