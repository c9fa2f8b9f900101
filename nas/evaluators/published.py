"""The benchmark's own files, for users who have them: NAS-Bench-201-v1_0-e61699.pth and NAS-Bench-201-v1_1-096897.pth.

They are pickles. torch's restricted unpickler reads them, so that no code of the file runs; what it refuses is refused here. NATS-Bench's
`.pickle.pbz2` files are bare pickles, which only the unrestricted one reads: they are converted to a CSV table by their own package
instead, on a machine where running it is acceptable (docs/study2.md has the script).
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hilnas.errors import InputError
from hilnas.nas.evaluators.table import NasBench201Table, in_space_order

CONVERSION = "Convert it to a CSV table with the nats_bench package: docs/study2.md has the script."

_ACCURACIES = {
    "c10valid_val_acc": ("cifar10-valid", "x-valid"),
    "c10_test_acc": ("cifar10", "ori-test"),
    "c100_val_acc": ("cifar100", "x-valid"),
    "c100_test_acc": ("cifar100", "x-test"),
    "in16_val_acc": ("ImageNet16-120", "x-valid"),
    "in16_test_acc": ("ImageNet16-120", "x-test"),
}
"""Data set and evaluation set of each accuracy column."""
_PARAMETERS = {"params_c10": "cifar10", "params_c100": "cifar100", "params_in16": "ImageNet16-120"}


def load_published(path: Path) -> NasBench201Table:
    """Reads a published file: accuracies after 200 epochs (per cent, mean over seeds), parameters, and the GPU latency as device `gpu`.

    Raises:
        InputError: a bare pickle, a file that holds more than plain data, or another structure.
    """
    document = _load_safely(path)
    try:
        strings = list(document["meta_archs"])
        trials = [document["arch2infos"][index]["full"] for index in range(len(strings))]
        rows = [dict(_numbers(info)) for info in trials]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} is not laid out like NAS-Bench-201: {error!r}", "Expected NAS-Bench-201-v1_1-096897.pth.") from error
    names = sorted({name for row in rows for name in row})
    columns = {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
    return in_space_order(path, strings, columns)


def _load_safely(path: Path) -> dict[str, Any]:
    import torch

    if path.suffix == ".pbz2":
        raise InputError(f"{path} is a bare pickle: reading it would run whatever code it holds", CONVERSION)
    # Accuracies are numpy scalars in some of the rows.
    plain = [np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType, np.dtypes.Int64DType, np._core.multiarray.scalar]  # type: ignore[attr-defined]
    try:
        with torch.serialization.safe_globals([*plain, (np._core.multiarray.scalar, "numpy.core.multiarray.scalar")]):  # type: ignore[attr-defined]
            document = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "Check the path and its permissions.") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise InputError(f"{path} cannot be read safely: {str(error).splitlines()[0]}", CONVERSION) from error
    if not isinstance(document, dict):
        raise InputError(f"{path} holds a {type(document).__name__}, not the benchmark", "Expected NAS-Bench-201-v1_1-096897.pth.")
    return document


def _numbers(info: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Column and value of everything the table keeps of one cell's trials."""
    results, seeds = info["all_results"], info["dataset_seed"]
    trials = {dataset: [results[dataset, seed] for seed in seeds[dataset]] for dataset in seeds}
    for column, (dataset, evaluation) in _ACCURACIES.items():
        if dataset in trials:
            yield column, _mean(trial["eval_acc1es"][f"{evaluation}@{trial['epochs'] - 1}"] for trial in trials[dataset])
    for column, dataset in _PARAMETERS.items():
        if dataset in trials:
            yield column, 1e6 * _mean(trial["params"] for trial in trials[dataset])
    timed = [second for trial in trials.get("cifar10", ()) for second in trial["latency"] or () if second > 0]
    if timed:
        yield "nb201_gpu_ms_c10", 1e3 * float(np.mean(timed))


def _mean(values: Iterator[Any]) -> float:
    return float(np.mean([float(value) for value in values]))
