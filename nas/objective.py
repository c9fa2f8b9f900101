"""Objectives: metrics and a budget become one score. The published rewards are small functions here."""

from __future__ import annotations

from typing import Protocol

from hilnas.nas.metrics import Budget, FloatArray, Metrics


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
