"""Objectives: metrics and a budget become one score. The published rewards are small functions here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from hilnas.nas.metrics import Budget, Estimate, FloatArray, Metrics

STUDY_LIMITS = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
"""Study 1's latency limits T in seconds."""
STUDY_FLASH_BYTES = 1.8e6
STUDY_SRAM_BYTES = 0.88e6


class Objective(Protocol):
    """Scores N architectures under a budget, shape (N,); higher is better."""

    def __call__(self, metrics: Metrics, budget: Budget) -> FloatArray: ...


def constrained_accuracy(metrics: Metrics, budget: Budget) -> FloatArray:
    """Deb's feasibility ranking as one number: accuracy if the budget is met, else minus the total overrun.

    Source: Deb, "An efficient constraint handling method for genetic algorithms", 2000, eq. 4; accuracy is in [0, 1], so
    that every feasible architecture ranks above every infeasible one.
    """
    overrun = budget.overrun(metrics).sum(axis=1)
    score: FloatArray = (overrun == 0.0) * metrics.accuracy.mean - overrun
    return score


@dataclass(frozen=True)
class WithMargin:
    """An objective that sees latency, flash and SRAM worse by `margin` standard deviations of the predictor."""

    objective: Objective
    margin: float

    def __call__(self, metrics: Metrics, budget: Budget) -> FloatArray:
        """The objective's score of the pessimistic metrics, shape (N,)."""
        raised = {name: Estimate(one.mean + self.margin * one.std, one.std) for name, one in metrics if name != "accuracy"}
        return self.objective(replace(metrics, **raised), budget)


@dataclass(frozen=True)
class StudyScore:
    """accuracy^alpha * exp(-beta (flash_over + sram_over)) * exp(-gamma latency_over), the overruns as fractions of the limits.

    Source: study 1, the score whose change is the reward; alpha 5, beta 4, gamma .8 in its first grid.
    """

    alpha: float = 5.0
    beta: float = 4.0
    gamma: float = 0.8

    def __call__(self, metrics: Metrics, budget: Budget) -> FloatArray:
        """The score, shape (N,), in [0, 1]."""
        overrun = dict(zip(budget.limits(), budget.overrun(metrics).T, strict=True))
        memory = overrun.get("flash_bytes", 0.0) + overrun.get("sram_bytes", 0.0)
        penalty = np.exp(-self.beta * memory - self.gamma * overrun.get("latency_s", 0.0))
        score: FloatArray = np.maximum(metrics.accuracy.mean, 0.0) ** self.alpha * penalty
        return score


def penalised_accuracy(metrics: Metrics, budget: Budget) -> FloatArray:
    """Accuracy minus the total overrun, shape (N,): slopes on both sides of the limits, so that a step towards them pays."""
    score: FloatArray = metrics.accuracy.mean - budget.overrun(metrics).sum(axis=1)
    return score
