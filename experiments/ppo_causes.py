"""Study 1: why its PPO answers with one network whatever the limit. Each cause is switched off alone, then all together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hilnas.experiments.catalogue import option
from hilnas.experiments.report import Report, Table
from hilnas.experiments.study1 import LIMITS, folder_of, open_study
from hilnas.experiments.study1_ppo import Agent, Judged, curves_figure, train_agents
from hilnas.nas.environment import Task
from hilnas.nas.objective import penalised_accuracy
from hilnas.nas.searches.ppo import PpoTraining

STUDY, TRAINING = Task(), PpoTraining()
FULL_HORIZON = replace(TRAINING, gamma=1.0, gae_lambda=0.98)
CAUSES: dict[str, tuple[Task, PpoTraining]] = {
    "study 1": (STUDY, TRAINING),
    "T observed": (replace(STUDY, limit_observed=True), TRAINING),
    "full horizon": (STUDY, FULL_HORIZON),
    "masked actions": (replace(STUDY, masked=True), TRAINING),
    "start in the middle, structure first": (replace(STUDY, middle_start=True, structure_first=True), TRAINING),
    "reward linear in accuracy": (replace(STUDY, objective=penalised_accuracy, reward_scale=50.0), TRAINING),
    "all": (
        Task(objective=penalised_accuracy, reward_scale=50.0, middle_start=True, structure_first=True, masked=True, limit_observed=True),
        replace(FULL_HORIZON, environments=64, rollout=64 * 70, batch=512),
    ),
}
"""Label to task and training: what is switched off against study 1.

T observed: in the study T is visible only through the latency slack. Full horizon: gamma x lambda = .94 sees 17 of 70 steps.
Masked actions: six of eight actions mean the last of three options, and decisions about absent blocks cost steps. Start: the
largest network violates every limit so much that the score is flat. Reward: accuracy to the fifth power times exponentials.
"""


@dataclass(frozen=True)
class Options:
    """What can be varied."""

    seeds: int = option(1, "Agents for each cause.")
    steps: int = option(100_000, "Environment steps of training.")
    predictors: str | None = option(None, "Folder with the study's four predictor files.")
    tensorboard: str | None = option(None, "Folder for TensorBoard scalars.")
    processes: int = option(0, "Processes; 0 is one a core.")
    ray: str | None = option(None, 'Address of a Ray cluster, or "local" to start one here.')


def run(options: Options) -> Report:
    """Trains an agent without each cause.

    Raises:
        InputError: the predictors cannot be used.
    """
    folder = folder_of(options.predictors)
    open_study(folder)
    agents = [
        Agent(
            label=label + (f", seed {seed}" if options.seeds > 1 else ""),
            task=task,
            training=replace(training, steps=options.steps),
            seed=seed,
            predictors=folder,
            tensorboard=Path(options.tensorboard) / f"{label.replace(' ', '_')}_seed{seed}" if options.tensorboard else None,
        )
        for label, (task, training) in CAUSES.items()
        for seed in range(options.seeds)
    ]
    judged = train_agents(agents, options.processes or None, options.ray)
    rows = [{"switched_off": agent.label, **one.measures(), "outcome": one.outcome()} for agent, one in zip(agents, judged, strict=True)]
    return Report(
        title=f"Study 1: causes of PPO's collapse, {options.steps:,} steps (accuracies are predicted)",
        document={"limits": list(LIMITS), "rows": rows},
        tables=(_table(rows, judged),),
        figures={"ppo_curves": curves_figure(agents, judged)},
    )


def _table(rows: list[dict[str, Any]], judged: list[Judged]) -> Table:
    lines = tuple(
        (
            *(row["switched_off"], row["networks"], f"{row['any_violation_rate']:.2f}", f"{row['valid_mean_accuracy']:.4f}"),
            *(f"{one.accuracy:.4f}/{one.latency_s:.2f}{'' if one.feasible else '!'}" for one in outcome.episodes),
            row["outcome"],
        )
        for row, outcome in zip(rows, judged, strict=True)
    )
    columns = ("switched off", "nets", "violation rate", "mean accuracy", *(f"T = {limit}" for limit in LIMITS), "outcome")
    return Table("causes", "Predicted accuracy / latency in s at each T; ! violates a limit", columns, lines)
