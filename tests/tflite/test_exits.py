"""Early exits: the rule, and their metadata in a file."""

import contextlib
from math import log
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hilnas.errors import ModelError
from hilnas.exit_rule import entropy_nats, first_exit, scale_threshold
from hilnas.tflite.exits import METADATA_NAME, Exits, exits_from_json, exits_to_json, named_exits, read_exits, write_exits
from hilnas.tflite.reference import ReferenceModel

MODEL = Path("tflite/mlperf_tiny/kws_dscnn_int8.tflite")


@pytest.fixture(scope="module")
def content(data_folder) -> bytes:
    return (data_folder / MODEL).read_bytes()


def with_metadata(content: bytes, text: bytes) -> bytes:
    """The file with `text` for our metadata entry, whatever it says."""
    marked = write_exits(content, named_exits([1.0]))
    original = exits_to_json(named_exits([1.0])).encode()
    assert marked.count(original) == 1
    return marked.replace(original, text.ljust(len(original)))


@given(arrays(np.float64, (5, 7), elements=st.floats(-1e3, 1e3)))
def test_entropy_lies_between_zero_and_the_uniform_one(logits):
    entropy = entropy_nats(logits)
    assert np.all(entropy >= -1e-12)
    assert np.all(entropy <= log(7) + 1e-9)


def test_entropy_of_known_distributions():
    assert entropy_nats(np.zeros((1, 10))) == pytest.approx(log(10))
    assert entropy_nats(np.array([[0.0, 0.0, -1e4]])) == pytest.approx(log(2))
    probabilities = np.array([0.5, 0.25, 0.25])
    assert entropy_nats(np.log(probabilities) + 100) == pytest.approx(1.5 * log(2))


def test_the_first_confident_exit_is_taken():
    sure, unsure = [50.0, 0.0], [0.0, 0.0]
    exits = [np.array([sure, unsure, unsure, sure]), np.array([sure, sure, unsure, unsure])]
    assert first_exit(exits, (0.1, 0.1)).tolist() == [0, 1, 2, 0]


def test_an_entropy_equal_to_the_threshold_is_not_below_it():
    logits = np.zeros((1, 4))
    threshold = float(entropy_nats(logits)[0])
    assert first_exit([logits], [threshold]).tolist() == [1]
    assert first_exit([logits], [np.nextafter(threshold, 9.0)]).tolist() == [0]


def test_thresholds_scale_with_the_largest_entropy():
    assert scale_threshold(4.0, 100) == 4.0
    assert scale_threshold(4.0, 10) == pytest.approx(2.0)


@given(st.lists(st.floats(1e-3, 10.0), max_size=6))
def test_exits_are_read_as_they_were_written(content, thresholds):
    exits = named_exits(thresholds)
    assert read_exits(write_exits(content, exits)) == exits


def test_exits_are_replaced_not_added(content):
    twice = write_exits(write_exits(content, named_exits([1.0, 2.0])), named_exits([3.0]))
    assert read_exits(twice) == named_exits([3.0])
    model = schema.ModelT.InitFromPackedBuf(twice, 0)
    assert [entry.name for entry in model.metadata].count(METADATA_NAME.encode()) == 1


def test_a_file_without_metadata_has_no_exits(content):
    assert read_exits(content) == Exits()


def test_metadata_do_not_change_what_the_model_computes(content):
    original, plain = ReferenceModel(content), ReferenceModel(write_exits(content, Exits()))
    rng = np.random.default_rng(0)
    for _ in range(3):
        image = rng.integers(-128, 128, original.inputs[0].shape).astype(np.int8)
        assert np.array_equal(original.run(image)[0], plain.run(image)[0])


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{", b"null", b'{"exits": 3}', b'{"exits": [1]}', b'{"exits": [{"output": "a"}]}', b"\xff\xfe"]
    + [b'{"exits": [{"output": "a", "threshold": %s}]}' % value for value in (b"-1", b"0", b"NaN", b"Infinity", b'"x"', b"null")]
    + [b'{"exits": [{"output": "a", "threshold": 1}, {"output": "a", "threshold": 1}]}', b"[" * 100_000],
)
def test_metadata_of_another_form_are_refused(text):
    with pytest.raises(ModelError):
        exits_from_json(text)


def test_damaged_metadata_in_a_file_are_refused(content):
    with pytest.raises(ModelError):
        read_exits(with_metadata(content, b'{"exits": 3}'))


def test_exits_without_a_signature_are_refused(content):
    with pytest.raises(ModelError, match="signature"):
        ReferenceModel(write_exits(content, named_exits([1.0])))


@given(st.data())
def test_random_damage_is_an_error_or_harmless(content, data):
    """Flipped bytes in the tables of a file either change nothing of its exits or raise ModelError; nothing else escapes."""
    marked = bytearray(write_exits(content, named_exits([1.0, 2.0])))
    for _ in range(data.draw(st.integers(1, 8))):
        marked[data.draw(st.integers(0, 400))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ModelError):
        read_exits(bytes(marked))


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0" * 64, b"\x1c\0\0\0TFL3" + b"\xff" * 40])
def test_what_is_no_tflite_file_is_refused(content):
    with pytest.raises(ModelError):
        read_exits(content)
