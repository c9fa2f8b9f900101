"""Data sets: digits and files of the user's."""

import numpy as np
import pytest

from hilnas.errors import InputError
from hilnas.nas.data import load_data


def rows(images):
    return {(image.tobytes(), int(label)) for image, label in zip(images.x, images.y, strict=True)}


def test_digits_are_real_split_and_whole():
    data = load_data("digits")
    parts = (data.training, data.validation, data.test)
    assert data.shape == (8, 8, 1)
    assert data.classes == 10
    assert [len(part) for part in parts] == [1199, 299, 299]
    assert len(rows(data.training) | rows(data.validation) | rows(data.test)) == len(set().union(*map(rows, parts)))
    assert all(len(set(part.y)) == 10 for part in parts)
    assert data.training.x.min() == 0
    assert data.training.x.max() == 255


def test_the_seed_decides_the_split():
    assert np.array_equal(load_data("digits", 1).test.x, load_data("digits", 1).test.x)
    assert not np.array_equal(load_data("digits", 1).test.x, load_data("digits", 2).test.x)


def test_inputs_of_a_network_are_the_pixels_minus_128_over_128():
    images = load_data("digits").test
    assert np.array_equal(images.inputs * 128, images.x.astype(np.int64) - 128)


def test_an_npz_is_loaded_by_path(tmp_path):
    file = tmp_path / "mine.npz"
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 5, 5, 3), dtype=np.uint8), np.arange(60) % 4
    np.savez(file, x=x, y=y)
    data = load_data(str(file))
    assert (data.shape, data.classes) == ((5, 5, 3), 4)
    assert data.name.startswith("mine@")
    assert sum(len(part) for part in (data.training, data.validation, data.test)) == 60


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.zeros((20, 4, 4, 1))},
        {"x": np.zeros((20, 4, 4, 1)), "y": np.zeros(20, dtype=int)},
        {"x": np.zeros((20, 4, 4), dtype=np.uint8), "y": np.zeros(20, dtype=int)},
        {"x": np.zeros((20, 4, 4, 1), dtype=np.uint8), "y": np.zeros(19, dtype=int)},
        {"x": np.zeros((20, 4, 4, 1), dtype=np.uint8), "y": np.full(20, -1)},
        {"x": np.zeros((20, 4, 4, 1), dtype=np.uint8), "y": np.zeros(20)},
        {"x": np.zeros((2, 4, 4, 1), dtype=np.uint8), "y": np.zeros(2, dtype=int)},
        {"x": np.array([None] * 20), "y": np.zeros(20, dtype=int)},
    ],
)
def test_other_arrays_are_refused(tmp_path, arrays):
    file = tmp_path / "bad.npz"
    np.savez(file, **arrays)
    with pytest.raises(InputError):
        load_data(str(file))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_damaged_files_are_refused(tmp_path, content):
    file = tmp_path / "bad.npz"
    file.write_bytes(content)
    with pytest.raises(InputError):
        load_data(str(file))


@pytest.mark.parametrize("name", ["mnist", "/nowhere/x.npz"])
def test_unknown_data_are_refused(name):
    with pytest.raises(InputError):
        load_data(name)
