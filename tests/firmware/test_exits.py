"""Exits on the device: the same decision as the rule on the reference's outputs, and nothing is run behind a taken exit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from hilnas.errors import ModelError
from hilnas.firmware.host import build_host
from hilnas.tflite.exits import exits_to_json, named_exits
from hilnas.tflite.reference import ReferenceModel

sys.path.insert(0, str(Path(__file__).parent))
from tflite_builder import ModelBuilder

CLASSES = 10
FEATURES = 24


def model_with_exits(seed: int, thresholds: tuple[float, ...], scale: float) -> bytes:
    """Fully connected layers one behind the other, a classifier after each; the file lists the last output first."""
    rng = np.random.default_rng(seed)
    builder = ModelBuilder()

    def layer(source: int, width: int, out_scale: float) -> int:
        data = rng.integers(-127, 128, (width, FEATURES))
        weights = builder.tensor(data.shape, scale=out_scale / 25, data=data)
        bias = builder.tensor((width,), "int32", scale=out_scale / 25 * 0.05, data=np.zeros(width))
        out = builder.tensor((1, width), scale=out_scale, zero_point=-5)
        builder.operator("FULLY_CONNECTED", [source, weights, bias], [out])
        return out

    values = trunk = builder.tensor((1, FEATURES), scale=0.05)
    outputs = []
    for _ in thresholds:
        trunk = layer(trunk, FEATURES, 0.05)
        outputs.append(layer(trunk, CLASSES, scale))
    outputs.append(layer(trunk, CLASSES, scale))
    exits = named_exits(thresholds)
    order = list(reversed(range(len(outputs))))
    return builder.build(
        [values],
        [outputs[index] for index in order],
        [exits.output_names[index] for index in order],
        {"hilnas.exits": exits_to_json(exits).encode()},
    )


@pytest.mark.parametrize(("scale", "thresholds"), [(0.02, (1.4, 1.7, 2.0)), (0.1, (0.4, 0.7, 1.0)), (0.5, (1e-6, 0.002, 0.1))])
def test_decisions_are_those_of_the_rule(scale: float, thresholds: tuple[float, ...]) -> None:
    content = model_with_exits(1, thresholds, scale)
    reference, model = ReferenceModel(content), build_host(content)
    rng = np.random.default_rng(2)
    seen = set()
    for _ in range(300):
        values = rng.integers(-128, 128, (1, FEATURES)).astype(np.int8)
        expected = reference.run(values)
        outputs, taken = model.run(values, take_exits=True)
        assert taken == int(reference.exit_taken(expected)[0])
        np.testing.assert_array_equal(outputs[taken], expected[taken])
        seen.add(taken)
    assert len(seen) > 1


def test_without_leave_to_exit_everything_is_computed() -> None:
    content = model_with_exits(3, (20.0,), 0.1)
    reference, model = ReferenceModel(content), build_host(content)
    values = np.arange(FEATURES, dtype=np.int8).reshape(1, -1)
    outputs, taken = model.run(values)
    assert taken == 1
    for one, other in zip(outputs, reference.run(values), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_is_run_behind_a_taken_exit() -> None:
    model = build_host(model_with_exits(4, (15.0,), 0.1))
    rng = np.random.default_rng(5)
    first, second = (rng.integers(-128, 128, (1, FEATURES)).astype(np.int8) for _ in range(2))
    before, _ = model.run(first)
    after, taken = model.run(second, take_exits=True)
    assert taken == 0
    assert not np.array_equal(before[0], after[0])
    whole, _ = model.run(second)
    assert not np.array_equal(after[1], whole[1])


def test_exits_need_outputs_of_their_own() -> None:
    builder = ModelBuilder()
    values = builder.tensor((1, 4), scale=0.1)
    out = builder.tensor((1, 4), scale=0.1)
    builder.operator("ADD", [values, values], [out])
    metadata = {"hilnas.exits": exits_to_json(named_exits((1.0,))).encode()}
    with pytest.raises(ModelError, match="exit_0"):
        build_host(builder.build([values], [out], ["logits"], metadata))
