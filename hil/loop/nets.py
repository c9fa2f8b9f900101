"""One net of a run, from architecture to measurement: what the worker processes do."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hilnas.boards.board import Board, load_board
from hilnas.errors import CheckFailedError, InputError
from hilnas.exit_rule import scale_threshold
from hilnas.export.exporter import ONNX_NAME, TFLITE_NAME
from hilnas.export.onnx import to_onnx
from hilnas.export.quantise import to_int8_tflite
from hilnas.export.supernet import CALIBRATION_IMAGES
from hilnas.files import sha256, write_atomically
from hilnas.firmware.build import build_image
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.board_selection import BoardSelection
from hilnas.hil.loop.memory_predictor import MemoryNeeds, NetworkPlanner
from hilnas.hil.loop.run_folder import SELECTION_NAME, RunFolder
from hilnas.hil.measure import measure
from hilnas.hil.measurement import ExitStatistics, Measurement
from hilnas.hil.samples import Samples
from hilnas.hil.store import MeasurementStore
from hilnas.hil.targets import create_target
from hilnas.nas.accuracy import calibrated_subnet, subnet_accuracy
from hilnas.nas.data import DataSet, load_data
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_network import network_of
from hilnas.nas.subnet import Subnet
from hilnas.nas.supernet import Supernet
from hilnas.nas.threads import use_one_thread
from hilnas.nas.training import load_supernet, space_for
from hilnas.tflite.exits import named_exits
from hilnas.tflite.reference import ReferenceModel


@dataclass(frozen=True)
class NetTask:
    """A net to evaluate. A candidate is also exported to ONNX and run over the test images on the target."""

    run: Path
    architecture: tuple[int, ...]
    candidate: bool


@dataclass(frozen=True)
class NetRecord:
    """A net that was built and measured. Accuracies are of the float net, with exits taken; `exits` is what the target did on the
    test images, for candidates."""

    name: str
    architecture: tuple[int, ...]
    model_sha256: str
    validation_accuracy: float
    test_accuracy: float
    latency_s: float
    flash_bytes: int
    sram_bytes: int
    exits: ExitStatistics | None


def recorded_nets(folder: RunFolder) -> list[NetRecord]:
    """All nets that a run has measured so far, by name."""
    names = sorted(path.name for path in (folder.path / "stages" / "nets").glob("*.json"))
    return [folder.read(f"stages/nets/{name}", NetRecord) for name in names]


def net_name(architecture: Sequence[int]) -> str:
    """The name of a net in its run: equal networks have equal names."""
    return f"net-{sha256(np.array(architecture, dtype=np.int64).tobytes())[:8]}"


@dataclass(frozen=True)
class _WorkerState:
    """What a worker keeps at hand between nets."""

    folder: RunFolder
    board: Board
    target: str
    selection: BoardSelection
    data: DataSet
    supernet: Supernet


@lru_cache(maxsize=1)
def _worker_state(run: Path) -> _WorkerState:
    use_one_thread()
    folder = RunFolder(run)
    asked = folder.description().configuration
    trained = load_supernet(folder.supernet_path)
    selection = folder.read(SELECTION_NAME, BoardSelection)
    data = load_data(asked.data, trained.recipe.data_seed)
    return _WorkerState(folder, load_board(asked.board), asked.target, selection, data, trained.supernet)


def accuracy_of(task: NetTask) -> float:
    """The accuracy of a net on the validation split, float, exits taken."""
    state = _worker_state(task.run)
    subnet = calibrated_subnet(state.supernet, np.array(task.architecture, dtype=np.int64), state.data.training)
    return subnet_accuracy(subnet, state.data.validation).accuracy


@lru_cache(maxsize=1)
def _planner(run: Path) -> NetworkPlanner:
    asked = RunFolder(run).description().configuration
    return NetworkPlanner.of(partial(network_of, space_for(load_data(asked.data))), load_board(asked.board))


def memory_of(task: NetTask) -> MemoryNeeds:
    """What a net needs in flash and SRAM, from its shapes."""
    return _planner(task.run)(np.array(task.architecture, dtype=np.int64))


def evaluate_net(task: NetTask) -> NetRecord:
    """Exports, builds and measures a net, or reads what was recorded when that was done before.

    Raises:
        HilnasError: whatever exporting, building, measuring or storing raises.
    """
    state = _worker_state(task.run)
    name = net_name(task.architecture)
    return state.folder.once(f"nets/{name}", NetRecord, lambda: _evaluate(state, name, task))


def _evaluate(state: _WorkerState, name: str, task: NetTask) -> NetRecord:
    subnet = calibrated_subnet(state.supernet, np.array(task.architecture, dtype=np.int64), state.data.training)
    folder = state.folder.candidate(name)
    # What a killed process was writing: whole files have names without a dot.
    for leftover in folder.glob(".*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    model = _export(subnet, state.data.training.inputs[:CALIBRATION_IMAGES], folder, with_onnx=task.candidate)
    image = build_image(model, state.board, folder / "firmware")
    measurement = _measure(state, image, model, task.candidate)
    if measurement.latency_s is None:
        raise InputError(f"target {state.target} cannot tell latency", "Take the emulator or a board.")
    return NetRecord(
        name=name,
        architecture=task.architecture,
        model_sha256=image.manifest.model_sha256,
        validation_accuracy=subnet_accuracy(subnet, state.data.validation).accuracy,
        test_accuracy=subnet_accuracy(subnet, state.data.test).accuracy,
        latency_s=measurement.latency_s,
        flash_bytes=measurement.flash_bytes,
        sram_bytes=measurement.sram_bytes,
        exits=measurement.exits,
    )


def _export(subnet: Subnet, calibration: NDArray[np.float32], folder: Path, *, with_onnx: bool) -> Path:
    """Writes the files of a net that are not there yet. How good an int8 net is, is measured; a bad one is no error here."""
    thresholds = subnet.network.thresholds
    model, onnx = folder / TFLITE_NAME, folder / ONNX_NAME
    if with_onnx and not onnx.exists():
        write_atomically(onnx, to_onnx(subnet, calibration[:1], named_exits(thresholds).output_names))
    if not model.exists():
        write_atomically(model, to_int8_tflite(subnet, calibration, thresholds))
    return model


def _measure(state: _WorkerState, image: FirmwareImage, model: Path, with_data: bool) -> Measurement:
    """Measures an image and stores what was measured, unless that was done before.

    Raises:
        CheckFailedError: an output is not the reference's.
    """
    manifest, target, test = image.manifest, create_target(state.target, state.selection), state.data.test
    with MeasurementStore(state.folder.store_path) as store:
        stored = store.find(build_id=manifest.build_id, board=state.board.name, target=target.name)
        for measurement in stored:
            if not with_data or measurement.exits is not None:
                return measurement
        data = Samples(f"{state.data.name} test", test.inputs, test.y) if with_data else None
        measurement = measure(image, state.board, target, ReferenceModel.load(model), data=data)
        if not measurement.bit_exact:
            raise CheckFailedError(
                f"{model} on {target.name} is not bit-exact: {measurement.first_difference}", "This is a defect of the engine: report it."
            )
        store.add(measurement)
    return measurement


def describe(space: McuSpace, architecture: Sequence[int]) -> str:
    """An architecture in words: kernel and expand ratio of each stage's blocks, and the exits with their thresholds in nats."""
    size, layout = space.dimensions, space.layout
    net = np.array(architecture, dtype=np.int64)
    kernels, expands, thresholds = net[layout.kernel], net[layout.expand], net[layout.exit_threshold]
    stages = []
    for stage, depth in enumerate(space.depths(net[None])[0]):
        slots = range(sum(size.depth_slots[:stage]), sum(size.depth_slots[:stage]) + depth)
        stages.append(" ".join(f"{size.kernels[kernels[slot]]}/{size.expands[expands[slot]]}" for slot in slots))
    exits = [
        f"stage {stage} below {scale_threshold(size.exit_thresholds[thresholds[stage]], size.classes):.2f} nats"
        for stage in np.flatnonzero(space.active_exits(net[None])[0])
    ]
    return f"blocks (kernel/expand) {' | '.join(stages)}; exits: {', '.join(exits) or 'none'}"
