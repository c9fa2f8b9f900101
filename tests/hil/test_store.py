"""The measurement store under good and bad conditions."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from hilnas.cli.main import verbs
from hilnas.errors import InputError, StoreError
from hilnas.hil.measurement import ExitStatistics, LayerMeasurement, Measurement
from hilnas.hil.store import MeasurementStore, export_lines, import_lines, measurement_key


def measurement(number: int = 0, **changes: object) -> Measurement:
    base = Measurement(
        model=f"net_{number}",
        model_sha256=f"{number:064x}",
        board="nucleo-h743zi2",
        target="emulator",
        build_id=f"{number:016x}",
        clock_hz=480_000_000,
        cycles=1_000_000 + number,
        cycles_source="modelled",
        instructions=1_250_000,
        latency_s=(1_000_000 + number) / 480e6,
        flash_bytes=70_000,
        arena_bytes=20_000,
        sram_bytes=24_000,
        stack_bytes=None,
        macs=800_000,
        layers=(LayerMeasurement("conv", "CONV_2D", 800_000, None, 1_250_000),),
        output_digest="ab" * 32,
        bit_exact=True,
        attempts=("run 3: no undamaged reply, sent again",),
        exits=ExitStatistics("digits", (3, 7), (None, 1_000_000), 0.002),
        provenance={"date": "2026-01-01", "seed": 0},
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "measurements.db"


def test_what_was_added_is_there_after_reopening(path: Path) -> None:
    with MeasurementStore(path) as store:
        assert store.add(measurement(0), measurement(1)) == 2
    with MeasurementStore(path) as store:
        assert store.find() == [measurement(0), measurement(1)]


def test_adding_a_measurement_again_changes_nothing(path: Path) -> None:
    with MeasurementStore(path) as store:
        store.add(measurement())
        assert store.add(measurement(), measurement(1)) == 1
        assert len(store) == 2


def test_find_filters_by_every_given_value(path: Path) -> None:
    other_board = measurement(0, board="stm32f746g-disco")
    other_target = measurement(0, target="qemu")
    with MeasurementStore(path) as store:
        store.add(measurement(0), other_board, other_target, measurement(1))
        assert store.find(model_sha256=measurement(0).model_sha256) == [measurement(0), other_board, other_target]
        assert store.find(build_id=measurement(0).build_id, board="nucleo-h743zi2", target="emulator") == [measurement(0)]
        assert store.find(target="serial") == []


def test_get_by_a_prefix_of_the_key(path: Path) -> None:
    with MeasurementStore(path) as store:
        store.add(measurement(0), measurement(1))
        assert store.get(measurement_key(measurement(1))[:16]) == measurement(1)
        with pytest.raises(InputError, match="several"):
            store.get("")
        with pytest.raises(InputError, match="no measurement"):
            store.get("zz")


def test_export_and_import_keep_every_field(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    export_lines([measurement(0), measurement(1)], file)
    assert import_lines(file.read_bytes()) == [measurement(0), measurement(1)]


@pytest.mark.parametrize(
    ("line", "problem"), [(b"{", "line 2"), (b"[]", "line 2"), (b'{"model": 3}', "line 2"), (b"", "line 2"), (b"\xff", "line 2")]
)
def test_import_names_the_first_bad_line(tmp_path: Path, line: bytes, problem: str) -> None:
    file = tmp_path / "out.jsonl"
    export_lines([measurement(0)], file)
    with pytest.raises(InputError, match=problem):
        import_lines(file.read_bytes() + line + b"\n")


def test_an_import_with_a_bad_line_adds_nothing(path: Path, tmp_path: Path) -> None:
    with MeasurementStore(path) as store:
        store.add(measurement(0))
    file = tmp_path / "in.jsonl"
    export_lines([measurement(1)], file)
    file.write_bytes(file.read_bytes() + b"{}\n")
    result = CliRunner().invoke(verbs, ["measurements", "import", str(path), str(file)])
    assert isinstance(result.exception, InputError)
    with MeasurementStore(path) as store:
        assert len(store) == 1


def test_the_verb_lists_shows_exports_and_imports(path: Path, tmp_path: Path) -> None:
    with MeasurementStore(path) as store:
        store.add(measurement(0), measurement(1, board="other"))
    run = CliRunner().invoke
    listed = json.loads(run(verbs, ["measurements", "list", str(path.parent), "--board", "other", "--json"]).output)
    assert [item["model"] for item in listed] == ["net_1"]
    shown = json.loads(run(verbs, ["measurements", "show", str(path), listed[0]["key"][:20], "--json"]).output)
    assert shown["cycles"] == 1_000_001
    assert "net_0" in run(verbs, ["measurements", "list", str(path)]).output
    file = tmp_path / "all.jsonl"
    copy = tmp_path / "copy.db"
    assert run(verbs, ["measurements", "export", str(path), str(file)]).exit_code == 0
    imported = json.loads(run(verbs, ["measurements", "import", str(copy), str(file), "--json"]).output)
    assert imported["added"] == 2
    with MeasurementStore(copy) as store:
        assert store.find() == [measurement(0), measurement(1, board="other")]


def test_a_missing_store_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        MeasurementStore.existing(tmp_path / "nowhere.db")
    assert not (tmp_path / "nowhere.db").exists()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, os.urandom(4096)])
def test_a_file_that_is_no_store_is_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match=str(path)):
        MeasurementStore(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_left_alone(path: Path) -> None:
    import sqlite3

    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a measurement store"):
        MeasurementStore(path)
    assert path.read_bytes() == before


def test_a_damaged_store_is_an_error(path: Path) -> None:
    with MeasurementStore(path) as store:
        store.add(*(measurement(number) for number in range(200)))
    content = bytearray(path.read_bytes())
    content[4096 : len(content) // 2] = b"\xa5" * (len(content) // 2 - 4096)
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError):
        MeasurementStore(path)


def test_a_truncated_store_is_an_error(path: Path) -> None:
    with MeasurementStore(path) as store:
        store.add(*(measurement(number) for number in range(200)))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(StoreError):
        MeasurementStore(path)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError):
        MeasurementStore(tmp_path / "file" / "measurements.db")


def _child(code: str, path: Path, limit_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a process of its own, with `measurement` at hand and at most `limit_bytes` in any file that it writes."""
    program = (
        "import importlib.util, sys; from pathlib import Path; from hilnas.hil.store import MeasurementStore; from hilnas.errors import *\n"
        f"spec = importlib.util.spec_from_file_location('helpers', {__file__!r}); helpers = importlib.util.module_from_spec(spec)\n"
        f"spec.loader.exec_module(helpers); measurement = helpers.measurement; path = Path({str(path)!r})\n{code}"
    )

    def limit() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, preexec_fn=limit)


def test_a_full_disk_leaves_the_store_as_it_was(path: Path) -> None:
    with MeasurementStore(path) as store:
        store.add(measurement(0))
    code = """
store = MeasurementStore(path)
try:
    store.add(*(measurement(number) for number in range(1, 500)))
except StoreError as error:
    print("refused:", error.message)
"""
    result = _child(code, path, limit_bytes=100_000)
    assert "refused:" in result.stdout, result.stderr
    with MeasurementStore(path) as store:
        assert store.find() == [measurement(0)]
        assert store.add(measurement(1)) == 1


def test_a_process_killed_while_adding_leaves_whole_measurements(path: Path) -> None:
    code = """
import os, signal
store = MeasurementStore(path)
store.add(measurement(0), measurement(1))
store._connection.execute("BEGIN IMMEDIATE")
store._connection.execute("INSERT INTO measurement VALUES ('k', 'm', 'b', 'b', 't', '{}')")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert _child(code, path).returncode == -9
    with MeasurementStore(path) as store:
        assert store.find() == [measurement(0), measurement(1)]


def test_two_processes_write_one_store(path: Path) -> None:
    code = """
store = MeasurementStore(path)
for number in range({first}, {first} + 50):
    store.add(measurement(number))
"""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda first: _child(code.format(first=first), path), (0, 50)))
    assert [result.returncode for result in results] == [0, 0], [result.stderr for result in results]
    with MeasurementStore(path) as store:
        assert {one.model for one in store.find()} == {f"net_{number}" for number in range(100)}
