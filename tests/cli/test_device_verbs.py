"""The verbs boards, deploy and measure as a user sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hilnas.boards.board import board_names, load_board

KWS = "tflite/mlperf_tiny/kws_dscnn_int8.tflite"
KEYS = {
    *("model", "board", "target", "bit_exact", "cycles", "cycles_source", "instructions", "latency_s", "flash_bytes", "arena_bytes"),
    *("sram_bytes", "stack_bytes", "macs", "layers", "output_digest", "build_id"),
}


def hilnas(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hilnas.cli.main", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=600
    )


def test_boards_lists_every_board() -> None:
    result = hilnas("boards")
    assert result.returncode == 0
    for name in board_names():
        assert name in result.stdout
    assert {board["name"] for board in json.loads(hilnas("boards", "--json").stdout)} == set(board_names())


def test_boards_shows_the_memories_of_one() -> None:
    document = json.loads(hilnas("boards", "nucleo-h743zi2", "--json").stdout)
    assert document["memories"]["dtcm"]["size"] == 131_072
    assert "0x24000000" in hilnas("boards", "nucleo-h743zi2").stdout


def test_unknown_board_is_wrong_usage() -> None:
    result = hilnas("boards", "nucleo-f4")
    assert result.returncode == 2
    assert "nucleo-h743zi2" in result.stderr and "Traceback" not in result.stderr


def deployed_shape(image: Path) -> list[int]:
    return json.loads((image / "manifest.json").read_text())["inputs"][0]["shape"][1:]


@pytest.mark.data
def test_a_build_says_what_it_takes_of_each_memory(data_folder: Path, tmp_path: Path) -> None:
    build = ("build", data_folder / KWS, "--board", "nucleo-h743zi2", "--out", tmp_path / "image")
    document = json.loads(hilnas(*build, "--json").stdout)
    use = {one["memory"]: one for one in document["memories"]}
    board = load_board("nucleo-h743zi2")
    assert use["flash"]["used_bytes"] == document["flash_bytes"]
    assert sum(one["used_bytes"] for name, one in use.items() if name != "flash") == document["sram_bytes"] + board.stack_bytes
    assert {name: one["size_bytes"] for name, one in use.items()} == {name: memory.size for name, memory in board.memories.items()}
    assert "2,097,152" in hilnas(*build).stdout


@pytest.mark.data
def test_deploy_then_measure_the_kept_image(data_folder: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    first = hilnas("deploy", data_folder / KWS, "--board", "nucleo-h743zi2", "--out", image, "--json")
    assert first.returncode == 0, first.stderr
    deployed = json.loads(first.stdout)
    assert deployed.keys() >= KEYS
    assert deployed["bit_exact"] is True
    assert {"name", "op", "cycles", "instructions", "macs"} <= deployed["layers"][0].keys()
    measured = json.loads(hilnas("measure", image, "--model", data_folder / KWS, "--json").stdout)
    assert {key: measured[key] for key in KEYS} == {key: deployed[key] for key in KEYS}
    data = tmp_path / "silence.npz"
    np.savez(data, x=np.zeros((3, *deployed_shape(image)), np.int8), y=np.array([0, 1, 2]))
    shown = hilnas("measure", image, "--target", "host", "--data", data).stdout
    assert "accuracy on silence" in shown and "exits" not in shown and "expected latency" not in shown
    other = hilnas("measure", image, "--model", data_folder / "tflite/mlperf_tiny/vww_96_int8.tflite")
    assert other.returncode == 2 and "kws_dscnn_int8.tflite" in other.stderr and "build the image again" in other.stderr
    table = hilnas("measure", image, "--per-layer")
    assert "MAC/cycle" in table.stdout and "stack, not in SRAM" in table.stdout and deployed["layers"][0]["op"] in table.stdout


@pytest.mark.data
@pytest.mark.parametrize("verb", [("build",), ("build", "--host"), ("deploy",)])
def test_files_of_the_user_stay_and_nothing_is_built(verb: tuple[str, ...], data_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    board = () if "--host" in verb else ("--board", "nucleo-h743zi2")
    result = hilnas(*verb, data_folder / KWS, *board, "--out", tmp_path)
    assert result.returncode == 2 and "did not make" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_memory_map_is_an_svg(tmp_path: Path) -> None:
    result = hilnas("build", "model.tflite", "--board", "nucleo-h743zi2", "--out", tmp_path / "out", "--memory-map", tmp_path / "map.png")
    assert result.returncode == 2 and ".svg" in result.stderr


def test_measure_of_no_image_is_wrong_usage(tmp_path: Path) -> None:
    result = hilnas("measure", tmp_path)
    assert result.returncode == 2
    assert "manifest.json" in result.stderr and "Traceback" not in result.stderr


def test_a_manifest_of_another_version_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"model": "net"}')
    result = hilnas("measure", tmp_path)
    assert result.returncode == 2 and "model_sha256" in result.stderr and "hilnas build" in result.stderr
    assert len(result.stderr.splitlines()) == 2 and "pydantic" not in result.stderr


@pytest.mark.parametrize("verb", ["boards", "deploy", "measure"])
def test_help_has_an_example(verb: str) -> None:
    result = hilnas(verb, "--help")
    assert result.returncode == 0
    assert f"Example: hilnas {verb}" in result.stdout
