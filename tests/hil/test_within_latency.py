"""The knob between speed and memory: the smallest plan within a latency, found by timing builds on the emulator."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hilnas.boards.board import load_board
from hilnas.errors import BudgetError, InputError
from hilnas.firmware.build import build_image
from hilnas.firmware.plan import PlanRequest
from hilnas.hil.layer_check import check_layers
from hilnas.hil.measure import deploy
from hilnas.hil.targets import create_target
from hilnas.hil.within_latency import smallest_within_latency
from hilnas.tflite.reference import ReferenceModel

sys.path.insert(0, str(Path(__file__).parents[1] / "firmware"))
from test_streaming import inverted_residuals

BOARD = load_board("nucleo-h743zi2")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("knob") / "model.tflite"
    path.write_bytes(inverted_residuals(24, 24, 5))
    return path


def test_a_latency_between_fastest_and_smallest_is_kept(model: Path, tmp_path: Path) -> None:
    emulator = create_target("emulator")
    fastest, smallest = (deploy(model, BOARD, emulator, tmp_path / "image", request=PlanRequest(share)) for share in (0.0, 1.0))
    assert fastest.latency_s is not None and smallest.latency_s is not None
    assert fastest.latency_s < smallest.latency_s and fastest.arena_bytes > smallest.arena_bytes
    limit = (fastest.latency_s + smallest.latency_s) / 2
    request = smallest_within_latency(model, BOARD, emulator, limit)
    chosen = deploy(model, BOARD, emulator, tmp_path / "chosen", request=request)
    assert chosen.bit_exact and chosen.latency_s is not None
    assert chosen.latency_s <= 1.01 * limit
    assert chosen.arena_bytes < fastest.arena_bytes
    with pytest.raises(BudgetError, match=f"the fastest takes .* and {fastest.arena_bytes} bytes"):
        smallest_within_latency(model, BOARD, emulator, 0.9 * fastest.latency_s)


def test_layers_are_compared_as_the_image_was_planned(model: Path, tmp_path: Path) -> None:
    image = build_image(model, BOARD, tmp_path / "image", PlanRequest(arena_bytes=12_000))
    check = check_layers(image, BOARD, "emulator", ReferenceModel.load(model), 0)
    assert check.difference is None and check.tensors


def test_a_target_without_time_is_refused(model: Path) -> None:
    class Timeless:
        name = "timeless"

        def run(self, *arguments: object, **options: object) -> object:
            run = create_target("emulator").run(*arguments, **options)  # type: ignore[arg-type]
            return replace(run, inferences=tuple(replace(one, cycles=None) for one in run.inferences))

    with pytest.raises(InputError, match="cannot tell latency"):
        smallest_within_latency(model, BOARD, Timeless(), 1.0)  # type: ignore[arg-type]
