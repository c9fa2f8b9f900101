"""Study 1, Table 5, as it can be: the elitist GA and one policy conditioned on T, on the study's predictors, beside what it published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from hilnas.errors import BudgetError, InputError
from hilnas.experiments.catalogue import option
from hilnas.experiments.figures import png
from hilnas.experiments.report import Report, Table
from hilnas.experiments.study1 import (
    BEST_KNOWN,
    EVALUATIONS,
    LIMITS,
    PUBLISHED_GA,
    PUBLISHED_PPO,
    Found,
    budget,
    folder_of,
    mean,
    open_study,
)
from hilnas.nas.jobs import run_jobs
from hilnas.nas.metrics import Metrics
from hilnas.nas.predictors.counted import CountedPredictor
from hilnas.nas.searches.ga import GeneticSearch
from hilnas.nas.searches.policy import DEPLOYMENT_EVALUATIONS
from hilnas.nas.searches.policy_search import PolicySearch
from hilnas.nas.searches.run import RunSettings, run_search

BARS = {
    "ga": dict(zip(LIMITS, (0.7469, 0.7507, 0.7532, 0.7551, 0.7563, 0.7570), strict=True)),
    "rl": dict(zip(LIMITS, (0.7469, 0.7513, 0.7530, 0.7552, 0.7567, 0.7568), strict=True)),
}
"""What an elitist GA and a factorised policy are known to reach at these budgets."""
RL_GOAL = dict(zip(LIMITS, (0.7499, 0.7533, 0.7545, 0.7555, 0.7577, 0.7575), strict=True))
"""What a policy for all limits is to reach beyond its bar."""
NEVER_SEEN = tuple(round((low + high) / 2.0, 3) for low, high in pairwise(LIMITS))
"""Limits between those that the policy was trained for."""
POLICY_LIMITS = tuple(sorted({*LIMITS, *(round(limit + step, 3) for limit in LIMITS[:-1] for step in (0.05, 0.15))}))
"""The limits that the policy is trained for: those that are judged, and two between each pair, which share what they find."""
POLICY_BATCH = 6 * len(POLICY_LIMITS)


@dataclass(frozen=True)
class Options:
    """What can be varied."""

    seeds: int = option(10, "Number of trials of each method; trial i has seed first-seed + i.")
    first_seed: int = option(0, "Seed of the first trial.")
    ga_evaluations: int = option(EVALUATIONS, "Evaluations of a GA trial under one limit.")
    rl_evaluations: int = option(100_000, "Evaluations of an RL trial over all limits, final sampling included.")
    predictors: str | None = option(None, "Folder with the study's four predictor files.")
    processes: int = option(0, "Processes; 0 is one a core.")
    ray: str | None = option(None, 'Address of a Ray cluster, or "local" to start one here.')


@dataclass(frozen=True)
class Trial:
    """One job: a GA under one limit, or a policy for all limits (limit None)."""

    limit: float | None
    seed: int
    evaluations: int
    predictors: Path


@dataclass(frozen=True)
class Outcome:
    """What a trial deployed under its limits, what under limits it never saw, and the evaluations of the former."""

    found: tuple[Found, ...]
    between: tuple[Found, ...]
    evaluations: int


@dataclass(frozen=True)
class Row:
    """The trials of one method under one limit, beside the bar and the best that is known."""

    method: str
    latency_limit: float
    mean_accuracy: float
    sd_accuracy: float
    mean_latency_s: float
    violations: int
    evaluations: int
    bar: float
    best_known: float
    to_best_known: float
    accuracies: list[float]


@dataclass(frozen=True)
class BetweenRow:
    """The trials under one limit never seen: how far the accuracy is from the line between the limit's neighbours."""

    latency_limit: float
    mean_accuracy: float
    mean_distance: float
    worst_distance: float
    violations: int


def run(options: Options) -> Report:
    """Runs all trials and compares.

    Raises:
        InputError: the predictors cannot be used.
    """
    if options.seeds < 1:
        raise InputError(f"--seeds is {options.seeds}", "At least one trial is needed.")
    folder = folder_of(options.predictors)
    open_study(folder)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    trials = [Trial(None, seed, options.rl_evaluations, folder) for seed in seeds]
    trials += [Trial(limit, seed, options.ga_evaluations, folder) for limit in LIMITS for seed in seeds]
    outcomes = run_jobs(run_trial, trials, "trials", options.processes or None, options.ray)
    rl, ga = outcomes[: options.seeds], outcomes[options.seeds :]
    rows = _rows("ga", ga) + _rows("rl", rl)
    between = _between(rl)
    return Report(
        title=f"GA and RL on the predictors of study 1, {options.seeds} seeds (all accuracies are predicted)",
        document={"seeds": list(seeds), "rows": [asdict(row) for row in rows], "never_seen": [asdict(row) for row in between]},
        tables=(_table(rows), _between_table(between)),
        findings=(*_findings(rows, rl), _between_finding(between)),
        figures={"compare": _figure(rows)},
    )


def run_trial(trial: Trial) -> Outcome:
    """Runs one trial from its seed alone."""
    return _run_policy(trial) if trial.limit is None else _run_ga(trial, trial.limit)


def _run_ga(trial: Trial, limit: float) -> Outcome:
    predictor = open_study(trial.predictors)
    search = GeneticSearch(predictor.space, budget(limit), trial.seed)
    result = run_search(search, predictor, budget(limit), RunSettings(evaluations=trial.evaluations))
    found = _found(limit, trial.seed, result.architecture.tolist(), result.metrics, result.evaluations)
    return Outcome((found,), (), result.evaluations)


def _run_policy(trial: Trial) -> Outcome:
    predictor = open_study(trial.predictors)
    counted = CountedPredictor(predictor)
    search = PolicySearch(predictor.space, [budget(limit) for limit in POLICY_LIMITS], trial.seed)
    training = trial.evaluations - len(LIMITS) * DEPLOYMENT_EVALUATIONS
    while counted.evaluations < training:
        batch = search.ask(min(POLICY_BATCH, training - counted.evaluations))
        if not len(batch):
            break
        search.tell(batch, counted.predict(batch))
    policy = search.settle()
    rng = np.random.default_rng(trial.seed)

    def deploy(limit: float) -> Found:
        try:
            deployed = policy.deploy(counted, budget(limit), rng)
        except BudgetError as error:
            raise BudgetError(f"seed {trial.seed}, T = {limit}: {error.message}", error.hint) from error
        return _found(limit, trial.seed, deployed.architecture.tolist(), deployed.metrics, 0)

    found = tuple(deploy(limit) for limit in LIMITS)
    evaluations = counted.evaluations
    return Outcome(found, tuple(deploy(limit) for limit in NEVER_SEEN), evaluations)


def _found(limit: float, seed: int, architecture: Sequence[int], metrics: Metrics, evaluations: int) -> Found:
    return Found(
        limit=limit,
        seed=seed,
        accuracy=float(metrics.accuracy.mean[0]),
        latency_s=float(metrics.latency_s.mean[0]),
        flash_bytes=float(metrics.flash_bytes.mean[0]),
        sram_bytes=float(metrics.sram_bytes.mean[0]),
        feasible=bool(budget(limit).is_met(metrics)[0]),
        evaluations=evaluations,
        architecture=tuple(architecture),
    )


def _rows(method: str, outcomes: list[Outcome]) -> list[Row]:
    rows = []
    for limit in LIMITS:
        found = [one for outcome in outcomes for one in outcome.found if one.limit == limit]
        accuracies = [one.accuracy for one in found]
        rows.append(
            Row(
                method=method,
                latency_limit=limit,
                mean_accuracy=mean(accuracies),
                sd_accuracy=float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0,
                mean_latency_s=mean([one.latency_s for one in found]),
                violations=sum(not one.feasible for one in found),
                evaluations=max(outcome.evaluations for outcome in outcomes if any(one.limit == limit for one in outcome.found)),
                bar=BARS[method][limit],
                best_known=BEST_KNOWN[limit],
                to_best_known=mean(accuracies) - BEST_KNOWN[limit],
                accuracies=accuracies,
            )
        )
    return rows


def _between(outcomes: list[Outcome]) -> list[BetweenRow]:
    rows = []
    for index, limit in enumerate(NEVER_SEEN):
        distances, accuracies, feasible = [], [], []
        for outcome in outcomes:
            line = (outcome.found[index].accuracy + outcome.found[index + 1].accuracy) / 2.0
            one = outcome.between[index]
            accuracies.append(one.accuracy)
            distances.append(one.accuracy - line)
            feasible.append(one.feasible)
        rows.append(
            BetweenRow(
                latency_limit=limit,
                mean_accuracy=mean(accuracies),
                mean_distance=mean(distances),
                worst_distance=min(distances),
                violations=sum(not met for met in feasible),
            )
        )
    return rows


def _table(rows: list[Row]) -> Table:
    published = {"ga": PUBLISHED_GA, "rl": PUBLISHED_PPO}
    lines = tuple(
        (
            *(
                row.method,
                row.latency_limit,
                f"{row.mean_accuracy:.4f}",
                f"{row.sd_accuracy:.4f}",
                f"{row.mean_latency_s:.3f}",
            ),
            *(row.violations, row.evaluations, *(f"{value:.4f}" for value in published[row.method][row.latency_limit])),
            *(f"{row.bar:.4f}", f"{row.best_known:.4f}", f"{row.to_best_known:+.4f}"),
        )
        for row in rows
    )
    columns = (
        *("method", "T, s", "predicted accuracy", "sd", "latency, s", "violations", "evaluations"),
        *("published accuracy", "published latency", "bar", "best known", "to best known"),
    )
    return Table("compare", "GA: evaluations for each T. RL: one policy, evaluations for all T together", columns, lines)


def _between_table(rows: list[BetweenRow]) -> Table:
    lines = tuple(
        (
            row.latency_limit,
            f"{row.mean_accuracy:.4f}",
            f"{row.mean_distance:+.4f}",
            f"{row.worst_distance:+.4f}",
            row.violations,
        )
        for row in rows
    )
    columns = ("T, s", "predicted accuracy", "to the line between neighbours", "worst trial", "violations")
    return Table("never_seen", "The same policies at limits they were not trained for", columns, lines)


def _findings(rows: list[Row], rl: list[Outcome]) -> tuple[str, ...]:
    lines = []
    for method in ("ga", "rl"):
        own = [row for row in rows if row.method == method]
        above = sum(row.mean_accuracy >= row.bar for row in own)
        distance = mean([row.to_best_known for row in own])
        lines.append(
            f"{method}: mean predicted accuracy reaches the bar at {above} of {len(own)} limits, {sum(row.violations for row in own)} "
            f"violations; on average {distance:+.4f} from the best known."
        )
    reached = sum(row.mean_accuracy >= RL_GOAL[row.latency_limit] for row in rows if row.method == "rl")
    lines.append(f"rl: the goal beyond the bar ({', '.join(f'{goal:.4f}' for goal in RL_GOAL.values())}) is reached at {reached} limits.")
    spent = max(outcome.evaluations for outcome in rl)
    lines.append(f"One policy for all limits took {spent:,} evaluations, final sampling included; the GA {len(LIMITS)} times its figure.")
    return tuple(lines)


def _between_finding(rows: list[BetweenRow]) -> str:
    worst = min(row.worst_distance for row in rows)
    return f"At limits never seen: {sum(row.violations for row in rows)} violations; the worst trial is {worst:+.4f} from the line."


def _figure(rows: list[Row]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for method, published in (("ga", PUBLISHED_GA), ("rl", PUBLISHED_PPO)):
        own = [row for row in rows if row.method == method]
        axis.errorbar(LIMITS, [row.mean_accuracy for row in own], [row.sd_accuracy for row in own], marker="o", label=method)
        axis.plot(LIMITS, [published[limit][0] for limit in LIMITS], "--", label=f"published {'GA' if method == 'ga' else 'PPO'}")
    axis.plot(LIMITS, [BEST_KNOWN[limit] for limit in LIMITS], "k:", label="best known")
    axis.set(xlabel="latency limit T, s", ylabel="predicted accuracy")
    axis.legend()
    return png(figure)
