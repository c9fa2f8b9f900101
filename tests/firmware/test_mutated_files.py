"""Damaged .tflite files: each is refused with words, or computes what the reference kernels compute for it. None crashes the engine, hangs
it, or makes it take more than 1 GB."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parent))
from operator_cases import CASES, models
from test_exits import model_with_exits
from tflite_builder import ModelBuilder

WORKER = Path(__file__).parent / "mutation_worker.py"


def convolutional() -> bytes:
    """A PAD, a convolution, a depthwise one, a pooling, a RESHAPE, a fully connected layer and a SOFTMAX."""
    rng, builder = np.random.default_rng(1), ModelBuilder()
    image, padded, wide = (builder.tensor(shape, scale=0.1, zero_point=3) for shape in ((1, 4, 4, 2), (1, 6, 6, 2), (1, 3, 3, 4)))
    builder.operator("PAD", [image, builder.constant([(0, 0), (1, 1), (1, 1), (0, 0)])], [padded])
    filters = builder.tensor((4, 3, 3, 2), scale=[0.01] * 4, data=rng.integers(-127, 128, (4, 3, 3, 2)))
    bias = builder.tensor((4,), "int32", scale=[0.001] * 4, data=rng.integers(-99, 99, 4))
    builder.operator("CONV_2D", [padded, filters, bias], [wide], strideH=2, strideW=2, padding=0, fusedActivationFunction=1)
    taps = builder.tensor((1, 3, 3, 4), scale=[0.01] * 4, data=rng.integers(-127, 128, (1, 3, 3, 4)), axis=3)
    other = builder.tensor((1, 3, 3, 4), scale=0.1, zero_point=-3)
    builder.operator("DEPTHWISE_CONV_2D", [wide, taps, bias], [other], strideH=1, strideW=1, padding=0, depthMultiplier=1)
    pooled, flat, logits = (builder.tensor(shape, scale=0.1, zero_point=-3) for shape in ((1, 1, 1, 4), (1, 4), (1, 3)))
    builder.operator("AVERAGE_POOL_2D", [other], [pooled], filterHeight=3, filterWidth=3, strideH=3, strideW=3, padding=1)
    builder.operator("RESHAPE", [pooled, builder.constant([1, 4])], [flat])
    weights = builder.tensor((3, 4), scale=0.02, data=rng.integers(-127, 128, (3, 4)))
    builder.operator("FULLY_CONNECTED", [flat, weights, -1], [logits])
    out = builder.tensor((1, 3), scale=1 / 256, zero_point=-128)
    builder.operator("SOFTMAX", [logits], [out], beta=1.0)
    return builder.build([image], [out], ["probabilities"])


def various() -> bytes:
    """Movements, pairs, activations, a reduction and a resized image."""
    builder = ModelBuilder()
    image, other = (builder.tensor((1, 4, 4, 3), scale=0.05, zero_point=point) for point in (3, -9))
    total, product, joined = (builder.tensor(shape, scale=0.05) for shape in ((1, 4, 4, 3), (1, 4, 4, 3), (1, 4, 4, 6)))
    builder.operator("SUB", [image, other], [total])
    factor = builder.tensor((3,), scale=0.05, data=np.array([1, -70, 127]))
    builder.operator("MUL", [total, factor], [product])
    builder.operator("CONCATENATION", [total, product], [joined], axis=3)
    part, half, swish = (builder.tensor(shape, scale=0.05) for shape in ((1, 4, 2, 6), (1, 4, 2, 3), (1, 4, 2, 3)))
    spec = [builder.constant(values) for values in ([0, 0, 0, 0], [1, 4, 4, 6], [1, 1, 2, 1])]
    builder.operator("STRIDED_SLICE", [joined, *spec], [part])
    rest = builder.tensor((1, 4, 2, 3), scale=0.05)
    builder.operator("SPLIT", [builder.constant(3), part], [half, rest], numSplits=2)
    builder.operator("HARD_SWISH", [half], [swish])
    larger = builder.tensor((1, 6, 5, 3), scale=0.05)
    mean, sigmoid = builder.tensor((1, 3), scale=0.02), builder.tensor((1, 3), scale=1 / 256)
    builder.operator("RESIZE_BILINEAR", [swish, builder.constant([6, 5])], [larger], halfPixelCenters=True)
    builder.operator("MEAN", [larger, builder.constant([1, 2])], [mean])
    builder.operator("LOGISTIC", [mean], [sigmoid])
    turned = builder.tensor((1, 3, 4, 2), scale=0.05)
    builder.operator("TRANSPOSE", [rest, builder.constant([0, 3, 1, 2])], [turned])
    return builder.build([image, other], [sigmoid, turned])


SOURCES = [convolutional(), various(), model_with_exits(1, (0.4, 0.7), 0.1)]


def generated(count: int) -> list[bytes]:
    """`count` models of each kind of operator."""
    found: list[bytes] = []
    for kind in CASES:

        @seed(1)
        @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(models((kind,), 2))
        def collect(content: bytes) -> None:
            found.append(content)

        collect()
    return found


Fields = Any
"""The attributes of a table, or the entries of a vector."""


def numbers_in(part: Any) -> Iterator[tuple[Fields, Any]]:
    """Where all numbers in the tables under `part` are."""
    fields = vars(part) if hasattr(part, "__dict__") else part
    for key, value in fields.items() if isinstance(fields, dict) else enumerate(fields):
        if isinstance(value, bool | int | float | np.number):
            yield fields, key
        elif isinstance(value, np.ndarray):
            fields[key] = value.copy()  # what was read lies in the file and cannot be written
            yield from numbers_in(fields[key])
        elif hasattr(value, "__dict__") or isinstance(value, list):
            yield from numbers_in(value)


def renumbered(content: bytes, rng: np.random.Generator) -> bytes:
    """One or two numbers in the tables of a file are others; to the interpreter the file looks whole."""
    while True:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        places = [*numbers_in(model.subgraphs), *numbers_in(model.operatorCodes)]
        try:
            for _ in range(rng.integers(1, 3)):
                (fields, key), (others, other) = (places[rng.integers(len(places))] for _ in range(2))
                old = fields[key]
                with np.errstate(over="ignore"):
                    new = [old + 1, old - 1, old * 2, 0, 1, 2, -1, 127, 2**31 - 1, -(2**31), others[other]][rng.integers(11)]
                fields[key] = type(old)(new)
            builder = flatbuffers.Builder(len(content))
            builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
            return bytes(builder.Output())
        except (TypeError, OverflowError, struct.error):
            continue  # a number that its field cannot hold


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One damage of a random kind."""
    damaged = bytearray(content)
    words = len(content) // 4
    kind = rng.integers(10)
    if kind >= 5:
        return renumbered(content, rng)
    if kind == 0:
        for _ in range(rng.integers(1, 9)):
            damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del damaged[int(rng.integers(len(damaged))) :]
    elif kind == 2:
        first, second = (4 * int(rng.integers(words)) for _ in range(2))
        damaged[first : first + 4], damaged[second : second + 4] = damaged[second : second + 4], damaged[first : first + 4]
    elif kind == 3:
        extremes = (0, 1, 2, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 0x10000, 0x3F800000, 0x7F800000)
        struct.pack_into("<I", damaged, 4 * int(rng.integers(words)), int(rng.choice(extremes)))
    else:
        place = int(rng.integers(len(damaged)))
        damaged[place] = int(rng.integers(8))
    return bytes(damaged)


def outcomes(kind: str, folder: Path, count: int) -> dict[int, dict[str, str]]:
    """What became of each file. A worker that dies is replaced; what it died of is a `crash`."""
    found: dict[int, dict[str, str]] = {}
    while len(found) < count:
        command = [sys.executable, str(WORKER), kind, str(folder), str(len(found))]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        for line in result.stdout.splitlines():
            # What it says when it dies may follow on a line.
            if line.startswith("{"):
                entry = json.loads(line)
                found[entry["number"]] = entry
        if len(found) < count:
            found[len(found)] = {"outcome": "crash", "detail": f"exit status {result.returncode}: {result.stderr[-300:]}"}
    return found


def check(folder: Path, sources: list[bytes], count: int) -> None:
    rng = np.random.default_rng(2)
    for number in range(count):
        (folder / f"{number:06}.tflite").write_bytes(mutated(sources[number % len(sources)], rng))
    engine, reference = outcomes("engine", folder, count), outcomes("reference", folder, count)
    wrong = {number: entry for number, entry in engine.items() if entry["outcome"] == "crash" or not entry["detail"]}
    assert not wrong
    # TensorFlow Lite's interpreter dies of some files, or wants all memory; the engine must have refused these before.
    crashed = {number: entry for number, entry in reference.items() if entry["outcome"] == "crash"}
    assert not {number: entry for number, entry in crashed.items() if engine[number]["outcome"] == "runs"}
    assert not {number: entry for number, entry in crashed.items() if not entry["detail"].startswith(("exit status -", "MemoryError"))}
    both = [number for number in range(count) if engine[number]["outcome"] == reference[number]["outcome"] == "runs"]
    assert [number for number in both if engine[number]["detail"] != reference[number]["detail"]] == []
    assert len(both) > count // 20


def test_some_damaged_files(tmp_path: Path) -> None:
    check(tmp_path, SOURCES, count=200)


@pytest.mark.acceptance
def test_ten_thousand_damaged_files(tmp_path: Path) -> None:
    check(tmp_path, SOURCES + generated(3), count=10_000)
