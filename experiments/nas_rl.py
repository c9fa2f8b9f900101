"""Study 3: convolutional children found by the RNN controller, and the best one on a microcontroller."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hilnas.errors import HilnasError, InputError
from hilnas.experiments.catalogue import option
from hilnas.experiments.figures import band, png
from hilnas.experiments.report import Report, Table
from hilnas.experiments.statistics import Interval, interval, paired_p_value
from hilnas.nas.children import ChildRecipe, ChildTrainer, ConvolutionalChild
from hilnas.nas.data import DataSet, load_data
from hilnas.nas.deployable import DeployableChild
from hilnas.nas.distributed import Child, DistributedSearch, Scale
from hilnas.nas.metrics import FloatArray
from hilnas.nas.rewards import cubed_accuracy
from hilnas.nas.searches.controller import ControllerSettings
from hilnas.nas.spaces.convolutional import ConvolutionalDimensions, ConvolutionalLayer, ConvolutionalSpace
from hilnas.nas.workers import Workers, open_workers
from hilnas.progress import Advance, progress
from hilnas.quantities import milliseconds
from hilnas.tflite.reference import ReferenceModel

SPACE = ConvolutionalSpace(ConvolutionalDimensions(depths=(2, 3, 4), heights=(1, 3, 5), widths=(1, 3, 5), filters=(4, 8, 16)))
LEARNING_RATE = 0.02
"""The source's 6e-4 is for 12,800 children; these are a hundred."""
FINAL_EPOCHS = 4
"""How many times longer the best child is trained in the end."""


@dataclass(frozen=True)
class Options:
    """What can be varied."""

    seeds: int = option(10, "Number of searches.")
    children: int = option(80, "Children that each search trains.")
    data: str = option("digits", "Data set: digits, or the path of an .npz with x and y.")
    epochs: int = option(5, "Epochs that a child is trained for.")
    ray: str | None = option(None, 'Address of a Ray cluster, or "local" to start one; one process without.')
    shards: int = option(1, "Shards of the parameter server.")
    replicas: int = option(1, "Controllers that share their parameters.")
    batch: int = option(4, "Children of one update, trained at the same time on Ray.")
    board: str = option("nucleo-h743zi2", 'Board that the best child is deployed to on the emulator; "none" to leave it.')


@dataclass(frozen=True)
class Improvement:
    """Mean rewards of the searches' first and last quarters, in how many seeds the last is better, and the Wilcoxon test of that."""

    first_quarter: Interval
    last_quarter: Interval
    improved_seeds: int
    p_value: float


@dataclass(frozen=True)
class Deployment:
    """A child on a board, run by the emulator; accuracy is on the test images."""

    board: str
    bit_exact: bool | None
    int8_test_accuracy: float
    latency_s: float
    flash_bytes: int
    arena_bytes: int
    output_digest: str


@dataclass(frozen=True)
class BestChild:
    """The best child, trained longer. Its accuracy on the validation images during the search, and both accuracies afterwards."""

    seed: int
    architecture: list[int]
    layers: list[ConvolutionalLayer]
    search_accuracy: float
    validation_accuracy: float
    test_accuracy: float
    parameters: int


def run(options: Options) -> Report:
    """Searches with every seed, tests the improvement, and deploys the best child.

    Raises:
        InputError: bad options, no data set, no Ray at the address.
    """
    if options.seeds < 1 or options.children < 4:
        raise InputError(f"{options.seeds} seeds of {options.children} children cannot be judged", "Give at least one seed and 4 children.")
    with open_workers(options.ray) as workers, progress("children", total=options.seeds * options.children) as advance:
        searched = [_search(workers, options, seed, advance) for seed in range(options.seeds)]
    searches = [children for children, _ in searched]
    rewards = np.array([[child.reward for child in children] for children in searches])
    seed, child = max(
        ((seed, child) for seed, children in enumerate(searches) for child in children),
        key=lambda item: (item[1].reward, -item[1].metrics.flash_bytes.mean[0]),
    )
    improvement = _improvement(rewards)
    best, deployed = _finalise(options, seed, child)
    replaced = sum(restarts for _, restarts in searched)
    return Report(
        title=f"Study 3: {options.children} convolutional children on {options.data}, {options.seeds} seeds",
        document={
            "options": asdict(options),
            **asdict(improvement),
            "workers_replaced": replaced,
            "best": asdict(best) | _document(deployed),
        },
        tables=(_children_table(searches),),
        findings=_findings(improvement, best, deployed, options.seeds, replaced),
        figures={"rewards": _figure(rewards)},
    )


def create_trainer(data: str, epochs: int, seed: int) -> ChildTrainer:
    """The evaluator of one search, made in the worker's process."""
    return ChildTrainer(SPACE, load_data(data), ChildRecipe(epochs=epochs, batch_size=32), seed)


def _search(workers: Workers, options: Options, seed: int, advance: Advance) -> tuple[list[Child], int]:
    """The children of one search, and the number of workers that died on the way."""
    children: list[Child] = []

    def done(child: Child) -> None:
        children.append(child)
        advance(1)

    settings = ControllerSettings(learning_rate=LEARNING_RATE, batch=options.batch)
    scale = Scale(options.shards, options.replicas, options.batch)
    trainer = partial(create_trainer, options.data, options.epochs, seed)
    with closing(DistributedSearch(workers, SPACE, trainer, cubed_accuracy, settings, scale, seed)) as search:
        search.run(options.children, done)
        return children, search.restarts


def _improvement(rewards: FloatArray) -> Improvement:
    """Of rewards, shape (seeds, children)."""
    quarter = rewards.shape[1] // 4
    first, last = rewards[:, :quarter].mean(axis=1), rewards[:, -quarter:].mean(axis=1)
    return Improvement(interval(first), interval(last), int((last > first).sum()), paired_p_value(last - first))


def _finalise(options: Options, seed: int, child: Child) -> tuple[BestChild, Deployment | HilnasError | None]:
    """Trains the best child longer, judges it on the test images, and deploys it unless there is no board to deploy to."""
    data = load_data(options.data)
    trainer = ChildTrainer(SPACE, data, ChildRecipe(epochs=FINAL_EPOCHS * options.epochs, batch_size=32), seed)
    trained = trainer.train(child.architecture)
    best = BestChild(
        seed=seed,
        architecture=child.architecture.tolist(),
        layers=list(SPACE.layers(child.architecture)),
        search_accuracy=float(child.metrics.accuracy.mean[0]),
        validation_accuracy=trained.accuracy,
        test_accuracy=trainer.accuracy(trained.module, data.test),
        parameters=trained.parameters,
    )
    return best, None if options.board == "none" else _deploy(options.board, trained.module, data)


def _deploy(board: str, child: ConvolutionalChild, data: DataSet) -> Deployment | HilnasError:
    """Exports a child and measures it on the emulator; gives the reason where that is not possible."""
    from hilnas.boards.board import load_board
    from hilnas.export.exporter import export_tflite
    from hilnas.export.verify import int8_accuracy
    from hilnas.hil.measure import deploy
    from hilnas.hil.targets import create_target

    deployable = DeployableChild(child.cpu(), data.shape[-1]).eval()
    try:
        with tempfile.TemporaryDirectory() as folder:
            tflite, _ = export_tflite(deployable, data.training.inputs[:200], Path(folder) / "child.tflite")
            measured = deploy(tflite, load_board(board), create_target("emulator"), Path(folder) / "image")
            # Under the reference kernels, which the device equals byte by byte.
            accuracy = int8_accuracy(ReferenceModel.load(tflite), data.test.inputs, data.test.y)
    except HilnasError as error:
        # The search has cost an hour: its results are worth keeping.
        return error
    assert measured.latency_s is not None
    return Deployment(
        board=measured.board,
        bit_exact=measured.bit_exact,
        int8_test_accuracy=accuracy,
        latency_s=measured.latency_s,
        flash_bytes=measured.flash_bytes,
        arena_bytes=measured.arena_bytes,
        output_digest=measured.output_digest,
    )


def _document(deployed: Deployment | HilnasError | None) -> dict[str, Any]:
    if isinstance(deployed, HilnasError):
        return {"not_deployed": str(deployed)}
    return {} if deployed is None else asdict(deployed)


def _children_table(searches: list[list[Child]]) -> Table:
    rows = tuple(
        (
            *(seed, number, child.replica, f"{child.metrics.accuracy.mean[0]:.4f}", f"{child.reward:.4f}"),
            *(int(child.metrics.flash_bytes.mean[0]), " ".join(map(str, child.architecture.tolist()))),
        )
        for seed, children in enumerate(searches)
        for number, child in enumerate(children)
    )
    columns = ("seed", "child", "replica", "validation accuracy", "reward", "parameters", "architecture")
    return Table("children", "All children in the order in which they were trained", columns, rows)


def _findings(
    improvement: Improvement, best: BestChild, deployed: Deployment | HilnasError | None, seeds: int, replaced: int
) -> tuple[str, ...]:
    first, last = improvement.first_quarter, improvement.last_quarter
    lines = [
        f"Mean reward of the first quarter {first:.3f}, of the last {last:.3f}; better in {improvement.improved_seeds} of {seeds} seeds, "
        f"one-sided Wilcoxon p = {improvement.p_value:.2g}.",
        f"Best child: {len(best.layers)} layers, {best.parameters:,} parameters, validation accuracy {best.search_accuracy:.3f} "
        f"in the search, {best.validation_accuracy:.3f} trained longer, test accuracy {best.test_accuracy:.3f}.",
    ]
    if replaced:
        lines.append(f"Workers that died and were replaced: {replaced}; each cost at most its running child.")
    if isinstance(deployed, HilnasError):
        lines.append(f"The best child could not be deployed: {deployed}")
    elif deployed is not None:
        lines.append(
            f"On {deployed.board} (emulator): bit-exact: {'yes' if deployed.bit_exact else 'no'}, int8 test accuracy "
            f"{deployed.int8_test_accuracy:.3f}, latency {milliseconds(deployed.latency_s)}, flash {deployed.flash_bytes:,} bytes, "
            f"arena {deployed.arena_bytes:,} bytes."
        )
    return tuple(lines)


def _figure(rewards: FloatArray) -> bytes:
    """Mean reward over the search, with its interval over seeds, in tenths."""
    from matplotlib.figure import Figure

    parts = np.array_split(rewards, min(10, rewards.shape[1]), axis=1)
    ends = np.cumsum([part.shape[1] for part in parts])
    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    band(axis, ends.tolist(), np.stack([part.mean(axis=1) for part in parts], axis=1), "mean over seeds")
    axis.set(xlabel="children", ylabel="reward (accuracy cubed)")
    axis.legend()
    return png(figure)
