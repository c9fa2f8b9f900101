"""Study 1: why its PPO answers with one network whatever the limit. Each cause is switched off alone, all together, and put back alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hilnas.experiments.catalogue import option
from hilnas.experiments.report import Report, Table
from hilnas.experiments.study1 import LIMITS
from hilnas.experiments.study1_ppo import AgentOptions, Judged, Measures, Setting, agents_of, curves_figure, train_agents
from hilnas.nas.environment import Task
from hilnas.nas.objective import penalised_accuracy
from hilnas.nas.searches.ppo import PpoTraining


@dataclass(frozen=True)
class Switch:
    """What switches a cause off: fields of `Task` and of `PpoTraining`."""

    task: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


CAUSES = {
    "T observed": Switch(task={"limit_observed": True}),
    "full horizon": Switch(training={"gamma": 1.0, "gae_lambda": 0.98}),
    "masked actions": Switch(task={"masked": True}),
    "start in the middle, structure first": Switch(task={"middle_start": True, "structure_first": True}),
    "reward linear in accuracy": Switch(task={"objective": penalised_accuracy, "reward_scale": 50.0}),
}
"""What is switched off against study 1.

T observed: in the study T is visible only through the latency slack. Full horizon: gamma x lambda = .94 sees 17 of 70 steps.
Masked actions: six of eight actions mean the last of three options, and decisions about absent blocks cost steps. Start: the
largest network violates every limit so much that the score is flat. Reward: accuracy to the fifth power times exponentials.
"""
STUDY_AGENTS = {
    "study 1, Table 4's training": PpoTraining(),
    "study 1, Table 3's most cautious training": PpoTraining(learning_rate=1e-4, clip=0.1),
}
"""The two trainings that collapse in the two ways. Table 4's is that of the study's best agent in Table 3."""
REPAIRED = PpoTraining(environments=64, rollout=64 * 70, batch=512)
"""Of the agent without any of the causes: as many environments as the batched predictor likes, whole episodes."""


@dataclass(frozen=True)
class Options(AgentOptions):
    """What can be varied."""

    steps: int = option(100_000, "Environment steps of training of the study's agents.")
    repaired_steps: int = option(200_000, "Environment steps of training of the agents without the causes.")


def switched(training: PpoTraining, off: Mapping[str, Switch]) -> tuple[Task, PpoTraining]:
    """Study 1's task and a training with some of the causes switched off."""
    task = Task()
    for switch in off.values():
        task, training = replace(task, **switch.task), replace(training, **switch.training)
    return task, training


def variants(options: Options) -> dict[str, tuple[Task, PpoTraining]]:
    """Every row by its label."""
    rows = {}
    for name, training in STUDY_AGENTS.items():
        study = replace(training, steps=options.steps)
        rows[name] = switched(study, {})
        rows |= {f"{name}; {cause}": switched(study, {cause: switch}) for cause, switch in CAUSES.items()}
    repaired = replace(REPAIRED, steps=options.repaired_steps)
    rows["all switched off"] = switched(repaired, CAUSES)
    for cause in CAUSES:
        rows[f"all but: {cause}"] = switched(repaired, {name: switch for name, switch in CAUSES.items() if name != cause})
    return rows


def run(options: Options) -> Report:
    """Trains the study's agents without each cause, and agents without any and without all but one.

    Raises:
        InputError: the predictors cannot be used.
    """
    settings = [Setting(label, str(index), task, training) for index, (label, (task, training)) in enumerate(variants(options).items())]
    agents = agents_of(settings, options)
    judged = train_agents(agents, options.processes or None, options.ray)
    rows = list(zip([agent.label for agent in agents], judged, strict=True))
    return Report(
        title=f"Study 1: causes of PPO's collapse, {options.steps:,} and {options.repaired_steps:,} steps (accuracies are predicted)",
        document={"limits": list(LIMITS), "rows": [{"agent": label, **one.as_dict()} for label, one in rows]},
        tables=(_table(rows),),
        figures={"ppo_curves": curves_figure(agents, judged)},
    )


def _table(rows: list[tuple[str, Judged]]) -> Table:
    columns = ("switched off", "nets", "violation rate", "mean accuracy", *(f"T = {limit}" for limit in LIMITS), "outcome")
    lines = tuple(_cells(label, judged, judged.measures()) for label, judged in rows)
    return Table("causes", "Predicted accuracy / latency in s at each T; ! violates a limit", columns, lines)


def _cells(label: str, judged: Judged, measures: Measures) -> tuple[object, ...]:
    return (
        *(label, measures.networks, f"{measures.any_violation_rate:.2f}", f"{measures.valid_mean_accuracy:.4f}"),
        *(f"{one.accuracy:.4f}/{one.latency_s:.2f}{'' if one.feasible else '!'}" for one in judged.episodes),
        judged.outcome(),
    )
