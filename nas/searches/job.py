"""A search as a job: named search, predictors of a folder, budget and seed; many seeds at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hilnas.errors import InputError
from hilnas.files import data_folder
from hilnas.nas.jobs import run_jobs
from hilnas.nas.metrics import Budget
from hilnas.nas.predictors.files import load_nets, open_predictor
from hilnas.nas.search import Predictor
from hilnas.nas.searches.catalogue import create_search, find_search
from hilnas.nas.searches.run import RunSettings, SearchResult, run_search
from hilnas.nas.space import SearchSpace


@dataclass(frozen=True)
class SearchJob:
    """Everything that decides what a search comes to."""

    search: str
    budget: Budget
    seed: int
    settings: RunSettings
    predictors: Path | None = None
    warm_start: Path | None = None

    def open_predictor(self) -> tuple[Predictor, SearchSpace]:
        """The predictors, of the named folder, else study 1's of the data folder; with their space.

        Raises:
            InputError: no folder, or it holds no predictors.
        """
        if self.predictors is not None:
            return open_predictor(self.predictors)
        return open_predictor(data_folder("no predictors are named", "Give --predictors FOLDER") / "seed")


@dataclass(frozen=True)
class SearchReport:
    """The best network that searches found, with what was predicted of it: `predicted`, `standard_deviation` and `budget` by metric.

    `seed` is the first search's, `evaluations` those of all searches, `accuracies` the best of each, None where nothing met the budget.
    """

    search: str
    budget: dict[str, float]
    seed: int
    predicted: dict[str, float]
    standard_deviation: dict[str, float]
    evaluations: int
    architecture: list[int]
    choices: dict[str, Any]
    accuracies: list[float | None]


def run_searches(job: SearchJob, seeds: int = 1, ray: str | None = None) -> list[SearchResult]:
    """Runs the job with `seeds` rising seeds, in processes or on Ray.

    Raises:
        BudgetError: no search found an architecture that meets the budget.
        InputError: something named cannot be used.
        ConnectError: no Ray answers.
    """
    find_search(job.search)
    if seeds > 1 and job.settings.checkpoint is not None:
        raise InputError("a checkpoint belongs to one search", "Leave out --checkpoint or --seeds.")
    jobs = [replace(job, seed=job.seed + index, settings=_with_folder(job.settings, job.seed + index, seeds)) for index in range(seeds)]
    results = run_jobs(run_job, jobs, "searches", ray=ray)
    best(results).require_feasible(job.budget)
    return results


def run_job(job: SearchJob) -> SearchResult:
    """Runs one search from its description alone."""
    predictor, space = job.open_predictor()
    if find_search(job.search).create is None:
        from hilnas.nas.searches.ppo_search import search_with_ppo

        refused = {"--warm-start": job.warm_start, "--checkpoint": job.settings.checkpoint, "--early-stop": job.settings.early_stop}
        for option, given in refused.items():
            if given:
                raise InputError(f"{job.search} has no {option}", "Leave it out, or use another search.")
        return search_with_ppo(space, predictor, job.budget, job.settings, job.seed)
    search = create_search(job.search, space, job.budget, job.seed, job.settings.margin)
    if job.warm_start is not None:
        search.tell(*load_nets(job.warm_start, space))
    return run_search(search, predictor, job.budget, job.settings)


def best(results: list[SearchResult]) -> SearchResult:
    """The most accurate result that meets the budget; without one, any."""
    return max(results, key=lambda result: (result.meets_budget, float(result.metrics.accuracy.mean[0])))


def report(job: SearchJob, results: list[SearchResult]) -> SearchReport:
    """What the searches found."""
    chosen = best(results)
    _, space = job.open_predictor()
    choices = zip(space.decisions, chosen.architecture.tolist(), strict=True)
    return SearchReport(
        search=job.search,
        budget=job.budget.limits(),
        seed=job.seed,
        predicted={name: float(one.mean[0]) for name, one in chosen.metrics},
        standard_deviation={name: float(one.std[0]) for name, one in chosen.metrics},
        evaluations=sum(result.evaluations for result in results),
        architecture=chosen.architecture.tolist(),
        choices={decision.name: decision.choices[index] for decision, index in choices},
        accuracies=[float(result.metrics.accuracy.mean[0]) if result.meets_budget else None for result in results],
    )


def _with_folder(settings: RunSettings, seed: int, seeds: int) -> RunSettings:
    """A folder of its own for the scalars of each of several searches."""
    if settings.tensorboard is None or seeds == 1:
        return settings
    return replace(settings, tensorboard=settings.tensorboard / f"seed{seed}")
