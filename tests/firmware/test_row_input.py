"""A model whose image comes row by row computes the same, and the rest of the image needs no memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from hilnas.boards.board import load_board
from hilnas.cli.main import verbs
from hilnas.errors import ModelError
from hilnas.files import read_input
from hilnas.firmware.build import build_image, compile_for_board
from hilnas.firmware.fusion import fuse
from hilnas.firmware.graph import Graph
from hilnas.firmware.host import build_host
from hilnas.firmware.lower import lower
from hilnas.firmware.lowering import KernelSet
from hilnas.firmware.plan import MemoryPlan, PlanRequest, plan_memory
from hilnas.hil.layer_check import check_layers
from hilnas.hil.timing.model import TimingMode
from hilnas.hil.timing.timed_run import RunOptions, run_elf
from hilnas.tflite.reference import ReferenceModel

sys.path.insert(0, str(Path(__file__).parent))
from memory_simulation import Simulation
from test_plan import random_graphs
from test_streaming import SANITIZERS, Chain, inverted_residuals
from tflite_builder import ModelBuilder

BOARD = load_board("nucleo-h743zi2")
FOREIGN = Path(__file__).parent / "foreign"
ROWS = PlanRequest(by_rows=True)


def assert_rows_are_bit_exact(content: bytes, request: PlanRequest = ROWS) -> MemoryPlan:
    reference, model = ReferenceModel(content), build_host(content, flags=SANITIZERS, request=request)
    assert model.compiled.plan.by_rows
    Simulation(model.compiled.program, model.compiled.plan).run()
    rng = np.random.default_rng(1)
    for _ in range(3):
        values = rng.integers(-128, 128, reference.inputs[0].shape).astype(np.int8)
        for one, other in zip(reference.run(values), model.run(values)[0], strict=True):
            np.testing.assert_array_equal(one.ravel(), other.ravel())
    return model.compiled.plan


@settings(max_examples=8, deadline=None)
@given(st.integers(9, 24), st.sampled_from([(3, 1), (3, 2), (5, 2), (1, 2)]), st.sampled_from([0.0, 0.05, 9.0]), st.integers(0, 2**32 - 1))
def test_rows_are_bit_exact(size: int, first: tuple[int, int], added_share: float, seed: int) -> None:
    """Also where no layer reads the last row."""
    chain = Chain(size, size, 3, seed)
    chain.convolve(*first, 8)
    chain.convolve(3, 1, None)
    chain.convolve(1, 1, 16)
    assert_rows_are_bit_exact(chain.build(), PlanRequest(added_share, by_rows=True))


def test_an_input_that_is_read_again_later_stays_whole_and_is_bit_exact() -> None:
    chain = Chain(14, 14, 8, 3)
    for _ in range(10):
        chain.convolve(3, 1, 8)
    chain.add(chain.input)
    plan = assert_rows_are_bit_exact(chain.build())
    assert next(item.buffer.ring_rows for item in plan.placed if item.buffer.tensor == chain.input) is None


@settings(max_examples=60, deadline=None)
@given(random_graphs(), st.sampled_from(KernelSet), st.sampled_from([0.0, 0.05, 9.0]))
def test_no_byte_is_overwritten_before_its_last_read(graph: Graph, kernel_set: KernelSet, added_share: float) -> None:
    program = lower(fuse(graph), kernel_set)
    try:
        plan = plan_memory(program, {"one": 10**6}, added_share, by_rows=True)
    except ModelError:
        return
    Simulation(program, plan).run()
    assert plan.arena_bytes >= plan.lower_bound_bytes >= plan.least_bound_bytes


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "saved"), [("mlperf_tiny/ic_resnet8_int8", -512), ("mlperf_tiny/vww_96_int8", 13_000), ("tinyengine/mcunet-vww1", 4_500)]
)
def test_known_models_by_rows_are_bit_exact_and_take_less(name: str, saved: int, data_folder: Path) -> None:
    """The arenas on the board. Those of resnet8 are full later than during its first layers, there is nothing to save."""
    content = (data_folder / "tflite" / f"{name}.tflite").read_bytes()
    assert_rows_are_bit_exact(content)
    whole, by_rows = (compile_for_board(content, name, BOARD, request) for request in (PlanRequest(), ROWS))
    Simulation(by_rows.program, by_rows.plan).run()
    assert by_rows.plan.arena_bytes <= whole.plan.arena_bytes - saved


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "model.tflite"
    path.write_bytes(inverted_residuals(20, 20, 5))
    return path


def test_a_foreign_project_pushes_rows_on_the_emulated_core(model: Path, tmp_path: Path) -> None:
    image = build_image(model, BOARD, tmp_path / "image", ROWS)
    variables = [f"LIBRARY={image.folder / 'library'}", f"OUT={tmp_path}", "MAIN=main_rows.c"]
    subprocess.run(["make", "-s", "-C", FOREIGN, *variables], check=True, capture_output=True)
    said = bytearray()
    run = run_elf(tmp_path / "firmware.elf", BOARD, RunOptions(None, None, TimingMode.OFF, False, 60.0), said.extend)
    assert run.exit_code == 0
    reference = ReferenceModel.load(model)
    shape = reference.inputs[0].shape
    values = (np.arange(np.prod(shape)) * 37 % 256 - 128).astype(np.int8).reshape(shape)
    expected = "0: " + " ".join(map(str, reference.run(values)[0].ravel()))
    assert said.decode().split("\n") == [expected, expected, ""]


def test_every_layer_of_the_firmware_agrees_and_the_library_needs_no_image(model: Path, tmp_path: Path) -> None:
    image = build_image(model, BOARD, tmp_path / "image", ROWS)
    check = check_layers(image, BOARD, "emulator", ReferenceModel(read_input(model)), 0)
    assert check.difference is None
    assert len(check.tensors) == len(image.manifest.layers)
    assert image.manifest.arena_bytes <= image.manifest.library.ram_bytes < image.manifest.arena_bytes + 64


def test_what_cannot_come_by_rows_is_refused() -> None:
    builder = ModelBuilder()
    first, second, out = (builder.tensor((1, 4, 4, 8), scale=0.1, zero_point=3) for _ in range(3))
    builder.operator("ADD", [first, second], [out])
    with pytest.raises(ModelError, match="cannot be taken by rows: the model has 2 inputs"):
        build_host(builder.build([first, second], [out]), request=ROWS)
    builder = ModelBuilder()
    flat, out = builder.tensor((1, 64), scale=0.1), builder.tensor((1, 64), scale=1 / 256, zero_point=-128)
    builder.operator("SOFTMAX", [flat], [out], beta=1.0)
    with pytest.raises(ModelError, match=r"cannot be taken by rows: the first layer, SOFTMAX .* has no kernel that goes row by row"):
        build_host(builder.build([flat], [out]), request=ROWS)


def test_the_build_takes_the_choice_and_says_what_does_not_go_with_it(model: Path, tmp_path: Path) -> None:
    built = CliRunner().invoke(verbs, ["build", str(model), "--host", "--input", "rows", "--out", str(tmp_path / "host")])
    assert built.exit_code == 0
    header = (tmp_path / "host" / "library" / "hilnas_model.h").read_text()
    assert "void hilnas_push_row(const int8_t *row);" in header
    assert "hilnas_infer" not in header
    board = ["--board", BOARD.name, "--within-latency", "1s", "--out", str(tmp_path / "board")]
    refused = CliRunner().invoke(verbs, ["build", str(model), "--input", "rows", *board])
    assert refused.exit_code == 2
    assert "with --input rows give --within-ram" in refused.output
