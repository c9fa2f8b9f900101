"""SVDF by tflite/svdf.py: against the reference kernels where they can compute it, which is with a state of int16."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilnas.firmware.host import build_host
from hilnas.tflite import reference
from hilnas.tflite.reference import KERNELS, ReferenceModel

sys.path.insert(0, str(Path(__file__).parents[1] / "firmware"))
from comparison import inputs_of
from operator_cases import seeds, svdf
from tflite_builder import ModelBuilder

INFERENCES = 12


@st.composite
def models(draw: Any, state: str) -> bytes:
    """An addition, an SVDF, and another addition."""
    builder = ModelBuilder()
    (values,), (out,) = draw(svdf(builder, state))
    before = builder.tensor(builder.tensors[values].shape, scale=0.1, zero_point=3)
    behind = builder.tensor(builder.tensors[out].shape, scale=float(builder.tensors[out].quantization.scale[0]), zero_point=-7)
    builder.operator("ADD", [before, before], [values])
    builder.operator("ADD", [out, out], [behind])
    builder.operators = [builder.operators[1], builder.operators[0], builder.operators[2]]
    return builder.build([before], [behind])


def outputs_of(model: ReferenceModel, seed: int) -> list[np.ndarray]:
    return [model.run(*values)[0] for values in inputs_of(model, seed, INFERENCES)]


@settings(max_examples=40, deadline=None)
@given(models("int16"), seeds)
def test_with_a_state_of_int16_it_is_the_reference_kernel(content: bytes, seed: int) -> None:
    whole = ReferenceModel(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "overrunning", lambda _operators, _details: frozenset({1}))
        pieces = ReferenceModel(content)
    assert "tflite/svdf.py" in pieces.kernels and whole.kernels == KERNELS
    np.testing.assert_array_equal(outputs_of(pieces, seed), outputs_of(whole, seed))


@settings(max_examples=10, deadline=None)
@given(models("int8"), seeds)
def test_generated_code_is_that_of_a_state_of_int8(content: bytes, seed: int) -> None:
    model, host = ReferenceModel(content), build_host(content)
    for values in inputs_of(model, seed, INFERENCES):
        np.testing.assert_array_equal(host.run(*values)[0][0].ravel(), model.run(*values)[0].ravel())


@settings(max_examples=5, deadline=None)
@given(models("int8"), seeds)
def test_a_reset_model_has_forgotten_its_inputs(content: bytes, seed: int) -> None:
    model = ReferenceModel(content)
    first = outputs_of(model, seed)
    model.reset()
    np.testing.assert_array_equal(outputs_of(model, seed), first)
