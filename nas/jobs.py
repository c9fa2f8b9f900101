"""Independent jobs, such as searches with many seeds: in this process, in several, or on Ray. Same results everywhere."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from hilnas.errors import ConnectError, ToolMissingError
from hilnas.extras import install_command
from hilnas.nas.threads import one_thread, use_one_thread
from hilnas.progress import progress

Job = TypeVar("Job")
Result = TypeVar("Result")

RAY_TIMEOUT_S = 10


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], description: str, processes: int | None = None, ray: str | None = None
) -> list[Result]:
    """`function` of every job, in the jobs' order. It must be a module's function and depend on its job alone.

    Runs on the Ray cluster at address `ray` ("local" starts one here), else in `processes` processes (by default one a core).

    Raises:
        ConnectError: no Ray answers at the address.
        ToolMissingError: Ray is not installed.
    """
    if ray is not None:
        return _on_ray(function, jobs, description, ray)
    workers = min(processes or os.cpu_count() or 1, len(jobs))
    with progress(description, len(jobs)) as advance:
        results = []
        if workers <= 1:
            with one_thread():
                for job in jobs:
                    results.append(function(job))
                    advance(1)
            return results
        # Spawned, not forked: a forked copy of a process that has used torch may hang.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
            try:
                for result in pool.map(function, jobs):
                    results.append(result)
                    advance(1)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return results


def _start_worker() -> None:
    """Prepares a process of the pool. It ends with its parent, also where that is killed: no job works on for nobody."""
    use_one_thread()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _on_ray(function: Callable[[Job], Result], jobs: Sequence[Job], description: str, address: str) -> list[Result]:
    ray = connected_ray(address)

    def work(job: Job) -> Result:
        use_one_thread()
        return function(job)

    try:
        remote = ray.remote(work)
        pending = [remote.remote(job) for job in jobs]
        with progress(description, len(jobs)) as advance:
            results: list[Any] = []
            for reference in pending:
                results.append(ray.get(reference))
                advance(1)
        return results
    finally:
        ray.shutdown()


def connected_ray(address: str) -> Any:
    """Ray itself, started here ("local") or joined to the cluster at `address` within ten seconds.

    Raises:
        ConnectError: no Ray answers at the address.
        ToolMissingError: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ToolMissingError("Ray is not installed", install_command("ray")) from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        ray.init(address="local", include_dashboard=False, **quiet)
        return ray
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not _answers(host, port):
        raise ConnectError(f"no Ray answers at {address}", "Start one with `ray start --head`, check the address, or use --ray local.")
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConnectError(f"what answers at {address} is no Ray: {error}", "Check the address, or use --ray local.") from error
    return ray


def _answers(host: str, port: str) -> bool:
    import socket

    try:
        with socket.create_connection((host, int(port)), timeout=RAY_TIMEOUT_S):
            return True
    except (OSError, ValueError, OverflowError):
        return False
