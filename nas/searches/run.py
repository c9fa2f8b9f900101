"""Runs any search on any predictor until its evaluations are spent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import BudgetError, InputError
from hilnas.files import read_input, write_atomically
from hilnas.nas.limits import show_against_budget
from hilnas.nas.metrics import Budget, Metrics
from hilnas.nas.predictors.counted import CountedPredictor
from hilnas.nas.search import Predictor, Search
from hilnas.nas.searches.pareto import HypervolumeStop
from hilnas.nas.space import Architectures
from hilnas.progress import progress

CHECKPOINT_EVALUATIONS = 1000


@dataclass(frozen=True)
class RunSettings:
    """How long a search runs and what it leaves behind.

    `evaluations`: at most so many architectures are asked about. `batch`: how many at a time. `margin`: standard deviations of the
    predictor by which limits are kept. `tensorboard`: folder for scalars. `checkpoint`: file to resume from and to save to.
    """

    evaluations: int = 15_500
    batch: int = 100
    margin: float = 0.0
    early_stop: bool = False
    tensorboard: Path | None = None
    checkpoint: Path | None = None


@dataclass(frozen=True)
class SearchResult:
    """What a search found: the best architecture (D,), its metrics (N = 1), and how the best accuracy grew.

    `meets_budget` is False when nothing did; then the architecture is the nearest one. `history` has one (evaluations, best
    feasible accuracy) per batch, 0 before anything was feasible.
    """

    architecture: NDArray[np.int64]
    metrics: Metrics
    meets_budget: bool
    evaluations: int
    history: tuple[tuple[int, float], ...]

    def require_feasible(self, budget: Budget) -> SearchResult:
        """Itself, if it meets the budget.

        Raises:
            BudgetError: nothing met the budget; says by how much the nearest architecture misses it.
        """
        if self.meets_budget:
            return self
        overrun = budget.overrun(self.metrics)[0]
        missed = {
            name: float(getattr(self.metrics, name).mean[0])
            for name, over in zip(budget.limits(), overrun, strict=True)
            if over > 0 or not overrun.any()
        }
        raise BudgetError(
            f"no architecture of {self.evaluations:,} meets the budget; the nearest has {show_against_budget(budget, missed)}: "
            f"{self.architecture.tolist()}",
            "Relax the limits it misses, lower the margin, or give more evaluations.",
        )


class Best:
    """The best architecture so far: the most accurate that meets the budget, before that the one that overruns it least."""

    def __init__(self, budget: Budget, margin: float) -> None:
        self._budget, self._margin = budget, margin
        self.rank = (-np.inf, 0.0)
        self.architecture: NDArray[np.int64] | None = None
        self.metrics: Metrics | None = None

    def update(self, architectures: Architectures, metrics: Metrics) -> None:
        """Takes in one batch of answers."""
        overrun = self._budget.overrun(metrics, self._margin).sum(axis=1)
        index = int(np.lexsort((-metrics.accuracy.mean, overrun))[0])
        rank = (-float(overrun[index]), float(metrics.accuracy.mean[index]))
        if rank > self.rank:
            self.rank, self.architecture, self.metrics = rank, architectures[index], metrics[index : index + 1]

    @property
    def accuracy(self) -> float:
        """Of the best feasible architecture; 0 if there is none."""
        return self.rank[1] if self.rank[0] == 0.0 else 0.0


def run_search(search: Search, predictor: Predictor, budget: Budget, settings: RunSettings | None = None) -> SearchResult:
    """Asks, predicts and tells until the evaluations are spent, the search ends, or its front stops growing.

    With a checkpoint that exists, the search goes on from there; the result is that of an undisturbed run.

    Raises:
        InputError: the predictor answers values that are not finite; the checkpoint is of another kind.
        StoreError: the disk refused.
    """
    settings = settings or RunSettings()
    counted = CountedPredictor(predictor)
    best = Best(budget, settings.margin)
    history: list[tuple[int, float]] = []
    stop = HypervolumeStop(budget)
    if settings.checkpoint is not None and settings.checkpoint.exists():
        counted.evaluations, history = _load(settings.checkpoint, search, best, stop)
    saved = counted.evaluations
    with progress("searching", settings.evaluations) as advance, _scalars(settings.tensorboard) as write:
        advance(counted.evaluations)
        while counted.evaluations < settings.evaluations:
            batch = search.ask(min(settings.batch, settings.evaluations - counted.evaluations))
            if not len(batch):
                break
            metrics = counted.predict(batch)
            search.tell(batch, metrics)
            best.update(batch, metrics)
            history.append((counted.evaluations, best.accuracy))
            advance(len(batch))
            write("best_accuracy", best.accuracy, counted.evaluations)
            write("mean_accuracy", float(metrics.accuracy.mean.mean()), counted.evaluations)
            write("feasible", float(budget.is_met(metrics).mean()), counted.evaluations)
            ended = settings.early_stop and stop.should_stop(metrics)
            if settings.checkpoint is not None and counted.evaluations - saved >= CHECKPOINT_EVALUATIONS:
                _save(settings.checkpoint, search, best, stop, counted.evaluations, history)
                saved = counted.evaluations
            if ended:
                break
    if best.architecture is None or best.metrics is None:
        raise InputError("the search proposed no architecture", "Give it at least one evaluation.")
    return SearchResult(best.architecture, best.metrics, best.rank[0] == 0.0, counted.evaluations, tuple(history))


@contextmanager
def _scalars(folder: Path | None) -> Iterator[Callable[[str, float, int], None]]:
    """Writes a scalar by name, value and step for TensorBoard; nothing without a folder."""
    if folder is None:
        yield lambda name, value, step: None
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    try:
        yield lambda name, value, step: writer.add_scalar(f"search/{name}", value, step)
    finally:
        writer.close()


def _save(path: Path, search: Search, best: Best, stop: HypervolumeStop, evaluations: int, history: list[tuple[int, float]]) -> None:
    assert best.architecture is not None and best.metrics is not None
    document = {
        "search": type(search).__name__,
        "evaluations": evaluations,
        "history": history,
        "rank": best.rank,
        "architecture": best.architecture,
        "metrics": {name: (estimate.mean, estimate.std) for name, estimate in best.metrics},
        "state": search.state(),
        "stop": stop.state(),
    }
    write_atomically(path, json.dumps(document, default=lambda array: array.tolist()))


def _load(path: Path, search: Search, best: Best, stop: HypervolumeStop) -> tuple[int, list[tuple[int, float]]]:
    from hilnas.nas.metrics import Estimate

    try:
        document = json.loads(read_input(path))
        if document["search"] != type(search).__name__:
            raise InputError(f"{path} is a checkpoint of {document['search']}", "Resume with the same search, or name another file.")
        search.restore(document["state"])
        stop.restore(document["stop"])
        best.rank = (document["rank"][0], document["rank"][1])
        best.architecture = np.array(document["architecture"], dtype=np.int64)
        best.metrics = Metrics(**{name: Estimate(np.array(mean), np.array(std)) for name, (mean, std) in document["metrics"].items()})
        return int(document["evaluations"]), [(int(count), float(accuracy)) for count, accuracy in document["history"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no checkpoint of a search: {error}", "Name another file, or remove it.") from error
