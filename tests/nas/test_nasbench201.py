"""The space of NAS-Bench-201, its table, and the published files."""

from __future__ import annotations

import gzip
import pickle
from collections import OrderedDict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hilnas.errors import InputError
from hilnas.nas.evaluators.published import load_published
from hilnas.nas.evaluators.table import CELLS, NasBench201Table, load_table
from hilnas.nas.spaces.nasbench201 import OPERATIONS, NasBench201Space

SPACE = NasBench201Space()
ALL = np.array(list(product(range(5), repeat=6)), dtype=np.int64)

cells = st.lists(st.integers(0, 4), min_size=6, max_size=6).map(lambda row: np.array([row]))


@pytest.fixture(scope="module")
def table(data_folder: Path) -> NasBench201Table:
    return load_table(data_folder / "nb201" / "nb201_table.csv.gz")


def test_the_space_has_15625_cells_each_with_its_own_number_string_and_features() -> None:
    assert CELLS == len(ALL) == 15_625
    np.testing.assert_array_equal(SPACE.index(ALL), np.arange(CELLS))
    assert len(set(SPACE.format(ALL))) == CELLS
    assert len(np.unique(SPACE.encode(ALL), axis=0)) == CELLS
    assert SPACE.encode(ALL).shape == (CELLS, len(SPACE.feature_names))


@given(cells)
def test_strings_are_read_back(cell: NDArray[np.int64]) -> None:
    np.testing.assert_array_equal(SPACE.parse(SPACE.format(cell)), cell)


def test_a_string_names_the_operations_of_its_edges() -> None:
    (cell,) = SPACE.parse(["|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|skip_connect~1|nor_conv_3x3~2|"])
    assert [OPERATIONS[choice] for choice in cell] == [
        "avg_pool_3x3",
        "nor_conv_1x1",
        "skip_connect",
        "none",
        "skip_connect",
        "nor_conv_3x3",
    ]


@pytest.mark.parametrize(
    "string", ["", "|none~0|", "|none~0|+|none~0|none~1|+|none~0|none~1|conv~2|", "|none~0|+|none~1|none~0|+|none~0|none~1|none~2|"]
)
def test_other_strings_are_refused(string: str) -> None:
    with pytest.raises(InputError, match=r"no cell of NAS-Bench-201"):
        SPACE.parse([string])


@pytest.mark.data
def test_the_table_answers_with_the_numbers_of_its_rows(table: NasBench201Table) -> None:
    metrics = table.evaluator("c100_val_acc_v10", "raspi4").predict(
        SPACE.parse(["|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"])
    )
    assert metrics.accuracy.mean[0] == pytest.approx(0.698267, abs=1e-6)
    assert metrics.latency_s.mean[0] == pytest.approx(54.7774e-3, abs=1e-7)
    assert metrics.flash_bytes.mean[0] == 808_276
    assert np.isnan(metrics.sram_bytes.mean[0])
    assert table.columns["c100_test_acc"].max() == pytest.approx(73.51, abs=0.005)


@pytest.mark.data
def test_a_percentile_is_the_latency_that_this_share_of_cells_meets(table: NasBench201Table) -> None:
    evaluator = table.evaluator("c100_val_acc_v10", "pixel3")
    limit = evaluator.latency_percentile(25)
    assert np.mean(evaluator.predict(ALL).latency_s.mean <= limit) == pytest.approx(0.25, abs=1e-3)


@pytest.mark.data
def test_unknown_columns_are_named_with_those_that_exist(table: NasBench201Table) -> None:
    with pytest.raises(InputError, match="raspi4"):
        table.evaluator("c100_val_acc_v10", "toaster")
    with pytest.raises(InputError, match="c100_test_acc"):
        table.evaluator("c100_accuracy", "raspi4")


def write_csv(path: Path, strings: list[str]) -> None:
    rows = [f"{string},{index},{index}" for index, string in enumerate(strings)]
    path.write_text("\n".join(["arch,c100_test_acc,help_gpu_ms_c10", *rows]))


def test_a_csv_table_may_have_its_rows_in_any_order(tmp_path: Path) -> None:
    write_csv(tmp_path / "table.csv", SPACE.format(ALL[::-1]))
    metrics = load_table(tmp_path / "table.csv").evaluator("c100_test_acc", "gpu").predict(ALL)
    np.testing.assert_allclose(metrics.accuracy.mean, np.arange(CELLS)[::-1] / 100)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column 'arch'"),
        (b"a,b\n1,2\n", "no column 'arch'"),
        (b"arch,x\n|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,many\n", "no number"),
        (b"arch,x\n|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,1\n", "1 different cells of 15,625"),
        (b"\x80\xff", "no CSV"),
    ],
)
def test_a_broken_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_table(path)


def test_a_truncated_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(b"arch,x\n" * 1000)[:-20])
    with pytest.raises(InputError, match="no CSV table"):
        load_table(path)


def trial(accuracy: float, evaluations: list[str]) -> dict[str, Any]:
    """One training run, laid out as the benchmark's ResultsCount.state_dict()."""
    return {
        "name": "infer.tiny",
        "net_state_dict": None,
        "epochs": 200,
        "params": 0.129306,
        "latency": [0.01, 0.02],
        "eval_acc1es": {f"{evaluation}@{epoch}": np.float64(accuracy - (epoch < 199)) for evaluation in evaluations for epoch in (0, 199)},
        "train_times": OrderedDict([(0, 1.0)]),
    }


def published(strings: list[str]) -> dict[str, Any]:
    results = {("cifar100", seed): trial(50.0 + seed, ["x-valid", "x-test", "ori-test"]) for seed in (1, 3)}
    results["cifar10", 1] = trial(90.0, ["ori-test"])
    info = {"full": {"all_results": results, "dataset_seed": {"cifar100": [1, 3], "cifar10": [1]}}, "less": {}}
    return {
        "meta_archs": strings,
        "arch2infos": OrderedDict((index, info) for index in range(len(strings))),
        "evaluated_indexes": set(range(len(strings))),
    }


def test_a_published_file_is_read_without_running_its_code(tmp_path: Path) -> None:
    """A file laid out like NAS-Bench-201-v1_1: means over seeds after the last epoch, in per cent, parameters and milliseconds."""
    torch.save(published(SPACE.format(ALL)), tmp_path / "nb201.pth")
    table = load_published(tmp_path / "nb201.pth")
    assert set(table.columns["c100_val_acc"]) == {52.0}
    assert set(table.columns["c10_test_acc"]) == {90.0}
    metrics = table.evaluator("c100_test_acc", "gpu").predict(ALL[:3])
    np.testing.assert_allclose(metrics.latency_s.mean, 0.015)
    np.testing.assert_allclose(metrics.flash_bytes.mean, 129_306)


class Malice:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", ["pth", "pickle.pbz2"])
def test_a_file_with_code_in_it_is_refused_and_the_conversion_named(tmp_path: Path, suffix: str) -> None:
    path, evidence = tmp_path / f"nb201.{suffix}", tmp_path / "evidence"
    if suffix == "pth":
        torch.save({"meta_archs": Malice(evidence)}, path)
    else:
        path.write_bytes(pickle.dumps(Malice(evidence)))
    with pytest.raises(InputError, match="nats_bench"):
        load_published(path)
    assert not evidence.exists()


@pytest.mark.parametrize("document", [{"meta_archs": ["x"]}, {"meta_archs": ["x"], "arch2infos": {0: {"full": 3}}}, [1, 2]])
def test_another_layout_is_refused(tmp_path: Path, document: object) -> None:
    torch.save(document, tmp_path / "nb201.pth")
    with pytest.raises(InputError, match="NAS-Bench-201"):
        load_published(tmp_path / "nb201.pth")
