"""The table of NAS-Bench-201: accuracy and latency of every cell, looked up instead of predicted."""

from __future__ import annotations

import csv
import gzip
import io
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hilnas.errors import InputError
from hilnas.files import read_input
from hilnas.nas.metrics import Estimate, FloatArray, Metrics
from hilnas.nas.space import Architectures
from hilnas.nas.spaces.nasbench201 import EDGES, OPERATIONS, NasBench201Space

CELLS = len(OPERATIONS) ** len(EDGES)
_LATENCY = re.compile(r"(?:hwnb|help|nb201)_(?P<device>.+)_ms_c10")

Columns = dict[str, FloatArray]
"""Numbers of all 15,625 cells by column name, each in the order of `NasBench201Space.index`. NaN: not in the source."""


@dataclass(frozen=True)
class NasBench201Table:
    """The columns of the benchmark, and which device each latency column belongs to (in milliseconds there)."""

    columns: Columns

    @cached_property
    def devices(self) -> dict[str, str]:
        """Column of each device's latency, by the device's name: raspi4, pixel3, 2080ti_256 ..."""
        matches = ((column, _LATENCY.fullmatch(column)) for column in self.columns)
        return {match["device"]: column for column, match in matches if match}

    def column(self, name: str) -> FloatArray:
        """The numbers of one column.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.columns:
            raise InputError(f"the table has no column {name!r}", f"It has: {', '.join(self.columns)}.")
        return self.columns[name]

    def evaluator(self, accuracy: str, device: str) -> TableEvaluator:
        """Answers with one accuracy column (per cent) and the latency of one device.

        Raises:
            InputError: no such column or device.
        """
        if device not in self.devices:
            raise InputError(f"the table has no latency for {device!r}", f"It has: {', '.join(self.devices)}.")
        data_set = accuracy.partition("_")[0].removesuffix("valid")
        return TableEvaluator(
            accuracy=self.column(accuracy) / 100.0,
            latency_s=self.column(self.devices[device]) * 1e-3,
            parameters=self.columns.get(f"params_{data_set}", np.full(CELLS, np.nan)),
        )


@dataclass(frozen=True)
class TableEvaluator:
    """A predictor that looks up: accuracy in [0, 1], latency in seconds, flash as one byte a parameter; SRAM is not in the table (NaN)."""

    accuracy: FloatArray
    latency_s: FloatArray
    parameters: FloatArray

    def predict(self, architectures: Architectures) -> Metrics:
        """The table's metrics of a batch (N, 6), with deviation 0."""
        rows = NasBench201Space().index(architectures)
        exact = Estimate.exact
        return Metrics(
            exact(self.accuracy[rows]), exact(self.latency_s[rows]), exact(self.parameters[rows]), exact(np.full(len(rows), np.nan))
        )

    def update(self, architectures: Architectures, metrics: Metrics) -> None:
        """Nothing: the table is the measurement."""

    def latency_percentile(self, percent: float) -> float:
        """The latency, in seconds, that `percent` of all cells do not exceed."""
        return float(np.percentile(self.latency_s, percent))


def load_table(path: Path) -> NasBench201Table:
    """Reads a table: a CSV file, gzipped or not, with a column `arch` and one column per number.

    Raises:
        InputError: the file cannot be read, or does not hold every cell once.
    """
    data = read_input(path)
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        rows = list(csv.DictReader(io.StringIO(text)))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV table: {error}") from error
    if not rows or "arch" not in rows[0]:
        raise InputError(f"{path} has no column 'arch'", "The table has one row per cell of NAS-Bench-201 and its arch string.")
    names = [name for name in rows[0] if name not in ("index", "arch")]
    try:
        values = np.array([[float(row[name] or "nan") for name in names] for row in rows])
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: a cell is no number: {error}") from error
    return in_space_order(path, [row["arch"] for row in rows], dict(zip(names, values.T, strict=True)))


def in_space_order(source: Path, strings: list[str], columns: Columns) -> NasBench201Table:
    """Sorts columns, given in the order of `strings`, into the order of the space.

    Raises:
        InputError: a cell is missing, twice there or unknown.
    """
    space = NasBench201Space()
    position = space.index(space.parse(strings))
    if len(position) != CELLS or len(np.unique(position)) != CELLS:
        raise InputError(f"{source} holds {len(np.unique(position)):,} different cells of {CELLS:,}", "The table needs every cell once.")
    order = np.argsort(position)
    return NasBench201Table({name: np.ascontiguousarray(column[order]) for name, column in columns.items()})
