"""What a run of the loop comes to: plain records, the same whether the run was disturbed or not. No times, no dates, no paths."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from hilnas.errors import BudgetError
from hilnas.nas.limits import show_against_budget
from hilnas.nas.metrics import METRIC_NAMES, Budget, Metrics

AGREEMENT = 0.05
"""Predicted and measured latency agree when the relative error of every candidate of a round is at most this."""


@dataclass(frozen=True)
class Figures:
    """The metrics of one architecture: accuracy in [0, 1], seconds, bytes."""

    accuracy: float
    latency_s: float
    flash_bytes: float
    sram_bytes: float


def figures(metrics: Metrics) -> tuple[Figures, ...]:
    """The means of a batch of metrics, one record a net."""
    estimates = dict(metrics)
    return tuple(Figures(*map(float, values)) for values in zip(*(estimates[name].mean for name in METRIC_NAMES), strict=True))


@dataclass(frozen=True)
class CandidateResult:
    """A net that a round proposed: what was predicted before it was measured, and what was measured.

    `predicted.accuracy` is that of the float net on the validation split; `measured.accuracy` is that of the int8 net, and
    `float_accuracy` that of the float net, on the test split. All three with exits taken by the rule. `exit_rates` are exit_0
    .. exit_n and the final output on the test split, and `expected_latency_s` is the mean latency that follows.
    """

    name: str
    architecture: tuple[int, ...]
    description: str
    predicted: Figures
    measured: Figures
    float_accuracy: float
    expected_latency_s: float
    exit_names: tuple[str, ...]
    exit_rates: tuple[float, ...]
    meets_budget: bool


@dataclass(frozen=True)
class LatencyError:
    """Relative errors of predicted against measured latency: |predicted - measured| / measured."""

    mean: float
    worst: float


@dataclass(frozen=True)
class RoundResult:
    """One round: its candidates, the error of their predictions, and the error on the held-out nets after recalibrating."""

    number: int
    candidates: tuple[CandidateResult, ...]
    explored: int
    candidate_error: LatencyError
    held_out_error: LatencyError

    @property
    def agreed(self) -> bool:
        """Whether predicted and measured latency of all candidates agree."""
        return self.candidate_error.worst <= AGREEMENT


@dataclass(frozen=True)
class HeldOut:
    """Latencies, in seconds, of the nets that no predictor ever learned from: as measured, by the first fit, by the last."""

    measured: tuple[float, ...]
    first: tuple[float, ...]
    last: tuple[float, ...]


@dataclass(frozen=True)
class BudgetResult:
    """The budget, and which share of random nets each limit alone excludes, by metric name."""

    budget: Budget
    excluded: dict[str, float]


@dataclass(frozen=True)
class LoopResult:
    """Everything that a run found. `first_fit_error` is on the held-out nets; `random_nets` are predictions, for charts."""

    board: str
    target: str
    data: str
    seed: int
    budget: BudgetResult
    fitted_on: int
    first_fit_error: LatencyError
    rounds: tuple[RoundResult, ...]
    best: str
    held_out: HeldOut
    random_nets: tuple[Figures, ...]

    @property
    def agreed(self) -> bool:
        """Whether the last round ended the loop because prediction and measurement agree."""
        return self.rounds[-1].agreed

    @property
    def candidates(self) -> tuple[CandidateResult, ...]:
        """The candidates of all rounds, in order."""
        return tuple(candidate for one in self.rounds for candidate in one.candidates)

    @property
    def best_candidate(self) -> CandidateResult:
        """The most accurate int8 net whose measurements meet the budget; the nearest one if none does."""
        return next(candidate for candidate in self.candidates if candidate.name == self.best)

    def check_budget(self) -> None:
        """Complains if no candidate meets the budget when measured.

        Raises:
            BudgetError: none does; it names the nearest.
        """
        best = self.best_candidate
        if not best.meets_budget:
            figures = show_against_budget(self.budget.budget, asdict(best.measured))
            raise BudgetError(
                f"no candidate meets the budget when measured; the nearest is {best.name}: {figures}",
                "Loosen the limit that it exceeds, or allow more rounds.",
            )
