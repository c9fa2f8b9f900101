"""Study 1, Table 2: its genetic algorithm with its settings, ten searches a limit; and what its faults cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from hilnas.experiments.catalogue import option
from hilnas.experiments.report import Report, Table
from hilnas.experiments.study1 import LIMITS, PUBLISHED_GA, budget, folder_of, mean, open_study
from hilnas.nas.jobs import run_jobs
from hilnas.nas.searches.run import RunSettings, run_search
from hilnas.nas.searches.study_ga import StudyGaSettings, StudyGeneticSearch

PUBLISHED = StudyGaSettings()
VARIANTS = {
    "published": PUBLISHED,
    "tournament by feasibility": replace(PUBLISHED, deb_tournament=True),
    "no patience": replace(PUBLISHED, patience=PUBLISHED.generations),
    "mutation .03": replace(PUBLISHED, mutation=0.03),
    "all three": replace(PUBLISHED, deb_tournament=True, patience=PUBLISHED.generations, mutation=0.03),
}
"""The published algorithm, and the same with one thing changed at a time."""


@dataclass(frozen=True)
class Options:
    """What can be varied."""

    seeds: int = option(10, "Searches for each limit and variant.")
    variants: bool = option(False, "Also run the algorithm with each of its faults removed.")
    predictors: str | None = option(None, "Folder with the study's four predictor files.")
    processes: int = option(0, "Processes; 0 is one a core.")
    ray: str | None = option(None, 'Address of a Ray cluster, or "local" to start one here.')


@dataclass(frozen=True)
class Trial:
    """One search."""

    variant: str
    limit: float
    seed: int
    predictors: Path


@dataclass(frozen=True)
class Outcome:
    """What one search found."""

    accuracy: float
    latency_s: float
    feasible: bool
    evaluations: int


@dataclass(frozen=True)
class Row:
    """The searches of one variant under one limit, beside the published figures."""

    variant: str
    latency_limit: float
    mean_accuracy: float
    sd_accuracy: float
    mean_latency_s: float
    sd_latency_s: float
    violations: int
    mean_evaluations: float
    published_accuracy: float
    published_latency_s: float


def run(options: Options) -> Report:
    """Runs the sweep.

    Raises:
        InputError: the predictors cannot be used.
    """
    folder = folder_of(options.predictors)
    open_study(folder)
    variants = list(VARIANTS) if options.variants else ["published"]
    keys = [(variant, limit) for variant in variants for limit in LIMITS]
    trials = [Trial(variant, limit, seed, folder) for variant, limit in keys for seed in range(options.seeds)]
    outcomes = run_jobs(run_trial, trials, "searches", options.processes or None, options.ray)
    rows = [
        _row(variant, limit, [one for trial, one in zip(trials, outcomes, strict=True) if (trial.variant, trial.limit) == (variant, limit)])
        for variant, limit in keys
    ]
    off = max(abs(row.mean_accuracy - row.published_accuracy) for row in rows if row.variant == "published")
    return Report(
        title=f"Study 1, Table 2: its genetic algorithm, {options.seeds} searches a limit (accuracies are predicted)",
        document={"rows": [asdict(row) for row in rows]},
        tables=(_table(rows),),
        findings=(f"The means differ from the published ones by at most {off:.4f}.",),
        figures={"ga_sweep": _figure(rows)},
    )


def run_trial(trial: Trial) -> Outcome:
    """Runs one search from its seed alone."""
    predictor = open_study(trial.predictors)
    settings = VARIANTS[trial.variant]
    search = StudyGeneticSearch(predictor.space, budget(trial.limit), trial.seed, settings)
    evaluations = settings.population * (settings.generations + 1)
    result = run_search(search, predictor, budget(trial.limit), RunSettings(evaluations=evaluations, batch=settings.population))
    metrics = result.metrics
    return Outcome(float(metrics.accuracy.mean[0]), float(metrics.latency_s.mean[0]), result.meets_budget, result.evaluations)


def _row(variant: str, limit: float, outcomes: list[Outcome]) -> Row:
    accuracies, latencies = ([one.accuracy for one in outcomes], [one.latency_s for one in outcomes])
    accuracy, latency_s = PUBLISHED_GA[limit]
    return Row(
        variant=variant,
        latency_limit=limit,
        mean_accuracy=mean(accuracies),
        sd_accuracy=float(np.std(accuracies)),
        mean_latency_s=mean(latencies),
        sd_latency_s=float(np.std(latencies)),
        violations=sum(not one.feasible for one in outcomes),
        mean_evaluations=mean([float(one.evaluations) for one in outcomes]),
        published_accuracy=accuracy,
        published_latency_s=latency_s,
    )


def _table(rows: list[Row]) -> Table:
    lines = tuple(
        (
            *(row.variant, row.latency_limit, f"{row.mean_accuracy:.4f}", f"{row.sd_accuracy:.5f}"),
            *(f"{row.mean_latency_s:.4f}", f"{row.sd_latency_s:.4f}", row.violations, f"{row.mean_evaluations:.0f}"),
            *(f"{row.published_accuracy:.4f}", f"{row.published_latency_s:.4f}"),
            f"{row.mean_accuracy - row.published_accuracy:+.4f}",
        )
        for row in rows
    )
    columns = (
        *("algorithm", "T, s", "accuracy", "sd", "latency, s", "sd", "violations", "evaluations"),
        *("published accuracy", "published latency", "difference"),
    )
    return Table("table2", "Mean over the searches for each limit", columns, lines)


def _figure(rows: list[Row]) -> bytes:
    from hilnas.experiments.figures import figure_of_lines

    lines = {variant: [row.mean_accuracy for row in rows if row.variant == variant] for variant in {row.variant: None for row in rows}}
    lines["published figures"] = [PUBLISHED_GA[limit][0] for limit in LIMITS]
    return figure_of_lines({name: (LIMITS, values) for name, values in lines.items()}, "latency limit T, s", "predicted accuracy")
