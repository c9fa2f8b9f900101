"""Workers that answer later: in this process, or as Ray actors on this or other machines.

Both are driven alike, so that an algorithm written once runs on one core or on a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from hilnas.errors import HilnasError
from hilnas.nas.jobs import connected_ray
from hilnas.nas.threads import use_one_thread

Future = Any
"""What will be an answer: opaque, hashable."""
Worker = Any
"""A handle of a worker: opaque."""


class WorkerDiedError(HilnasError):
    """A worker's process is gone. What it was doing is lost; anything else is not."""


class Workers(Protocol):
    """Starts workers and calls their methods."""

    def start(self, create: Callable[[], Any]) -> Worker:
        """A worker made by `create`, in its own process where there are several, when it is first called."""

    def call(self, worker: Worker, method: str, *arguments: Any) -> Future:
        """Calls a method; the answer is fetched with `result`. Calls of one worker run one after the other."""

    def wait(self, futures: Sequence[Future]) -> Future:
        """The first of `futures` that has an answer, or never will."""

    def release(self, worker: Worker) -> None:
        """Gives a worker back that nobody calls any more: its process may become another one."""

    def result(self, future: Future) -> Any:
        """The answer, waiting for it.

        Raises:
            WorkerDiedError: the worker is gone.
            HilnasError: what the method, or the making of the worker, raised.
        """


class LocalWorkers:
    """Workers in this process: a call is done when it is made."""

    def __init__(self) -> None:
        self._answers: dict[int, Any] = {}
        self._calls = 0

    def start(self, create: Callable[[], Any]) -> Worker:
        """The object itself."""
        return create()

    def call(self, worker: Worker, method: str, *arguments: Any) -> Future:
        """Calls the method now."""
        self._calls += 1
        self._answers[self._calls] = getattr(worker, method)(*arguments)
        return self._calls

    def wait(self, futures: Sequence[Future]) -> Future:
        """The call that was made first."""
        return min(futures)

    def release(self, worker: Worker) -> None:
        """Nothing: the object goes with the last who knows it."""

    def result(self, future: Future) -> Any:
        """The answer, once."""
        return self._answers.pop(future)


class RayWorkers:
    """Workers as Ray actors, one process and one core each."""

    def __init__(self, address: str) -> None:
        """Connects to Ray at `address`, or starts one on this machine for "local".

        Raises:
            ToolMissingError: Ray is not installed.
            ConnectError: no Ray answers at the address.
        """
        self._ray = connected_ray(address)
        self._idle: list[Worker] = []

    def start(self, create: Callable[[], Any]) -> Worker:
        """Takes the actor that has been idle longest, else a new one. None demands a core of its own: small machines have few."""
        worker: Worker = self._idle.pop(0) if self._idle else self._ray.remote(num_cpus=0)(_Actor).remote()
        worker.become.remote(create)
        return worker

    def call(self, worker: Worker, method: str, *arguments: Any) -> Future:
        """Sends the call."""
        return worker.call.remote(method, *arguments)

    def wait(self, futures: Sequence[Future]) -> Future:
        """Waits for the cluster."""
        ready, _ = self._ray.wait(list(futures), num_returns=1)
        return ready[0]

    def release(self, worker: Worker) -> None:
        """Keeps the actor: a process that has imported torch is worth seconds."""
        self._idle.append(worker)

    def result(self, future: Future) -> Any:
        """Fetches the answer."""
        try:
            return self._ray.get(future)
        except self._ray.exceptions.RayActorError as error:
            raise WorkerDiedError("a worker died", "Its work is done again by another one.") from error
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, HilnasError) else error from None

    def close(self) -> None:
        """Stops the actors; a Ray that was started for them ends with them."""
        self._ray.shutdown()


@contextmanager
def open_workers(address: str | None) -> Iterator[Workers]:
    """Workers on the Ray at `address`, or in this process for None; stopped when the block ends.

    Raises:
        ToolMissingError: Ray is not installed.
        ConnectError: no Ray answers at the address.
    """
    if address is None:
        yield LocalWorkers()
        return
    workers = RayWorkers(address)
    try:
        yield workers
    finally:
        workers.close()


class _Actor:
    """Holds a worker's object in the actor's process."""

    def __init__(self) -> None:
        use_one_thread()

    def become(self, create: Callable[[], Any]) -> None:
        """Is the worker that `create` makes from now on. It is made by the first call, which can say what went wrong."""
        self._create = create
        self._object: Any = None

    def call(self, method: str, *arguments: Any) -> Any:
        """Calls a method of the object."""
        if self._object is None:
            self._object = self._create()
        return getattr(self._object, method)(*arguments)
