"""Models that others made, whole, against the reference kernels: on this computer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hilnas.firmware.host import build_host

sys.path.insert(0, str(Path(__file__).parent))
from comparison import assert_bit_exact

MODELS = {
    "mlperf_tiny/ic_resnet8_int8": (12_501_632, 15_872),
    "mlperf_tiny/kws_dscnn_int8": (2_656_768, None),
    "mlperf_tiny/vww_96_int8": (7_489_664, 28_800),
    "mlperf_tiny/str_ww_ref_model": (826_368, None),
    "tinyengine/mcunet-vww1": (11_578_816, 21_760),
    "tflm/hello_world_int8": (288, None),
    "tflm/keyword_scrambled_8bit": (21_056, None),
    "tflm/micro_speech_quantized": (336_000, None),
    "tflm/person_detect": (7_157_888, None),
}
"""Multiply-accumulates, and the arena without scratch memory, rows streaming where that saves most."""


@pytest.mark.data
@pytest.mark.parametrize("name", MODELS)
def test_every_byte_of_the_output_is_the_reference_s(name: str, data_folder: Path) -> None:
    content = (data_folder / "tflite" / f"{name}.tflite").read_bytes()
    model = build_host(content)
    macs, arena = MODELS[name]
    assert model.compiled.program.macs == macs
    if arena is not None:
        assert model.compiled.plan.arena_bytes == arena
    assert_bit_exact(content, lambda *values: model.run(*values)[0], seed=1, runs=8)
