"""`hilnas build --host`: portable C for this computer, under the sanitizers of addresses and of undefined behaviour."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hilnas.errors import ModelError
from hilnas.firmware.host import compile_for_host, link_program
from hilnas.firmware.host_library import build_host_folder
from hilnas.firmware.lowering import KernelSet
from hilnas.tflite.reference import ReferenceModel

sys.path.insert(0, str(Path(__file__).parent))
from test_exits import CLASSES, FEATURES, model_with_exits
from test_streaming import inverted_residuals

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
MODELS = ("mlperf_tiny/kws_dscnn_int8.tflite", "tflm/micro_speech_quantized.tflite", "tflm/keyword_scrambled_8bit.tflite")


def ran(program: Path, inputs: bytes) -> bytes:
    done = subprocess.run([program], input=inputs, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def assert_equals_the_reference(content: bytes, program: Path, runs: int = 3) -> None:
    reference = ReferenceModel(content)
    rng = np.random.default_rng(0)
    sets = []
    for _ in range(runs):
        infos = [(edge.shape, edge.dtype) for edge in reference.inputs]
        limits = [np.iinfo(dtype) for _, dtype in infos]
        sets.append(
            [rng.integers(low.min, low.max, shape, dtype, endpoint=True) for (shape, dtype), low in zip(infos, limits, strict=True)]
        )
    said = ran(program, b"".join(tensor.tobytes() for tensors in sets for tensor in tensors))
    expected = b"".join(b"\0" + b"".join(output.tobytes() for output in reference.run(*tensors)) for tensors in sets)
    assert said == expected


def sanitized(content: bytes, folder: Path, kernel_set: KernelSet = KernelSet.PORTABLE) -> Path:
    compiled = compile_for_host(content, "model", kernel_set)
    compiled.write(folder)
    link_program(compiled, folder, folder / "model", SANITIZERS)
    return folder / "model"


@pytest.mark.parametrize("kernel_set", [KernelSet.PORTABLE, KernelSet.DSP])
def test_streamed_layers_stay_within_their_memory(tmp_path: Path, kernel_set: KernelSet) -> None:
    content = inverted_residuals(18, 15, 0)
    assert_equals_the_reference(content, sanitized(content, tmp_path, kernel_set))


@pytest.mark.data
@pytest.mark.parametrize("model", MODELS)
def test_published_models_stay_within_their_memory(model: str, data_folder: Path, tmp_path: Path) -> None:
    content = (data_folder / "tflite" / model).read_bytes()
    assert_equals_the_reference(content, sanitized(content, tmp_path))


def test_exits_are_taken_and_what_is_behind_them_is_zero(tmp_path: Path) -> None:
    content = model_with_exits(1, (1.4, 1.7, 2.0), 0.02)
    program = sanitized(content, tmp_path)
    reference = ReferenceModel(content)
    values = np.random.default_rng(2).integers(-128, 128, (40, 1, FEATURES)).astype(np.int8)
    said = np.frombuffer(ran(program, values.tobytes()), np.uint8).reshape(len(values), 1 + 4 * CLASSES)
    expected = reference.run_batch(values)
    taken = reference.exit_taken(expected)
    assert said[:, 0].tolist() == taken.tolist()
    assert len(set(taken.tolist())) > 1
    for run, row in enumerate(said[:, 1:].view(np.int8).reshape(-1, 4, CLASSES)):
        for index in range(4):
            np.testing.assert_array_equal(row[index], expected[index][run] if index <= taken[run] else 0)


def test_input_that_ends_within_a_tensor_is_refused(tmp_path: Path) -> None:
    program = sanitized(model_with_exits(1, (1.4,), 0.02), tmp_path)
    done = subprocess.run([program], input=bytes(FEATURES + 1), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (2, b"standard input ends within an input tensor\n")


def test_the_folder_has_sources_library_and_program(tmp_path: Path) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(inverted_residuals(18, 15, 0))
    build = build_host_folder(model, tmp_path / "host")
    assert_equals_the_reference(model.read_bytes(), build.program)
    assert build.shared.exists()
    sources = [str(path) for path in build.sources.glob("*.c")]
    subprocess.run(["gcc", "-c", "-Wall", "-Wextra", "-Wconversion", "-Werror", f"-I{build.sources}", *sources], check=True, cwd=tmp_path)
    assert not list(build.sources.glob("*.S"))


def test_a_failure_leaves_the_old_folder(tmp_path: Path) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(inverted_residuals(18, 15, 0))
    build = build_host_folder(model, tmp_path / "host")
    before = build.program.read_bytes()
    model.write_bytes(b"no model")
    with pytest.raises(ModelError):
        build_host_folder(model, tmp_path / "host")
    assert build.program.read_bytes() == before
