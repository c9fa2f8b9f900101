"""Study 1, Table 3: its PPO over learning rate, entropy coefficient and clip range."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from hilnas.experiments.catalogue import option
from hilnas.experiments.report import Report
from hilnas.experiments.study1_ppo import (
    Agent,
    AgentOptions,
    GridRow,
    Judged,
    Published,
    Setting,
    agents_of,
    curves_figure,
    grid_findings,
    grid_table,
    train_agents,
)
from hilnas.nas.environment import Task
from hilnas.nas.objective import StudyScore
from hilnas.nas.searches.ppo import PpoTraining

PUBLISHED = {
    (3e-4, 0.01, 0.2): Published(0.192, 0.0, 0.719, 0.727),
    (3e-4, 0.03, 0.2): Published(0.192, 0.0, 0.719, 0.727),
    (3e-4, 0.03, 0.1): Published(0.074, 1.0, 0.0, 0.0),
    (1e-4, 0.01, 0.1): Published(0.009, 1.0, 0.0, 0.0),
    (1e-4, 0.01, 0.2): Published(0.009, 1.0, 0.0, 0.0),
    (3e-4, 0.01, 0.1): Published(0.0, 1.0, 0.0, 0.0),
    (1e-4, 0.03, 0.1): Published(0.0, 1.0, 0.0, 0.0),
    (1e-4, 0.03, 0.2): Published(0.0, 1.0, 0.0, 0.0),
}
"""By learning rate, entropy coefficient and clip range."""


@dataclass(frozen=True)
class Options(AgentOptions):
    """What can be varied."""

    steps: int = option(50_000, "Environment steps of training.")


def run(options: Options) -> Report:
    """Trains the grid.

    Raises:
        InputError: the predictors cannot be used.
    """
    task = Task(objective=StudyScore(alpha=5.0, beta=4.0, gamma=0.8))
    settings = [
        Setting(
            label=f"lr {rate:g}, ent {entropy:g}, clip {clip:g}",
            folder=f"lr{rate:g}_ent{entropy:g}_clip{clip:g}",
            task=task,
            training=PpoTraining(steps=options.steps, learning_rate=rate, entropy=entropy, clip=clip),
        )
        for rate, entropy, clip in product((3e-4, 1e-4), (0.01, 0.03), (0.1, 0.2))
    ]
    agents = agents_of(settings, options)
    judged = train_agents(agents, options.processes or None, options.ray)
    rows = [_row(agent, one) for agent, one in zip(agents, judged, strict=True)]
    return Report(
        title=f"Study 1, Table 3: PPO, {options.steps:,} steps, alpha 5, beta 4, gamma 0.8 (accuracies are predicted)",
        document={"rows": [row.as_dict() for row in rows]},
        tables=(grid_table("table3", ("lr", "ent", "clip", "seed"), rows),),
        findings=grid_findings(judged),
        figures={"ppo_curves": curves_figure(agents, judged)},
    )


def _row(agent: Agent, judged: Judged) -> GridRow:
    training = agent.training
    parameters = {"learning_rate": training.learning_rate, "entropy": training.entropy, "clip": training.clip, "seed": agent.seed}
    return GridRow(parameters, judged, PUBLISHED[training.learning_rate, training.entropy, training.clip])
