"""What the experiments of study 1 share: its space, predictors, limits and published figures, and one search as a job."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from hilnas.files import data_folder
from hilnas.nas.metrics import Budget
from hilnas.nas.objective import STUDY_FLASH_BYTES, STUDY_LIMITS, STUDY_SRAM_BYTES
from hilnas.nas.predictors.study import StudyPredictor, load_study_predictor
from hilnas.nas.spaces.mcu import McuSpace

LIMITS = STUDY_LIMITS
EVALUATIONS = 15_500
"""What the published GA may spend on one limit: a population of 500 and 30 generations."""

PUBLISHED_GA = {
    1.0: (0.7257, 0.9436),
    1.2: (0.7384, 1.1468),
    1.4: (0.7435, 1.3166),
    1.6: (0.7462, 1.4975),
    1.8: (0.7464, 1.5716),
    2.0: (0.7468, 1.6840),
}
"""Table 2: mean accuracy and mean latency in seconds by T."""
PUBLISHED_PPO = {
    1.0: (0.7153, 0.7097),
    1.2: (0.7194, 0.7178),
    1.4: (0.7155, 0.7353),
    1.6: (0.7215, 0.7034),
    1.8: (0.7184, 0.7023),
    2.0: (0.7213, 0.6908),
}
"""Table 5: PPO's accuracy and latency in seconds by T."""
BEST_KNOWN = {1.0: 0.7505, 1.2: 0.7545, 1.4: 0.7558, 1.6: 0.7562, 1.8: 0.7583, 2.0: 0.7583}
"""The best predicted accuracy that any method at any cost is known to have found."""


def budget(limit: float) -> Budget:
    """The study's budget with latency limit T."""
    return Budget(limit, STUDY_FLASH_BYTES, STUDY_SRAM_BYTES)


def folder_of(path: str | None) -> Path:
    """The folder with the study's predictors: `path`, else `seed` in the data folder.

    Raises:
        InputError: none is named.
    """
    if path is not None:
        return Path(path)
    return data_folder("no folder with the predictors of study 1 is named", "Give --predictors FOLDER") / "seed"


@lru_cache(maxsize=2)
def open_study(folder: Path) -> StudyPredictor:
    """The study's predictors on its space, read once a process."""
    return load_study_predictor(folder, McuSpace())


@dataclass(frozen=True)
class Found:
    """What one trial deployed under one limit: predicted accuracy and latency, and whether the budget is met."""

    limit: float
    seed: int
    accuracy: float
    latency_s: float
    flash_bytes: float
    sram_bytes: float
    feasible: bool
    evaluations: int
    architecture: tuple[int, ...]


def mean(values: list[float]) -> float:
    """The arithmetic mean as a plain number."""
    return float(np.mean(values))
