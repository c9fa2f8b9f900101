"""What the experiments on study 1's PPO share: training agents as jobs, and judging what they answer at each limit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hilnas.experiments.figures import Line, figure_of_panels
from hilnas.experiments.study1 import LIMITS, mean, open_study
from hilnas.nas.environment import Task
from hilnas.nas.jobs import run_jobs
from hilnas.nas.searches.ppo import CURVES, Episode, PpoTraining, evaluate_ppo, train_ppo

SMALL_NET = "one feasible net for every T"
VIOLATING_NET = "one net that violates a limit in every episode"
ADAPTS = "adapts to T and meets every limit"


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
class Judged:
    """A trained agent's deterministic episodes, one a limit (study 1 runs five, which are equal), and its training curves."""

    episodes: tuple[Episode, ...]
    curves: dict[str, tuple[tuple[int, float], ...]]

    def measures(self) -> dict[str, Any]:
        """Study 1's measures, and how many different networks the agent answers with.

        Accuracies are of the episodes that meet the budget, 0 if none does, as the study prints them.
        """
        accuracies = [one.accuracy for one in self.episodes if one.feasible]
        return {
            "mean_total_reward": mean([one.total_reward for one in self.episodes]),
            "any_violation_rate": mean([float(not one.feasible) for one in self.episodes]),
            "valid_mean_accuracy": mean(accuracies) if accuracies else 0.0,
            "valid_max_accuracy": max(accuracies, default=0.0),
            "networks": len({one.architecture for one in self.episodes}),
            "latencies_s": [one.latency_s for one in self.episodes],
            "accuracies": [one.accuracy for one in self.episodes],
        }

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
