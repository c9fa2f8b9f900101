"""The reader: what a file says, and what is said of files that say nonsense."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilnas.errors import ModelError
from hilnas.firmware.graph import Convolution, Padding
from hilnas.firmware.reader import read_model

sys.path.insert(0, str(Path(__file__).parent))
from tflite_builder import ModelBuilder


def small_model() -> bytes:
    """A PAD, a convolution and a RESHAPE."""
    builder = ModelBuilder()
    image = builder.tensor((1, 4, 4, 2), scale=0.1, zero_point=3, name="image")
    padded = builder.tensor((1, 6, 6, 2), scale=0.1, zero_point=3)
    builder.operator("PAD", [image, builder.constant([(0, 0), (1, 1), (1, 1), (0, 0)])], [padded])
    filters = builder.tensor((3, 3, 3, 2), scale=[0.01] * 3, data=np.arange(54).reshape(3, 3, 3, 2) - 27)
    bias = builder.tensor((3,), "int32", scale=[0.001] * 3, data=np.array([1, -2, 3]))
    out = builder.tensor((1, 2, 2, 3), scale=0.2, zero_point=-4)
    builder.operator("CONV_2D", [padded, filters, bias], [out], strideH=2, strideW=2, padding=1, fusedActivationFunction=1)
    flat = builder.tensor((1, 12), scale=0.2, zero_point=-4)
    builder.operator("RESHAPE", [out, builder.constant([1, 12])], [flat])
    return builder.build([image], [flat], ["logits"])


def test_it_reads_operators_tensors_and_names() -> None:
    graph = read_model(small_model())
    assert [operator.op for operator in graph.operators] == ["PAD", "CONV_2D", "RESHAPE"]
    convolution = graph.operators[1]
    assert convolution.attributes == Convolution((2, 2), Padding(), (1, 1), "RELU")
    weights = graph.input_of(convolution, 1)
    assert weights.shape == (3, 3, 3, 2)
    assert weights.quantization is not None and weights.quantization.per_channel
    np.testing.assert_array_equal(np.asarray(weights.data).ravel(), np.arange(54) - 27)
    assert graph.input_names == ("input_0",)
    assert graph.output_names == ("logits",)
    image = graph.tensors[graph.inputs[0]]
    assert image.quantization is not None
    assert image.quantization.scale == np.float32(0.1)
    assert image.quantization.zero_point == 3


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0" * 100, b"\x1c\0\0\0TFL3" + b"\xff" * 200])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError):
        read_model(content, "file.tflite")


def test_the_file_is_named() -> None:
    with pytest.raises(ModelError, match=r"broken\.tflite"):
        read_model(small_model()[:200], "broken.tflite")


def test_all_unsupported_operators_are_listed_at_once() -> None:
    builder = ModelBuilder()
    first = builder.tensor((1, 8), "float32", name="first")
    second = builder.tensor((1, 8), scale=0.1, name="second")
    third = builder.tensor((1, 8), scale=0.1, name="third")
    builder.operator("ADD", [first, first], [second])
    builder.operator("FLOOR", [second], [third])
    with pytest.raises(ModelError) as caught:
        read_model(builder.build([first], [third]))
    assert "ADD that writes 'second'" in caught.value.message
    assert "float32" in caught.value.message
    assert "FLOOR that writes 'third': this operator is not supported" in caught.value.message
    assert "Supported operators: " in caught.value.hint


@pytest.mark.parametrize(("weights", "said"), [("float32", "is a float model"), ("int8", "dynamic-range")])
def test_a_float_model_is_called_so_once(weights: str, said: str) -> None:
    builder = ModelBuilder()
    image, out = builder.tensor((1, 4), "float32"), builder.tensor((1, 3), "float32")
    scale = 0.01 if weights == "int8" else None
    filters = builder.tensor((3, 4), weights, scale=scale, data=np.ones((3, 4)))
    builder.operator("FULLY_CONNECTED", [image, filters, builder.tensor((3,), "float32", data=np.zeros(3))], [out])
    with pytest.raises(ModelError, match=said) as caught:
        read_model(builder.build([image], [out]), "net.tflite")
    assert caught.value.message.count("\n") == 0
    assert "representative_dataset" in caught.value.hint and "TFLITE_BUILTINS_INT8" in caught.value.hint


def test_the_operators_are_listed_only_where_one_is_missing() -> None:
    builder = ModelBuilder()
    first, second = builder.tensor((1, 8), "float32"), builder.tensor((1, 8), scale=0.1)
    builder.operator("ADD", [first, first], [second])
    with pytest.raises(ModelError, match="ADD") as caught:
        read_model(builder.build([first], [second]))
    assert "Supported operators" not in str(caught.value)


@pytest.mark.parametrize("kept", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_cut_file_is_said_in_our_words(kept: float) -> None:
    content = small_model()
    with pytest.raises(ModelError) as caught:
        read_model(content[: int(len(content) * kept)], "cut.tflite")
    assert "cut.tflite" in caught.value.message
    assert not any(word in str(caught.value) for word in ("unpack_from", "struct.error", "buffer of at least", "NoneType"))


def test_an_output_of_the_wrong_shape_is_refused() -> None:
    builder = ModelBuilder()
    image = builder.tensor((1, 4, 4, 2), scale=0.1)
    out = builder.tensor((1, 3, 3, 2), scale=0.1)
    builder.operator("MAX_POOL_2D", [image], [out], filterHeight=2, filterWidth=2, strideH=2, strideW=2, padding=1)
    with pytest.raises(ModelError, match="should be"):
        read_model(builder.build([image], [out]))


def test_a_tensor_read_before_it_is_written_is_refused() -> None:
    builder = ModelBuilder()
    image, unwritten, out = (builder.tensor((1, 4), scale=0.1) for _ in range(3))
    builder.operator("ADD", [image, unwritten], [out])
    with pytest.raises(ModelError, match="before it is written"):
        read_model(builder.build([image], [out]))


def test_an_operand_that_is_no_tensor_is_refused_where_the_engine_would_not_look_at_it() -> None:
    """The shape of a RESHAPE follows from its output, but the reference kernel reads it."""
    builder = ModelBuilder()
    image, out = builder.tensor((1, 4), scale=0.1), builder.tensor((4, 1), scale=0.1)
    builder.operator("RESHAPE", [image, -1], [out])
    with pytest.raises(ModelError, match="its shape is no tensor"):
        read_model(builder.build([image], [out]))


def reshaped(name: str, values: list[int], source: tuple[int, ...], target: tuple[int, ...], **options: object) -> bytes:
    builder = ModelBuilder()
    image, out = builder.tensor(source, scale=0.1), builder.tensor(target, scale=0.1)
    builder.operator(name, [image, builder.constant(values)], [out], **options)
    return builder.build([image], [out])


@pytest.mark.parametrize(
    ("name", "source", "target", "right", "wrong"),
    [
        ("RESHAPE", (1, 12), (3, 4), [[3, 4], [-1, 4], [3, -1]], [[4, 3], [12], [3, 4, 1]]),
        ("RESHAPE", (1,), (), [[], [0]], [[1]]),
        ("EXPAND_DIMS", (2, 3), (2, 1, 3), [[1], [-2]], [[0], [2], [-1], [9]]),
        ("BROADCAST_TO", (1, 3), (2, 3), [[2, 3]], [[1, 3], [2, 2, 3]]),
        ("RESIZE_BILINEAR", (1, 4, 4, 3), (1, 6, 5, 3), [[6, 5]], [[5, 6], [6, 6], [6]]),
    ],
)
def test_a_constant_that_contradicts_the_outputs_shape_is_refused(
    name: str, source: tuple[int, ...], target: tuple[int, ...], right: list[list[int]], wrong: list[list[int]]
) -> None:
    """TensorFlow Lite's kernels follow the constant, the engine the shape: they would compute something else."""
    options = {"halfPixelCenters": True} if name == "RESIZE_BILINEAR" else {}
    for values in right:
        read_model(reshaped(name, values, source, target, **options))
    for values in wrong:
        with pytest.raises(ModelError, match="is not that of its output"):
            read_model(reshaped(name, values, source, target, **options))


@pytest.mark.parametrize(("sizes", "is_right"), [([2, 4], True), ([-1, 4], True), ([4, 2], False), ([6], False)])
def test_sizes_of_parts_are_those_of_the_outputs(sizes: list[int], is_right: bool) -> None:
    builder = ModelBuilder()
    image, first, second = (builder.tensor((1, size), scale=0.1) for size in (6, 2, 4))
    builder.operator("SPLIT_V", [image, builder.constant(sizes), builder.constant(-1)], [first, second], numSplits=2)
    content = builder.build([image], [first, second])
    if is_right:
        read_model(content)
    else:
        with pytest.raises(ModelError, match=r"its sizes .* is not that of its output"):
            read_model(content)


def test_an_output_that_is_a_state_of_no_operator_is_refused() -> None:
    builder = ModelBuilder()
    image, out, state = (builder.tensor((1, 4), scale=0.1, name=name, variable=name == "state") for name in ("image", "out", "state"))
    builder.operator("ADD", [image, image], [out])
    with pytest.raises(ModelError, match="output 'state' is never written"):
        read_model(builder.build([image], [out, state]))


SMALL = small_model()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, len(SMALL)))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(changes: list[tuple[int, int]], length: int) -> None:
    content = bytearray(SMALL)
    for place, value in changes:
        content[place] = value
    for damaged in (bytes(content), bytes(content[:length])):
        try:
            read_model(damaged)
        except ModelError as error:
            assert error.message


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(SMALL) // 4 - 1), st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0, 0x10000]))
def test_an_extreme_word_is_read_or_refused(word: int, value: int) -> None:
    content = bytearray(SMALL)
    content[4 * word : 4 * word + 4] = value.to_bytes(4, "little")
    try:
        read_model(bytes(content))
    except ModelError as error:
        assert error.message
