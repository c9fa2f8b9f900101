"""`hilnas search`, `hilnas predictors` and `hilnas experiment`: what they print and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click import UsageError
from click.testing import CliRunner

from hilnas.cli.main import verbs
from hilnas.errors import BudgetError, InputError
from hilnas.nas.predictors.files import open_predictor
from hilnas.nas.searches.catalogue import SEARCHES
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_network import read_architecture


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(verbs, [str(argument) for argument in arguments], catch_exceptions=False, standalone_mode=False)
    return result.stdout


@pytest.mark.parametrize("search", SEARCHES)
def test_search_meets_a_budget_that_nobody_published(data_folder: Path, search: str) -> None:
    text = invoke(
        "search",
        "--search",
        search,
        "--budget",
        "latency=1.3s,flash=1.7MB,sram=1.1MB",
        "--evaluations",
        1200,
        "--json",
        "--predictors",
        data_folder / "seed",
    )
    found = json.loads(text)
    assert found["predicted"]["latency_s"] <= 1.3 and found["predicted"]["flash_bytes"] <= 1.7e6
    assert found["predicted"]["sram_bytes"] <= 1.1e6
    assert found["evaluations"] <= 1200 and len(found["architecture"]) == 70
    assert "table" not in found


def test_help_names_every_search() -> None:
    text = " ".join(invoke("search", "--help").split())
    assert all(name in text for name in SEARCHES)


def test_the_table_shows_prediction_deviation_and_limit(data_folder: Path) -> None:
    arguments = ("search", "--search", "random", "--budget", "latency=1.6s", "--evaluations", 300, "--predictors", data_folder / "seed")
    found, text = json.loads(invoke(*arguments, "--json")), invoke(*arguments)
    row = next(line for line in text.splitlines() if "latency" in line)
    assert f"{found['predicted']['latency_s'] * 1e3:,.3f} ms" in row and "1,600.000 ms" in row


def test_budget_that_nothing_meets_names_the_nearest_net(data_folder: Path) -> None:
    with pytest.raises(BudgetError, match=r"latency \S+ ms \(limit 10 ms\)"):
        invoke("search", "--budget", "latency=10ms", "--evaluations", 300, "--predictors", data_folder / "seed")


def test_what_is_found_is_shown_in_units_and_kept_as_an_architecture(data_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "best.json"
    text = invoke(*("search", "--search", "random", "--evaluations", 200, "--predictors", data_folder / "seed", "--out", out))
    assert " ms" in text and " kB" in text and "latency_s" not in text and "e+06" not in text
    space = open_predictor(data_folder / "seed")[1]
    assert isinstance(space, McuSpace)
    assert read_architecture(space, str(out)).tolist() == json.loads(out.read_text())["architecture"]
    with pytest.raises(UsageError, match=r"\.json"):
        invoke("search", "--out", tmp_path / "best.txt")


def test_search_refuses_what_it_does_not_know(data_folder: Path, tmp_path: Path) -> None:
    unknown = (("--search", "annealing"), ("--budget", "speed=1"), ("--predictors", tmp_path))
    for arguments in (*unknown, ("--search", "ppo", "--early-stop"), ("--search", "ppo", "--checkpoint", tmp_path / "file")):
        with pytest.raises(InputError):
            invoke("search", "--evaluations", 10, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("loop", "--latency", "25"),
        ("loop", "--sram", "20"),
        ("search", "--budget", "latency=25"),
        ("deploy", "x", "--within-latency", "25"),
    ],
)
def test_a_limit_without_a_unit_is_refused_by_every_verb(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    rest = {"deploy": ("--board", "nucleo-h743zi2"), "loop": ("--out", tmp_path / "run"), "search": ()}[arguments[0]]
    with pytest.raises(InputError, match=r"2[05]' is no limit for .*\n.*units"):
        invoke(*arguments, *rest)
    assert not (tmp_path / "run").exists()


def test_predictors_are_shown_trained_and_evaluated(data_folder: Path, tmp_path: Path) -> None:
    nets, folder = tmp_path / "nets.npz", tmp_path / "predictors"
    shown = json.loads(invoke("predictors", "show", data_folder / "seed", "--nets", 300, "--out", nets, "--json"))
    assert 0.2 < shown["metrics"]["accuracy"]["minimum"] < shown["metrics"]["accuracy"]["maximum"] < 0.8
    invoke("predictors", "train", "--data", nets, "--out", folder, "--epochs", 10, "--json")
    judged = json.loads(invoke("predictors", "evaluate", folder, "--data", nets, "--json"))
    assert judged["errors"]["latency_s"]["pearson"] > 0.5
    found = json.loads(invoke("search", "--predictors", folder, "--evaluations", 200, "--warm-start", nets, "--json"))
    assert found["evaluations"] == 200


def test_every_experiment_of_study_1_has_help_with_an_example() -> None:
    for name in ("ga-sweep", "ppo-grid", "reward-grid", "ppo-causes", "compare", "predictors"):
        assert f"Example: hilnas experiment run {name}" in invoke("experiment", "run", name, "--help")
