"""Operators against TensorFlow Lite's reference kernels, byte by byte, over generated models: on this computer."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from hilnas.firmware.host import build_host
from hilnas.firmware.lowering import KernelSet

sys.path.insert(0, str(Path(__file__).parent))
from comparison import assert_bit_exact
from emulated_core import EmulatedModel
from operator_cases import CASES, models, seeds

SAMPLE, CAMPAIGN, ON_CORE = 4, 60, 2
"""Models an operator, each of up to MOST cases: on this computer, the same as a campaign, on the emulated core."""

MOST = 16
_UNHURRIED = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)


def _check(kind: str, examples: int, kernel_set: KernelSet = KernelSet.PORTABLE) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=_UNHURRIED)
    @given(models((kind,), MOST), seeds)
    def check(content: bytes, seed: int) -> None:
        model = build_host(content, kernel_set=kernel_set)
        assert_bit_exact(content, lambda *values: model.run(*values)[0], seed)

    check()


@pytest.mark.parametrize("kind", CASES)
def test_operator_is_bit_exact(kind: str) -> None:
    _check(kind, SAMPLE)


@pytest.mark.acceptance
@pytest.mark.parametrize("kind", CASES)
def test_operator_is_bit_exact_over_many_models(kind: str) -> None:
    _check(kind, CAMPAIGN)


@pytest.mark.parametrize("kind", ["convolution", "depthwise convolution", "elementwise", "pooling"])
def test_kernels_of_the_dsp_extension_are_bit_exact(kind: str) -> None:
    _check(kind, SAMPLE, KernelSet.DSP)


@pytest.mark.parametrize("kind", CASES)
def test_operator_is_bit_exact_on_the_emulated_core(kind: str) -> None:
    """With the kernels that generation chooses for the core, assembly included."""

    @settings(max_examples=ON_CORE, deadline=None, suppress_health_check=_UNHURRIED)
    @given(models((kind,), MOST), seeds)
    def check(content: bytes, seed: int) -> None:
        model = EmulatedModel(content)
        tensors = (model.compiled.program.graph.tensors[index] for index in model.compiled.program.graph.inputs)
        model.run(*(np.zeros(tensor.shape, tensor.dtype) for tensor in tensors), function="hilnas_reset")
        assert_bit_exact(content, model.run, seed)

    check()
