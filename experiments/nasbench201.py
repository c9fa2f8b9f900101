"""What the experiments on NAS-Bench-201 share: the table, latency limits, and running searches on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hilnas.errors import InputError
from hilnas.files import data_folder
from hilnas.limits import parse_limit
from hilnas.nas.evaluators.published import load_published
from hilnas.nas.evaluators.table import NasBench201Table, TableEvaluator, load_table
from hilnas.nas.search import Search
from hilnas.nas.spaces.nasbench201 import NasBench201Space

VALIDATIONS = ("c100_val_acc_v10", "c100_val_acc")
"""What rewards see: CIFAR-100 validation accuracy, of release 1.0 where the table says which."""
TEST = "c100_test_acc"
"""What results are judged on: CIFAR-100 test accuracy of release 1.1."""

DEVICES = "raspi4,pixel3,2080ti_256"
"""A single-board computer, a phone and a GPU: the one whose median latency (17.7 ms) is nearest to study 2's limit of 17 ms."""


def open_table(path: str | None) -> NasBench201Table:
    """The table at `path` (.csv, .csv.gz, or a published .pth file), by default the one in the data folder.

    Raises:
        InputError: none is named, or the file cannot be used.
    """
    if path is not None:
        return load_published(Path(path)) if path.endswith((".pth", ".pbz2")) else load_table(Path(path))
    return load_table(data_folder("no table of NAS-Bench-201 is named", "Give --table FILE") / "nb201" / "nb201_table.csv.gz")


def evaluator_of(table: NasBench201Table, device: str) -> TableEvaluator:
    """What a search is told on a device.

    Raises:
        InputError: the table has no such device, or no CIFAR-100 validation accuracy.
    """
    return table.evaluator(next((name for name in VALIDATIONS if name in table.columns), VALIDATIONS[0]), device)


def latency_limit(text: str, evaluator: TableEvaluator) -> float:
    """A limit in seconds from a time ("17ms") or a percentile of all cells ("25%").

    Raises:
        InputError: neither.
    """
    if not text.endswith("%"):
        return parse_limit("latency", text)
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 < percent <= 100:
        raise InputError(f"{text!r} is no limit for latency", 'Give a time ("17ms") or a percentile of all cells ("25%").')
    return evaluator.latency_percentile(percent)


def run_search(search: Search, evaluator: TableEvaluator, samples: int, batch: int, replicas: int = 1) -> NDArray[np.int64]:
    """The cells that each of `replicas` searches asked for, in order: their numbers in the table, shape (replicas, samples).

    A search that ends early (an exhausted space) repeats its last cell.
    """
    space = NasBench201Space()
    parts: list[NDArray[np.int64]] = []
    missing = samples
    while missing > 0:
        architectures = search.ask(min(batch, missing) * replicas)
        if len(architectures) == 0:
            parts.append(np.repeat(parts[-1][:, -1:], missing, axis=1))
            break
        search.tell(architectures, evaluator.predict(architectures))
        parts.append(space.index(architectures).reshape(replicas, -1))
        missing -= parts[-1].shape[1]
    return np.concatenate(parts, axis=1)
