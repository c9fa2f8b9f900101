"""Files of arrays that users give: read, or refused by name; never a traceback."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hilnas.errors import InputError
from hilnas.npz import read_npz

X, Y = np.arange(600, dtype=np.uint8).reshape(10, 6, 10), np.arange(10)


def npz(**arrays: object) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


WHOLE = npz(x=X, y=Y)


def written(folder: Path, content: bytes) -> Path:
    (folder / "data.npz").write_bytes(content)
    return folder / "data.npz"


def test_arrays_are_read_by_name(tmp_path: Path) -> None:
    path = written(tmp_path, npz(x=X, y=Y, z=np.array([object()])))
    arrays = read_npz(path, ("x",), "hint", optional=("y", "w"))
    assert set(arrays) == {"x", "y"}
    np.testing.assert_array_equal(arrays["x"], X)


def test_what_is_missing_and_what_is_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.npz has no a, b; it has x, y\nGive a and b\."):
        read_npz(written(tmp_path, WHOLE), ("a", "x", "b"), "Give a and b.")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "damaged"), (b"hello", "damaged"), (WHOLE[:-40], "damaged"), (npz(x=np.array([object()])), "damaged"), (None, "one array")],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is None:
        single = io.BytesIO()
        np.save(single, X)
        content = single.getvalue()
    with pytest.raises(InputError, match=rf"data\.npz is .*{problem}"):
        read_npz(written(tmp_path, content), ("x",), "")
    with pytest.raises(InputError, match=r"cannot read .*none\.npz"):
        read_npz(tmp_path / "none.npz", ("x",), "")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(1, 255)), min_size=1, max_size=6))
@example([(index, 0x5A) for index in range(60, 90)])
def test_damage_is_never_more_than_an_error(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE)
    for index, mask in changes:
        content[index] ^= mask
    try:
        read_npz(written(tmp_path, bytes(content)), ("x", "y"), "")
    except InputError as error:
        assert "data.npz" in error.message
