"""The published experiments by name. A module is imported when its experiment is asked for.

Each module defines `Options`, a frozen dataclass whose fields become command-line options (`option` gives their help), and
`run(options) -> Report`.
"""

from __future__ import annotations

import importlib
from dataclasses import field
from typing import Any, Protocol

from hilnas.errors import InputError
from hilnas.experiments.report import Report

EXPERIMENTS = {
    "ga-sweep": "study 1, Table 2: its genetic algorithm",
    "ppo-grid": "study 1, Table 3: its PPO over learning rate, entropy and clip range",
    "reward-grid": "study 1, Table 4: its PPO over the parameters of the reward",
    "ppo-causes": "study 1: why its PPO fails, each cause switched off",
    "compare": "study 1, Table 5: the elitist GA and one policy for every latency limit, beside the published ones",
    "predictors": "study 1, Table 6: errors of its predictor",
    "reward-table": "study 2, Table 1: both rewards on the study's pairs of nets",
    "reward-search": "study 2, Figures 6 and 7: the controller under both rewards on NAS-Bench-201",
    "reward-regret": "regret of the controller and of other searches under latency limits on NAS-Bench-201",
    "nas-rl": "study 3: convolutional children found by the controller, the best one deployed",
    "nas-rl-text": "study 3: recurrent cells found by the controller, on a text",
}
"""Every experiment with the line that `hilnas experiment list` shows; its module is the name with underscores."""


class Experiment(Protocol):
    """What a module of this package offers."""

    Options: type[Any]

    def run(self, options: Any) -> Report:
        """Runs the experiment."""


def option(default: Any, help: str) -> Any:
    """A field of `Options`: its default, whose type it has (a string where it is None), and its line of help."""
    return field(default=default, metadata={"help": help})


def find(name: str) -> Experiment:
    """The module of an experiment.

    Raises:
        InputError: there is none of that name.
    """
    if name not in EXPERIMENTS:
        raise InputError(f"there is no experiment {name!r}", f"There are: {', '.join(EXPERIMENTS)}.")
    experiment: Experiment = importlib.import_module(f"hilnas.experiments.{name.replace('-', '_')}")
    return experiment
