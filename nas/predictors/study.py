"""The four predictors of study 1, from the files that it published."""

from __future__ import annotations

import io
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch

from hilnas.errors import InputError
from hilnas.files import read_input
from hilnas.nas.metrics import Estimate, Metrics
from hilnas.nas.predictors.mlp import Mlp, evaluate
from hilnas.nas.space import Architectures, SearchSpace

MEGABYTE = 1e6
PREDICTED = {"accuracy": 1.0, "latency_s": 1.0, "flash_bytes": MEGABYTE, "sram_bytes": MEGABYTE}
"""Each metric with what one unit of its predictor's output is in SI."""

PUBLISHED_RMSE = {"accuracy": 0.0091, "latency_s": 0.0341, "flash_bytes": 0.1120 * MEGABYTE, "sram_bytes": 0.0021 * MEGABYTE}
"""Root mean square errors (study 1, Table 6): the standard deviations of the predictions."""


class StudyPredictor:
    """Predicts all metrics with study 1's networks, dropout off. What they say is a prediction, never a measurement."""

    def __init__(self, space: SearchSpace, models: dict[str, Mlp]) -> None:
        self.space = space
        self.models = models

    def predict(self, architectures: Architectures) -> Metrics:
        """Predictions, with the published root mean square errors as deviations."""
        features = self.space.encode(architectures)
        estimates = {}
        for name, unit in PREDICTED.items():
            mean = unit * evaluate(self.models[name], features)
            estimates[name] = Estimate(mean, np.full(len(mean), PUBLISHED_RMSE[name]))
        return Metrics(**estimates)

    def update(self, architectures: Architectures, metrics: Metrics) -> None:
        """The published predictors are fixed.

        Raises:
            InputError: always.
        """
        raise InputError("the published predictors of study 1 are fixed", "Train a predictor of your own: hilnas predictors train.")


def load_study_predictor(folder: Path, space: SearchSpace) -> StudyPredictor:
    """Reads `accuracy_predictor.pth`, `latency_predictor.pth`, `flash_predictor.pth` and `sram_predictor.pth`.

    Raises:
        InputError: a file is missing, holds anything but plain tensors, has other shapes or keys than `Mlp`, or values that
            are not finite.
    """
    files = {name: folder / f"{name.split('_')[0]}_predictor.pth" for name in PREDICTED}
    return StudyPredictor(space, {name: load_mlp(path, len(space.feature_names), name == "accuracy") for name, path in files.items()})


def load_mlp(path: Path, features: int, sigmoid: bool) -> Mlp:
    """Reads the parameters of an `Mlp` without running any code of the file; errors as `load_study_predictor`."""
    content = read_input(path)
    try:
        parameters = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise InputError(
            f"{path} is not a plain file of tensors and was not loaded: {str(error).splitlines()[0]}",
            "Save it with torch.save(model.state_dict(), path); files that hold code are never run.",
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise InputError(
            f"{path} is not a torch file, or is damaged: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            "Fetch the file again.",
        ) from error
    model = Mlp(features, sigmoid)
    _check(path, parameters, model.state_dict())
    model.load_state_dict(parameters)
    return model.eval()


def _check(path: Path, parameters: object, expected: dict[str, torch.Tensor]) -> None:
    """Raises InputError naming every difference between the file and the architecture."""
    if not isinstance(parameters, dict):
        raise InputError(f"{path} holds a {type(parameters).__name__}, not a state dict", "Save model.state_dict().")
    problems = [f"{name} is missing" for name in expected.keys() - parameters.keys()]
    problems += [f"{name} is unknown" for name in parameters.keys() - expected.keys()]
    for name in expected.keys() & parameters.keys():
        value, shape = parameters[name], tuple(expected[name].shape)
        if not isinstance(value, torch.Tensor):
            problems.append(f"{name} is no tensor")
        elif tuple(value.shape) != shape:
            problems.append(f"{name} has shape {tuple(value.shape)}, expected {shape}")
        elif not bool(torch.isfinite(value).all()):
            problems.append(f"{name} holds values that are not finite")
    if problems:
        raise InputError(
            f"{path} does not fit the predictor: " + "; ".join(sorted(map(str, problems))),
            "It is 3 x [Linear 512, LayerNorm, ReLU, Dropout] + Linear 1 on the features of the space.",
        )
