"""Predictors in a folder: study 1's four files, or predictors that `train_predictors` wrote."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hilnas.errors import InputError
from hilnas.files import read_input, write_atomically
from hilnas.nas.metrics import METRIC_NAMES, Estimate, Metrics
from hilnas.nas.network import DIMENSIONS
from hilnas.nas.predictors.errors import PredictionErrors, prediction_errors
from hilnas.nas.predictors.joint import JointPredictor
from hilnas.nas.predictors.mlp import MlpPredictor, Training
from hilnas.nas.predictors.study import load_mlp, load_study_predictor
from hilnas.nas.search import Predictor
from hilnas.nas.space import Architectures, SearchSpace
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.npz import read_npz

DESCRIPTION = "predictors.json"


def space_named(name: str) -> McuSpace:
    """The microcontroller space of named dimensions.

    Raises:
        InputError: there are none of that name.
    """
    if name not in DIMENSIONS:
        raise InputError(f"there is no space {name!r}", f"There are: {', '.join(DIMENSIONS)}.")
    return McuSpace(DIMENSIONS[name])


def open_predictor(folder: Path) -> tuple[Predictor, McuSpace]:
    """Opens the predictors of a folder; with the space whose architectures they know.

    Raises:
        InputError: it holds none, or they cannot be used.
    """
    if not (folder / DESCRIPTION).exists():
        space = McuSpace()
        return load_study_predictor(folder, space), space
    try:
        document = json.loads(read_input(folder / DESCRIPTION))
        space = space_named(document["space"])
        described = {name: document["metrics"][name] for name in METRIC_NAMES}
        numbers = {name: tuple(float(one[key]) for key in ("offset", "scale", "rmse")) for name, one in described.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder / DESCRIPTION} describes no predictors: {error}", "Train them again: hilnas predictors train."
        ) from error
    trained = {
        name: MlpPredictor.from_model(space, load_mlp(folder / f"{name}.pth", len(space.feature_names), sigmoid=False), *numbers[name])
        for name in METRIC_NAMES
    }
    return JointPredictor(**trained), space


def train_predictors(data: Path, space: SearchSpace, folder: Path, epochs: int, seed: int) -> dict[str, float]:
    """Trains one predictor a metric on the nets of `data` and writes them to `folder`; returns each one's held-out error (RMSE, SI).

    Raises:
        InputError: the data cannot be used.
        StoreError: the disk refused.
    """
    import torch

    architectures, metrics = load_nets(data, space)
    described = {}
    for name, measured in metrics:
        predictor = MlpPredictor(space, seed, Training(epochs=epochs))
        predictor.update(architectures, measured)
        content = io.BytesIO()
        torch.save(predictor.parameters(), content)
        write_atomically(folder / f"{name}.pth", content.getvalue())
        described[name] = {"offset": predictor.offset, "scale": predictor.scale, "rmse": predictor.std}
    document = {"space": space.name, "nets": len(architectures), "seed": seed, "epochs": epochs, "metrics": described}
    write_atomically(folder / DESCRIPTION, json.dumps(document, indent=2) + "\n")
    return {name: one["rmse"] for name, one in described.items()}


def evaluate_predictor(predictor: Predictor, space: SearchSpace, data: Path) -> dict[str, PredictionErrors]:
    """The errors of each metric on the nets of `data`.

    Raises:
        InputError: the data cannot be used.
    """
    architectures, metrics = load_nets(data, space)
    predicted = dict(predictor.predict(architectures))
    return {name: prediction_errors(predicted[name].mean, measured.mean) for name, measured in metrics}


def save_nets(path: Path, architectures: Architectures, metrics: Metrics) -> None:
    """Writes nets with their metrics as .npz: `architectures` (N, D), and each metric (N,) in SI units.

    Raises:
        StoreError: the disk refused.
    """
    content = io.BytesIO()
    columns: dict[str, Any] = {"architectures": architectures} | {name: estimate.mean for name, estimate in metrics}
    np.savez_compressed(content, **columns)
    write_atomically(path, content.getvalue())


def load_nets(path: Path, space: SearchSpace) -> tuple[Architectures, Metrics]:
    """Reads what `save_nets` wrote.

    Raises:
        InputError: no such file, other arrays or shapes, architectures of another space, values that are not finite.
    """
    hint = f"Nets with metrics are an .npz with architectures and {', '.join(METRIC_NAMES)}."
    arrays = read_npz(path, ("architectures", *METRIC_NAMES), hint)
    architectures = arrays["architectures"]
    try:
        values = {name: arrays[name].astype(np.float64) for name in METRIC_NAMES}
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} has metrics that are no numbers: {error}", hint) from error
    if not np.issubdtype(architectures.dtype, np.integer):
        raise InputError(f"{path}: architectures are choice indices, not {architectures.dtype}")
    batch = space.validate(architectures)
    for name, column in values.items():
        if column.shape != (len(batch),) or not np.isfinite(column).all():
            raise InputError(f"{path}: {name} is not one finite number for each of the {len(batch)} architectures")
    return batch, Metrics(**{name: Estimate.exact(column) for name, column in values.items()})


def predict_random(predictor: Predictor, space: SearchSpace, count: int, seed: int) -> tuple[Architectures, Metrics]:
    """Random canonical nets and what the predictor says of them."""
    architectures = space.canonical(space.sample(count, np.random.default_rng(seed)))
    return architectures, predictor.predict(architectures)


@dataclass(frozen=True)
class Summary:
    """Minimum, mean and maximum of a metric, and the mean of its deviations."""

    minimum: float
    mean: float
    maximum: float
    deviation: float


def summary(metrics: Metrics) -> dict[str, Summary]:
    """What predictors say of nets, by metric."""
    return {
        name: Summary(float(one.mean.min()), float(one.mean.mean()), float(one.mean.max()), float(one.std.mean())) for name, one in metrics
    }
