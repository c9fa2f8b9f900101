"""What follows from shapes and constants alone is worked out when a model is read."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from hilnas.errors import ModelError
from hilnas.firmware.host import build_host
from hilnas.firmware.reader import read_model

sys.path.insert(0, str(Path(__file__).parent))
from comparison import assert_bit_exact
from tflite_builder import ModelBuilder


def first_size(builder: ModelBuilder, image: int, rank: int) -> int:
    """Adds what Keras writes for the batch size: a slice of the shape."""
    shape, batch = builder.tensor((rank,), "int32"), builder.tensor((), "int32")
    builder.operator("SHAPE", [image], [shape], outType=2)
    operands = [builder.constant([value]) for value in (0, 1, 1)]
    builder.operator("STRIDED_SLICE", [shape, *operands], [batch], shrinkAxisMask=1)
    return batch


def test_a_shape_that_is_put_together_for_a_reshape_leaves_nothing_to_do() -> None:
    builder = ModelBuilder()
    image, flat = builder.tensor((2, 3, 4), scale=0.1), builder.tensor((2, 12), scale=0.1)
    sizes, out = builder.tensor((2,), "int32"), builder.tensor((2, 12), scale=0.1)
    builder.operator("PACK", [first_size(builder, image, 3), builder.constant(12)], [sizes], valuesCount=2)
    builder.operator("RESHAPE", [image, sizes], [flat])
    builder.operator("RELU", [flat], [out])
    content = builder.build([image], [out])
    model = build_host(content)
    assert [layer.operator.op for layer in model.compiled.program.layers] == ["RELU"]
    assert_bit_exact(content, lambda *values: model.run(*values)[0], seed=1)


def test_operands_that_follow_from_shapes_are_constants() -> None:
    builder = ModelBuilder()
    image, tiled = builder.tensor((2, 3), scale=0.1), builder.tensor((4, 3), scale=0.1)
    multiples = builder.tensor((2,), "int32")
    builder.operator("PACK", [first_size(builder, image, 2), builder.constant(1)], [multiples], valuesCount=2)
    builder.operator("TILE", [image, multiples], [tiled])
    content = builder.build([image], [tiled])
    model = build_host(content)
    assert [layer.operator.op for layer in model.compiled.program.layers] == ["TILE"]
    values = np.arange(6, dtype=np.int8).reshape(2, 3)
    np.testing.assert_array_equal(model.run(values)[0][0], np.tile(values, (2, 1)))


def test_operators_without_a_reader_may_be_any() -> None:
    builder = ModelBuilder()
    image, unread, out = builder.tensor((1, 4), scale=0.1), builder.tensor((1, 4), "float32"), builder.tensor((1, 4), scale=0.1)
    builder.operator("FLOOR", [image], [unread])
    builder.operator("RELU", [image], [out])
    assert [operator.op for operator in read_model(builder.build([image], [out])).operators] == ["RELU"]


def test_a_constant_output_is_refused() -> None:
    builder = ModelBuilder()
    image, shape = builder.tensor((1, 4), scale=0.1), builder.tensor((2,), "int32")
    builder.operator("SHAPE", [image], [shape], outType=2)
    with pytest.raises(ModelError, match="is a constant"):
        read_model(builder.build([image], [shape]))
