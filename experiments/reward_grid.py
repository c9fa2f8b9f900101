"""Study 1, Table 4: its PPO over the parameters of the reward."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

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
    (3.0, 1.0, 4.0): Published(0.265, 0.0, 0.718, 0.725),
    (3.0, 0.5, 6.0): Published(0.137, 0.0, 0.718, 0.725),
    (5.0, 1.0, 4.0): Published(0.265, 0.0, 0.718, 0.725),
    (5.0, 0.5, 4.0): Published(0.265, 0.0, 0.718, 0.725),
    (3.0, 0.5, 4.0): Published(0.265, 0.0, 0.718, 0.725),
    (5.0, 1.0, 6.0): Published(0.137, 0.0, 0.718, 0.725),
    (5.0, 0.5, 6.0): Published(0.137, 0.0, 0.718, 0.725),
    (3.0, 1.0, 6.0): Published(0.0, 1.0, 0.0, 0.0),
}
"""By beta, gamma and alpha."""


@dataclass(frozen=True)
class Options(AgentOptions):
    """What can be varied."""


def run(options: Options) -> Report:
    """Trains the grid.

    Raises:
        InputError: the predictors cannot be used.
    """
    scores = [StudyScore(alpha, beta, gamma) for beta, gamma, alpha in product((3.0, 5.0), (0.5, 1.0), (4.0, 6.0))]
    settings = [
        Setting(
            label=f"alpha {score.alpha:g}, beta {score.beta:g}, gamma {score.gamma:g}",
            folder=f"a{score.alpha:g}_b{score.beta:g}_g{score.gamma:g}",
            task=Task(objective=score),
            training=PpoTraining(steps=options.steps),
        )
        for score in scores
    ]
    agents = agents_of(settings, options)
    judged = train_agents(agents, options.processes or None, options.ray)
    rows = [_row(score, agent, one) for (score, _), agent, one in zip(product(scores, range(options.seeds)), agents, judged, strict=True)]
    return Report(
        title=f"Study 1, Table 4: PPO, {options.steps:,} steps, lr 3e-4, clip .2, ent .01 (accuracies are predicted)",
        document={"rows": [row.as_dict() for row in rows]},
        tables=(grid_table("table4", ("beta", "gamma", "alpha", "seed"), rows),),
        findings=grid_findings(judged),
        figures={"ppo_curves": curves_figure(agents, judged)},
    )


def _row(score: StudyScore, agent: Agent, judged: Judged) -> GridRow:
    parameters = {"beta": score.beta, "gamma": score.gamma, "alpha": score.alpha, "seed": agent.seed}
    return GridRow(parameters, judged, PUBLISHED[score.beta, score.gamma, score.alpha])
