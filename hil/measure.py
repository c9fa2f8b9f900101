"""Measures an image on a target: the one place where what a target reports becomes a `Measurement`."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilnas import __version__
from hilnas.boards.board import Board
from hilnas.errors import InputError
from hilnas.firmware.build import build_image
from hilnas.firmware.compile import DEFAULT_REQUEST
from hilnas.firmware.image import FirmwareImage, Manifest
from hilnas.firmware.plan import PlanRequest
from hilnas.hil.layer_check import check_layers
from hilnas.hil.measurement import ExitStatistics, LayerMeasurement, Measurement
from hilnas.hil.samples import Samples
from hilnas.hil.target import Inference, Target, TargetRun, Tensor
from hilnas.hil.targets import check_board
from hilnas.hil.verify import INPUT_SETS, check_same_edges, first_difference, verification_inputs
from hilnas.tflite.reference import ReferenceModel


def deploy(
    model: Path,
    board: Board,
    target: Target,
    out: Path,
    seed: int = 0,
    data: Samples | None = None,
    verify_layers: bool = False,
    request: PlanRequest = DEFAULT_REQUEST,
) -> Measurement:
    """Builds a .tflite for a board into the folder `out`, measures it, and compares every output with the reference kernels'; with
    `verify_layers` the output of every layer, too, on the target `host` or on the emulator. `request` says which memory plan is wanted.

    Raises:
        ModelError: the file is not an int8 model that the engine supports.
        DoesNotFitError: the board's memories are too small.
        BuildError: the compiler failed or is missing.
        ConnectError, TargetError: see `Target.run`.
    """
    check_board(target.name, board.name, board.targets)
    image, reference = build_image(model, board, out, request), ReferenceModel.load(model)
    measurement = measure(image, board, target, reference, seed, data)
    if not verify_layers:
        return measurement
    check = check_layers(image, board, target.name, reference, seed)
    measurement = replace(measurement, tensors_compared=len(check.tensors))
    return measurement if check.difference is None else replace(measurement, bit_exact=False, first_difference=check.difference)


def measure(
    image: FirmwareImage,
    board: Board,
    target: Target,
    reference: ReferenceModel | None = None,
    seed: int = 0,
    data: Samples | None = None,
) -> Measurement:
    """Measures the longest path on verification inputs made from `seed`, and the exits on `data`.

    With a reference, `bit_exact` says whether every output equals it, and `first_difference` where one does not.

    Raises:
        InputError: the image is for another board, or the board does not run on the target.
        ConnectError, TargetError: see `Target.run`.
    """
    manifest = image.manifest
    image.require_board(board.name)
    check_board(target.name, board.name, board.targets)
    inputs = verification_inputs(manifest, seed)
    data_inputs = None if data is None else _data_inputs(manifest, data)
    run = target.run(image, board, inputs, take_exits=False)
    measurement = _longest_path(image, board, target.name, run, seed)
    if data is not None and data_inputs is not None:
        data_run = target.run(image, board, data_inputs, take_exits=True)
        measurement = _with_exits(measurement, _exit_statistics(manifest, board, data_run.inferences, data), data_run, data)
    return measurement if reference is None else _compared(measurement, manifest, reference, inputs, run)


def _longest_path(image: FirmwareImage, board: Board, target: str, run: TargetRun, seed: int) -> Measurement:
    """The measurement of the slowest inference of a run in which no exit was taken."""
    manifest = image.manifest
    slowest = max(run.inferences, key=lambda inference: (inference.cycles or 0, inference.instructions or 0))
    return Measurement(
        model=manifest.model,
        model_sha256=manifest.model_sha256,
        board=board.name,
        target=target,
        build_id=manifest.build_id,
        clock_hz=board.clock_hz,
        cycles=slowest.cycles,
        cycles_source=run.cycles_source,
        instructions=slowest.instructions,
        latency_s=None if slowest.cycles is None else slowest.cycles / board.clock_hz,
        flash_bytes=manifest.flash_bytes,
        arena_bytes=manifest.arena_bytes,
        sram_bytes=manifest.sram_bytes,
        stack_bytes=run.stack_bytes,
        macs=manifest.macs,
        layers=tuple(
            LayerMeasurement(layer.name, layer.op, layer.macs, cycles, instructions)
            for layer, cycles, instructions in zip(manifest.layers, slowest.layer_cycles, slowest.layer_instructions, strict=True)
        ),
        output_digest=output_digest(run.inferences),
        bit_exact=None,
        attempts=run.attempts,
        provenance=_provenance(image, run, seed),
    )


def _with_exits(measurement: Measurement, exits: ExitStatistics, run: TargetRun, data: Samples) -> Measurement:
    """Adds what a run over a data set told."""
    provenance = measurement.provenance | {"data": data.name, "data_sha256": data.digest}
    return replace(measurement, exits=exits, attempts=measurement.attempts + run.attempts, provenance=provenance)


def _compared(
    measurement: Measurement, manifest: Manifest, reference: ReferenceModel, inputs: Sequence[tuple[Tensor, ...]], run: TargetRun
) -> Measurement:
    """Adds whether a run gave the outputs that the reference gives."""
    check_same_edges(manifest, reference)
    reference.reset()
    expected = [reference.run(*tensors) for tensors in inputs]
    difference = first_difference(manifest, expected, [inference.outputs for inference in run.inferences])
    provenance = measurement.provenance | {"reference": reference.kernels}
    return replace(measurement, bit_exact=difference is None, first_difference=difference, provenance=provenance)


def output_digest(inferences: Sequence[Inference]) -> str:
    """The SHA-256 of all written outputs of all inferences, in order."""
    digest = hashlib.sha256()
    for inference in inferences:
        for output in inference.outputs:
            if output is not None:
                digest.update(np.ascontiguousarray(output).tobytes())
    return digest.hexdigest()


def _data_inputs(manifest: Manifest, data: Samples) -> list[tuple[Tensor, ...]]:
    if len(manifest.inputs) != 1:
        raise InputError(f"{manifest.model} has {len(manifest.inputs)} inputs; a data set needs a model of one", "Leave --data out.")
    data.check_classes(prod(manifest.outputs[-1].shape))
    return data.inputs(manifest.inputs[0])


def _exit_statistics(manifest: Manifest, board: Board, inferences: Sequence[Inference], data: Samples) -> ExitStatistics:
    taken = [inference.exit_taken for inference in inferences]
    exits = range(len(manifest.exit_thresholds) + 1)
    cycles = [[inference.cycles for inference in inferences if inference.exit_taken == index] for index in exits]
    known = [count for counts in cycles for count in counts if count is not None]
    return ExitStatistics(
        data=data.name,
        counts=tuple(taken.count(index) for index in exits),
        cycles_to_exit=tuple(_mean([count for count in counts if count is not None]) for counts in cycles),
        expected_latency_s=sum(known) / len(known) / board.clock_hz if len(known) == len(inferences) else None,
        accuracy=None if data.labels is None else _accuracy(inferences, data.labels),
    )


def _mean(values: Sequence[int]) -> int | None:
    return round(sum(values) / len(values)) if values else None


def _accuracy(inferences: Sequence[Inference], labels: NDArray[np.integer[Any]]) -> float:
    """How often the output of the exit that was taken is highest at the label."""
    answers = [next(output for output in reversed(inference.outputs) if output is not None) for inference in inferences]
    return float(np.mean([int(np.argmax(answer)) == label for answer, label in zip(answers, labels, strict=True)]))


def _provenance(image: FirmwareImage, run: TargetRun, seed: int) -> dict[str, str | int | float | None]:
    return {
        "hilnas": __version__,
        "engine": image.manifest.engine_version,
        "compiler": image.manifest.compiler,
        "target_version": run.target_version,
        "host": platform.node(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "inputs": INPUT_SETS,
    }
