"""Study 1, Table 3: its PPO over learning rate, entropy coefficient and clip range."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hilnas.experiments.catalogue import option
from hilnas.experiments.report import Report, Table
from hilnas.experiments.study1 import folder_of, open_study
from hilnas.experiments.study1_ppo import Agent, Judged, curves_figure, train_agents
from hilnas.nas.environment import Task
from hilnas.nas.objective import StudyScore
from hilnas.nas.searches.ppo import PpoTraining

PUBLISHED = {
    (3e-4, 0.01, 0.2): (0.192, 0.0, 0.719, 0.727),
    (3e-4, 0.03, 0.2): (0.192, 0.0, 0.719, 0.727),
    (3e-4, 0.03, 0.1): (0.074, 1.0, 0.0, 0.0),
    (1e-4, 0.01, 0.1): (0.009, 1.0, 0.0, 0.0),
    (1e-4, 0.01, 0.2): (0.009, 1.0, 0.0, 0.0),
    (3e-4, 0.01, 0.1): (0.0, 1.0, 0.0, 0.0),
    (1e-4, 0.03, 0.1): (0.0, 1.0, 0.0, 0.0),
    (1e-4, 0.03, 0.2): (0.0, 1.0, 0.0, 0.0),
}
"""Learning rate, entropy coefficient and clip range to mean total reward, violation rate, mean and maximum valid accuracy."""


@dataclass(frozen=True)
class Options:
    """What can be varied."""

    seeds: int = option(1, "Agents for each setting.")
    steps: int = option(50_000, "Environment steps of training.")
    predictors: str | None = option(None, "Folder with the study's four predictor files.")
    tensorboard: str | None = option(None, "Folder for TensorBoard scalars.")
    processes: int = option(0, "Processes; 0 is one a core.")
    ray: str | None = option(None, 'Address of a Ray cluster, or "local" to start one here.')


def run(options: Options) -> Report:
    """Trains the grid.

    Raises:
        InputError: the predictors cannot be used.
    """
    folder = folder_of(options.predictors)
    open_study(folder)
    settings = list(product((3e-4, 1e-4), (0.01, 0.03), (0.1, 0.2)))
    agents = [
        Agent(
            label=f"lr {rate:g}, ent {entropy:g}, clip {clip:g}" + (f", seed {seed}" if options.seeds > 1 else ""),
            task=Task(objective=StudyScore(alpha=5.0, beta=4.0, gamma=0.8)),
            training=PpoTraining(steps=options.steps, learning_rate=rate, entropy=entropy, clip=clip),
            seed=seed,
            predictors=folder,
            tensorboard=Path(options.tensorboard) / f"lr{rate:g}_ent{entropy:g}_clip{clip:g}_seed{seed}" if options.tensorboard else None,
        )
        for (rate, entropy, clip), seed in product(settings, range(options.seeds))
    ]
    judged = train_agents(agents, options.processes or None, options.ray)
    rows = [_row(agent, one) for agent, one in zip(agents, judged, strict=True)]
    return Report(
        title=f"Study 1, Table 3: PPO, {options.steps:,} steps, alpha 5, beta 4, gamma 0.8 (accuracies are predicted)",
        document={"rows": rows},
        tables=(_table(rows),),
        findings=findings(judged),
        figures={"ppo_curves": curves_figure(agents, judged)},
    )


def findings(judged: list[Judged]) -> tuple[str, ...]:
    """How often each collapse occurred."""
    outcomes = [one.outcome() for one in judged]
    return tuple(f"{outcomes.count(outcome)} of {len(outcomes)} agents: {outcome}." for outcome in sorted(set(outcomes)))


def _row(agent: Agent, one: Judged) -> dict[str, Any]:
    training = agent.training
    key = (training.learning_rate, training.entropy, training.clip)
    names = ("published_reward", "published_violation_rate", "published_mean_accuracy", "published_max_accuracy")
    return {
        "learning_rate": training.learning_rate,
        "entropy": training.entropy,
        "clip": training.clip,
        "seed": agent.seed,
        **one.measures(),
        "outcome": one.outcome(),
        **dict(zip(names, PUBLISHED[key], strict=True)),
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    lines = tuple((f"{row['learning_rate']:g}", row["entropy"], row["clip"], row["seed"], *measured_cells(row)) for row in rows)
    return Table("table3", "Measured (published)", ("lr", "ent", "clip", "seed", *MEASURED_COLUMNS), lines)


MEASURED_COLUMNS = ("reward", "violation rate", "mean accuracy", "max accuracy", "nets", "outcome")


def measured_cells(row: dict[str, Any]) -> tuple[object, ...]:
    """The measures beside the published ones, as cells of a table."""
    return (
        f"{row['mean_total_reward']:.3f} ({row['published_reward']:.3f})",
        f"{row['any_violation_rate']:.2f} ({row['published_violation_rate']:.0f})",
        f"{row['valid_mean_accuracy']:.4f} ({row['published_mean_accuracy']:.3f})",
        f"{row['valid_max_accuracy']:.4f} ({row['published_max_accuracy']:.3f})",
        row["networks"],
        row["outcome"],
    )
