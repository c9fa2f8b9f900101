"""Models that others made, whole, against the reference kernels: on this computer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hilnas.firmware.host import build_host
from hilnas.tflite.reference import ReferenceModel

MODELS = {
    "mlperf_tiny/ic_resnet8_int8": (12_501_632, 15_872),
    "mlperf_tiny/kws_dscnn_int8": (2_656_768, None),
    "mlperf_tiny/vww_96_int8": (7_489_664, 28_800),
    "mlperf_tiny/str_ww_ref_model": (826_368, None),
    "tinyengine/mcunet-vww1": (11_578_816, 21_760),
    "tflm/hello_world_int8": (288, None),
    "tflm/micro_speech_quantized": (336_000, None),
    "tflm/person_detect": (7_157_888, None),
}
"""Multiply-accumulates, and the arena without scratch memory, rows streaming where that saves most."""


@pytest.mark.data
@pytest.mark.parametrize("name", MODELS)
def test_every_byte_of_the_output_is_the_reference_s(name: str, data_folder: Path) -> None:
    content = (data_folder / "tflite" / f"{name}.tflite").read_bytes()
    reference, model = ReferenceModel(content), build_host(content)
    macs, arena = MODELS[name]
    assert model.compiled.program.macs == macs
    if arena is not None:
        assert model.compiled.plan.arena_bytes == arena
    rng = np.random.default_rng(1)
    edge = reference.inputs[0]
    extremes = [np.full(edge.shape, value) for value in (-128, 127)]
    inputs = [*extremes, rng.choice([-128, 127], edge.shape), *(rng.integers(-128, 128, edge.shape) for _ in range(5))]
    for values in inputs:
        outputs, _ = model.run(values.astype(np.int8))
        for one, other in zip(reference.run(values.astype(np.int8)), outputs, strict=True):
            np.testing.assert_array_equal(one.ravel(), other.ravel())


@pytest.mark.data
def test_state_is_kept_between_runs(data_folder: Path) -> None:
    """The reference kernels write outside an int8 state, so this model is compared with itself only."""
    content = (data_folder / "tflite" / "tflm" / "keyword_scrambled_8bit.tflite").read_bytes()
    first, second = build_host(content), build_host(content)
    rng = np.random.default_rng(1)
    frames = [(rng.normal(0, 600, (1, 96))).astype(np.int16) for _ in range(40)]
    logits = [model.run(frame)[0][0].copy() for model in (first, second) for frame in frames]
    for one, other in zip(logits[:40], logits[40:], strict=True):
        np.testing.assert_array_equal(one, other)
    graph = first.compiled.program.graph
    assert sum(tensor.variable for tensor in graph.tensors) == 7
