"""What a run of the loop is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from hilnas.nas.metrics import Budget


@dataclass(frozen=True)
class LoopConfiguration:
    """Everything that decides what a run comes to; how many processes do it does not.

    `limits` are the user's; a limit that is None is chosen. `first_nets` random nets are measured for the first fit and
    `held_out` others only to judge it; each round measures `proposals` that the search found and `explored` random ones.
    `trained_accuracies` is the number of nets whose validation accuracy the accuracy predictor learns from.
    """

    board: str = "nucleo-h743zi2"
    target: str = "emulator"
    data: str = "digits"
    seed: int = 0
    rounds: int = 3
    limits: Budget = field(default_factory=Budget)
    epochs: int = 12
    trained_accuracies: int = 200
    first_nets: int = 5
    held_out: int = 16
    proposals: int = 4
    explored: int = 12
    evaluations: int = 1500
