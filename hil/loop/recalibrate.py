"""Recalibration: what was measured goes back into the predictors; what that does to their error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from hilnas.boards.board import load_board
from hilnas.errors import InputError
from hilnas.hil.loop.memory_predictor import FlashPredictor, MemoryPlanner, NetworkPlanner, SramPredictor
from hilnas.hil.loop.nets import NetRecord, recorded_nets
from hilnas.hil.loop.result import LatencyError
from hilnas.hil.loop.run_folder import RunFolder
from hilnas.hil.store import MeasurementStore
from hilnas.nas.data import load_data
from hilnas.nas.metrics import Estimate, FloatArray, Metrics
from hilnas.nas.predictors.gaussian_process import MINIMUM_SAMPLES, GaussianProcess
from hilnas.nas.predictors.joint import JointPredictor
from hilnas.nas.predictors.mlp import MlpPredictor
from hilnas.nas.space import Architectures
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_network import network_of
from hilnas.nas.spaces.mcu_work import work
from hilnas.nas.training import space_for

Rows = tuple[tuple[int, ...], ...]
"""Architectures as they are recorded."""


def latency_error(predicted: ArrayLike, measured: ArrayLike) -> LatencyError:
    """Relative error of predicted latencies against measured ones, both in seconds."""
    errors = np.abs(np.asarray(predicted) / np.asarray(measured) - 1.0)
    return LatencyError(float(errors.mean()), float(errors.max()))


def rows(records: Sequence[NetRecord]) -> Architectures:
    """The architectures of measured nets."""
    return np.array([record.architecture for record in records], dtype=np.int64)


def measured_metrics(records: Sequence[NetRecord]) -> Metrics:
    """What was measured of nets, as predictors learn it: validation accuracy of the float net, latency, flash, SRAM."""
    return Metrics(
        accuracy=Estimate.exact([record.validation_accuracy for record in records]),
        latency_s=Estimate.exact([record.latency_s for record in records]),
        flash_bytes=Estimate.exact([record.flash_bytes for record in records]),
        sram_bytes=Estimate.exact([record.sram_bytes for record in records]),
    )


@dataclass(frozen=True)
class FirstNets:
    """The random nets of a run's first fit, and those that only judge predictions."""

    fitted: Rows
    held_out: Rows


@dataclass(frozen=True)
class Recalibration:
    """What recalibrating came to: the latency error, on nets that were not learned from, before and after."""

    board: str
    target: str
    learned: int
    judged: int
    before: LatencyError
    after: LatencyError


def recalibrate(folder: RunFolder, board: str | None = None, target: str | None = None) -> Recalibration:
    """Fits the latency predictor of a run to its stored measurements by one target on one board, by default the run's own.

    Before, it knows the first fit's nets as the run measured them. It is judged on held-out nets. The measurements may come from
    elsewhere (`hilnas measurements import`): a net is known by its model.

    Raises:
        InputError: the folder holds no run, or too few measurements of its nets.
        StoreError: the store is damaged.
    """
    asked = folder.description().configuration
    board, target = board or load_board(asked.board).name, target or asked.target
    first = folder.read("stages/first_nets.json", FirstNets)
    records = recorded_nets(folder)
    with MeasurementStore.existing(folder.store_path) as store:
        latencies = {one.model_sha256: one.latency_s for one in store.find(board=board, target=target) if one.latency_s is not None}
    held_out = [record for record in records if record.architecture in first.held_out and record.model_sha256 in latencies]
    learned = [record for record in records if record.architecture not in first.held_out and record.model_sha256 in latencies]
    if len(learned) < MINIMUM_SAMPLES or not held_out:
        raise InputError(
            f"{folder.store_path} has measurements by {target} on {board} of {len(learned)} nets to learn from and {len(held_out)} "
            f"held-out ones; {MINIMUM_SAMPLES} and 1 are needed",
            "Measure more nets of the run, or import their measurements.",
        )
    space = space_for(load_data(asked.data))
    plan = NetworkPlanner.of(partial(network_of, space), load_board(asked.board))
    planner = MemoryPlanner(space, lambda nets: [plan(net) for net in nets])
    fitted = [record for record in records if record.architecture in first.fitted]
    measured = [latencies[record.model_sha256] for record in held_out]

    def error_after(learned: Sequence[NetRecord], seconds: Sequence[float]) -> LatencyError:
        predictor = latency_predictor(space, planner)
        predictor.update(rows(learned), Estimate.exact(seconds))
        return latency_error(predictor.predict(rows(held_out)).mean, measured)

    result = Recalibration(
        board,
        target,
        len(learned),
        len(held_out),
        before=error_after(fitted, [record.latency_s for record in fitted]),
        after=error_after(learned, [latencies[record.model_sha256] for record in learned]),
    )
    folder.write(f"recalibration-{board}-{target}.json", Recalibration, result)
    return result


def latency_predictor(space: McuSpace, planner: MemoryPlanner) -> GaussianProcess:
    """Predicts latency from few measurements: a Gaussian process that knows what latency nearly follows.

    That is the work by kind of layer, and what a memory plan that streams rows takes more than the layers one after the other.
    """

    def describe(nets: Architectures) -> FloatArray:
        added = [needs.added_instructions for needs in planner(nets)]
        return np.column_stack([work(space, nets), np.array(added, dtype=np.float64)])

    return GaussianProcess(space.encode, describe)


def new_predictor(space: McuSpace, planner: MemoryPlanner, seed: int) -> JointPredictor:
    """Predictors that know nothing yet but how to compute memory.

    Accuracy has many cheap measurements: the study's MLP. Latency has few dear ones.
    """
    return JointPredictor(
        accuracy=MlpPredictor(space, seed),
        latency_s=latency_predictor(space, planner),
        flash_bytes=FlashPredictor(planner),
        sram_bytes=SramPredictor(planner),
    )
