"""What a round builds and measures: the best nets of a search under the budget, and which of them to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import BudgetError
from hilnas.nas.limits import show_against_budget
from hilnas.nas.metrics import Budget, Estimate, Metrics
from hilnas.nas.search import Predictor
from hilnas.nas.searches.ga import GeneticSearch
from hilnas.nas.searches.memory import Seen
from hilnas.nas.space import Architectures, SearchSpace
from hilnas.progress import progress

MARGIN = 1.645
"""Standard deviations by which the search keeps below a limit: 95 % of a normal distribution are within."""

_GENERATION = 100


def propose(
    space: SearchSpace, predictor: Predictor, budget: Budget, known: Architectures, count: int, evaluations: int, seed: int
) -> tuple[Architectures, Metrics]:
    """Searches with `evaluations` predictions and returns at most `count` nets that are not `known`, with their predicted metrics.

    They meet the budget as predicted: the most accurate of those that no other beats in both accuracy and latency, then the
    most accurate of the rest.

    Raises:
        BudgetError: the search found no net that meets the budget, or only known ones.
    """
    nets, metrics = _search(space, predictor, budget, evaluations, seed)
    met = budget.is_met(metrics)
    if not met.any():
        raise _nothing_meets(budget, metrics)
    seen = Seen(space)
    seen.add(known)
    new = np.zeros(len(nets), dtype=np.bool_)
    new[seen.unseen(nets)] = True
    safe = budget.is_met(metrics, MARGIN)
    for allowed in (new & safe, new & met):
        if allowed.sum() >= count:
            break
    if not allowed.any():
        raise BudgetError(f"all {met.sum()} nets that were found to meet the budget are measured already", "Loosen the budget.")
    chosen = np.flatnonzero(allowed)[_ranking(metrics[allowed])[:count]]
    return nets[chosen], metrics[chosen]


def _search(space: SearchSpace, predictor: Predictor, budget: Budget, evaluations: int, seed: int) -> tuple[Architectures, Metrics]:
    search = GeneticSearch(space, budget, seed, population=_GENERATION)
    batches: list[Architectures] = []
    answers: list[Metrics] = []
    with progress("searching", evaluations) as advance:
        while (left := evaluations - sum(map(len, batches))) > 0:
            batch = search.ask(min(_GENERATION, left))
            if not len(batch):
                break
            metrics = predictor.predict(batch)
            search.tell(batch, _cautious(metrics))
            batches.append(batch)
            answers.append(metrics)
            advance(len(batch))
    return np.concatenate(batches), _concatenated(answers)


def _cautious(metrics: Metrics) -> Metrics:
    """What the search is told: latency with the margin added, so that what it finds still meets the budget when measured."""
    latency = metrics.latency_s
    return replace(metrics, latency_s=Estimate(latency.mean + MARGIN * latency.std, np.zeros_like(latency.std)))


def _concatenated(metrics: Sequence[Metrics]) -> Metrics:
    columns = {name: [dict(one)[name] for one in metrics] for name, _ in metrics[0]}
    return Metrics(
        **{
            name: Estimate(np.concatenate([one.mean for one in parts]), np.concatenate([one.std for one in parts]))
            for name, parts in columns.items()
        }
    )


def _ranking(metrics: Metrics) -> NDArray[np.int64]:
    """Indices in order of choice: the front of accuracy and latency by falling accuracy, then the others likewise."""
    accuracy, latency = metrics.accuracy.mean, metrics.latency_s.mean
    beaten = np.array(
        [bool(np.any((accuracy >= a) & (latency <= t) & ((accuracy > a) | (latency < t)))) for a, t in zip(accuracy, latency, strict=True)],
        dtype=np.bool_,
    )
    return np.lexsort((latency, -accuracy, beaten))


def _nothing_meets(budget: Budget, metrics: Metrics) -> BudgetError:
    nearest = int(np.argmin(budget.overrun(metrics).sum(axis=1)))
    predicted = show_against_budget(budget, {name: estimate.mean[nearest] for name, estimate in metrics})
    return BudgetError(
        f"none of {len(metrics)} nets meets the budget; the nearest is predicted at {predicted}", "Loosen the limit that it exceeds."
    )
