"""Files are whole or not there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hilnas.errors import InputError, StoreError
from hilnas.files import MANIFEST_NAME, check_replaceable, check_writable, read_input, replaced_folder, write_atomically


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.bin"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert read_input(path) == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    write_atomically(path, b"old")
    code = (
        "import resource, signal, sys; from pathlib import Path; from hilnas.files import write_atomically\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from hilnas.errors import StoreError\n"
        "try: write_atomically(Path(sys.argv[1]), b'x' * 5000)\n"
        "except StoreError as error: print(error.message)"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "cannot write" in result.stdout
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.bin"]


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    blocker = tmp_path / "blocker"
    blocker.write_text("a file")
    with pytest.raises(StoreError, match="cannot write"):
        write_atomically(blocker / "file", "text")


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.tflite"):
        read_input(tmp_path / "no.tflite")


@pytest.mark.parametrize("names", [("notes.txt",), (".git/HEAD",), ("model.tflite",), (MANIFEST_NAME,)])
def test_a_folder_with_files_of_the_user_is_kept(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"name": "of something else"}')
    with pytest.raises(InputError, match="did not make"), replaced_folder(tmp_path / "mine"):
        pytest.fail("the block must not run")
    assert all((tmp_path / "mine" / name).is_file() for name in names)


def test_an_empty_folder_and_one_with_a_manifest_are_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for content in ("one", "two"):
        with replaced_folder(out) as folder:
            (folder / MANIFEST_NAME).write_text('{"engine_version": "0"}')
            (folder / content).write_text(content)
    assert {path.name for path in out.iterdir()} == {MANIFEST_NAME, "two"}


def test_the_folder_that_one_is_in_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    for out in (Path(), tmp_path):
        with pytest.raises(InputError, match="that you are in"):
            check_replaceable(out)


@pytest.mark.parametrize("check", [check_replaceable, check_writable])
def test_the_advice_follows_what_the_disk_says(tmp_path: Path, check: Callable[[Path], None]) -> None:
    (tmp_path / "file").write_text("")
    for place, advice in (
        (tmp_path / "file" / "out", "is a file"),
        (Path("/proc/out"), "another folder"),
        (Path("/sys/out"), "another folder"),
    ):
        with pytest.raises(StoreError) as error:
            check(place)
        assert advice in error.value.hint and "Free some space" not in error.value.hint
    check(tmp_path / "new" / "folder" / "out")
    assert not (tmp_path / "new").exists()
