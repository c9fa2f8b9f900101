"""What the experiments on study 1's PPO share: training agents as jobs, judging what they answer at each limit, rows of a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hilnas.experiments.catalogue import option
from hilnas.experiments.figures import Line, figure_of_panels
from hilnas.experiments.report import Table
from hilnas.experiments.study1 import LIMITS, folder_of, mean, open_study
from hilnas.nas.environment import Task
from hilnas.nas.jobs import run_jobs
from hilnas.nas.searches.ppo import CURVES, Episode, PpoTraining, evaluate_ppo, train_ppo

SMALL_NET = "one feasible net for every T"
VIOLATING_NET = "one net that violates a limit in every episode"
ADAPTS = "adapts to T and meets every limit"


@dataclass(frozen=True)
class AgentOptions:
    """What can be varied in every experiment that trains agents."""

    seeds: int = option(1, "Agents for each setting.")
    steps: int = option(100_000, "Environment steps of training.")
    predictors: str | None = option(None, "Folder with the study's four predictor files.")
    tensorboard: str | None = option(None, "Folder for TensorBoard scalars.")
    processes: int = option(0, "Processes; 0 is one a core.")
    ray: str | None = option(None, 'Address of a Ray cluster, or "local" to start one here.')


@dataclass(frozen=True)
class Setting:
    """What agents are trained on and how, its label, and what its folders of TensorBoard scalars begin with."""

    label: str
    folder: str
    task: Task
    training: PpoTraining


@dataclass(frozen=True)
class Agent:
    """One agent to train: its label, what it is trained on and how."""

    label: str
    task: Task
    training: PpoTraining
    seed: int
    predictors: Path
    tensorboard: Path | None = None


@dataclass(frozen=True)
class Measures:
    """Study 1's measures, and how many different networks the agent answers with.

    Accuracies are of the episodes that meet the budget, 0 if none does, as the study prints them.
    """

    mean_total_reward: float
    any_violation_rate: float
    valid_mean_accuracy: float
    valid_max_accuracy: float
    networks: int
    latencies_s: list[float]
    accuracies: list[float]


@dataclass(frozen=True)
class Judged:
    """A trained agent's deterministic episodes, one a limit (study 1 runs five, which are equal), and its training curves."""

    episodes: tuple[Episode, ...]
    curves: dict[str, tuple[tuple[int, float], ...]]

    def measures(self) -> Measures:
        """The episodes in numbers."""
        accuracies = [one.accuracy for one in self.episodes if one.feasible]
        return Measures(
            mean_total_reward=mean([one.total_reward for one in self.episodes]),
            any_violation_rate=mean([float(not one.feasible) for one in self.episodes]),
            valid_mean_accuracy=mean(accuracies) if accuracies else 0.0,
            valid_max_accuracy=max(accuracies, default=0.0),
            networks=len({one.architecture for one in self.episodes}),
            latencies_s=[one.latency_s for one in self.episodes],
            accuracies=[one.accuracy for one in self.episodes],
        )

    def outcome(self) -> str:
        """Which of the study's two collapses this is, or none."""
        feasible = sum(one.feasible for one in self.episodes)
        if len({one.architecture for one in self.episodes}) == 1:
            if feasible == len(self.episodes):
                return SMALL_NET
            return VIOLATING_NET if feasible == 0 else "one net for every T, feasible at some"
        if feasible == len(self.episodes):
            return ADAPTS
        return "several nets, all violate a limit" if feasible == 0 else "several nets, some violate a limit"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self.measures()), "outcome": self.outcome()}


@dataclass(frozen=True)
class Published:
    """What the study prints of a setting; accuracies are of episodes that meet the budget."""

    reward: float
    violation_rate: float
    mean_accuracy: float
    max_accuracy: float


@dataclass(frozen=True)
class GridRow:
    """One agent of a published grid: its parameters by name, what it answers, and what the study prints of it."""

    parameters: Mapping[str, float]
    judged: Judged
    published: Published

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        published = {f"published_{name}": value for name, value in asdict(self.published).items()}
        return {**self.parameters, **self.judged.as_dict(), **published}

    def cells(self) -> tuple[object, ...]:
        """Of a table: the measures beside the published ones."""
        measures, published = self.judged.measures(), self.published
        return (
            *self.parameters.values(),
            f"{measures.mean_total_reward:.3f} ({published.reward:.3f})",
            f"{measures.any_violation_rate:.2f} ({published.violation_rate:.0f})",
            f"{measures.valid_mean_accuracy:.4f} ({published.mean_accuracy:.3f})",
            f"{measures.valid_max_accuracy:.4f} ({published.max_accuracy:.3f})",
            measures.networks,
            self.judged.outcome(),
        )


def grid_table(name: str, parameters: Sequence[str], rows: Sequence[GridRow]) -> Table:
    """A grid as a table; `parameters` head the columns of the rows' parameters."""
    columns = (*parameters, "reward", "violation rate", "mean accuracy", "max accuracy", "nets", "outcome")
    return Table(name, "Measured (published)", columns, tuple(row.cells() for row in rows))


def grid_findings(judged: Sequence[Judged]) -> tuple[str, ...]:
    """How often each collapse occurred."""
    outcomes = [one.outcome() for one in judged]
    return tuple(f"{outcomes.count(outcome)} of {len(outcomes)} agents: {outcome}." for outcome in sorted(set(outcomes)))


def agents_of(settings: Sequence[Setting], options: AgentOptions) -> list[Agent]:
    """One agent for each setting and seed.

    Raises:
        InputError: the predictors cannot be used.
    """
    predictors = folder_of(options.predictors)
    open_study(predictors)
    return [
        Agent(
            label=setting.label + (f", seed {seed}" if options.seeds > 1 else ""),
            task=setting.task,
            training=setting.training,
            seed=seed,
            predictors=predictors,
            tensorboard=Path(options.tensorboard) / f"{setting.folder}_seed{seed}" if options.tensorboard else None,
        )
        for setting in settings
        for seed in range(options.seeds)
    ]


def train_agents(agents: list[Agent], processes: int | None, ray: str | None) -> list[Judged]:
    """Trains and judges every agent."""
    return run_jobs(train_agent, agents, "agents", processes, ray)


def train_agent(agent: Agent) -> Judged:
    """Trains one agent from its seed alone and judges it at the study's limits."""
    predictor = open_study(agent.predictors)
    trained = train_ppo(predictor.space, predictor, agent.task, agent.training, agent.seed, agent.tensorboard)
    return Judged(evaluate_ppo(trained.model, predictor.space, predictor, agent.task, LIMITS), trained.curves)


def curves_figure(agents: list[Agent], judged: list[Judged]) -> bytes:
    """Entropy, policy gradient loss, clip fraction and reward over the training steps."""
    panels: dict[str, dict[str, Line]] = {}
    for name in CURVES:
        points = {agent.label: one.curves[name] for agent, one in zip(agents, judged, strict=True)}
        panels[name.replace("_", " ")] = {label: ([x for x, _ in curve], [y for _, y in curve]) for label, curve in points.items()}
    return figure_of_panels(panels, "steps")
