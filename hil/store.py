"""The measurement store: every measurement ever taken, in one SQLite file that survives crashes, full disks and two processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from pydantic import TypeAdapter, ValidationError

from hilnas.errors import InputError, StoreError
from hilnas.files import sha256, write_atomically
from hilnas.hil.measurement import Measurement

STORE_NAME = "measurements.db"
"""The name of a store inside a run folder."""

_APPLICATION_ID = 0x484E_4153
_SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE measurement (
    key TEXT PRIMARY KEY,
    model_sha256 TEXT NOT NULL,
    build_id TEXT NOT NULL,
    board TEXT NOT NULL,
    target TEXT NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX measurement_of_model ON measurement (model_sha256, board, target);
CREATE INDEX measurement_of_build ON measurement (build_id, board, target);
"""
_BUSY_TIMEOUT_S = 30.0
_FILTERS = ("model_sha256", "build_id", "board", "target")
_DOCUMENT = TypeAdapter(Measurement)


def measurement_key(measurement: Measurement) -> str:
    """The identity of a measurement in every store: the SHA-256 of its JSON document, in hexadecimal."""
    return sha256(_DOCUMENT.dump_json(measurement))


class MeasurementStore:
    """Measurements in a SQLite file (write-ahead log), one row each: the JSON document and the columns to look it up by.

    Every change is one transaction: it is there in whole or not at all, also after a crash. Several processes may use one store.
    """

    def __init__(self, path: Path) -> None:
        """Opens the store, or makes an empty one.

        Raises:
            StoreError: the file cannot be opened or written, is damaged, or is not a store.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make the folder of {path}: {error.strerror}", "Choose another folder.") from error
        with self._errors():
            self._connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        try:
            self._open()
        except StoreError:
            self._connection.close()
            raise

    @classmethod
    def existing(cls, path: Path) -> MeasurementStore:
        """Opens a store that must be there: the file itself or the run folder that holds it.

        Raises:
            InputError: there is none.
            StoreError: as the constructor.
        """
        file = path / STORE_NAME if path.is_dir() else path
        if not file.is_file():
            raise InputError(
                f"{path} holds no measurements: {file} does not exist",
                "Give a run folder or the path of a store; a run that was interrupted goes on with `hilnas loop --resume FOLDER`.",
            )
        return cls(file)

    def _open(self) -> None:
        with self._errors():
            self._connection.execute("PRAGMA synchronous = FULL")
            with self._transaction():
                application, version = (self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _IDENTITY)
                tables = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
                if tables == 0:
                    for statement in _SCHEMA.split(";"):
                        self._connection.execute(statement)
                    for name, value in _IDENTITY.items():
                        self._connection.execute(f"PRAGMA {name} = {value}")
                elif (application, version) != (_APPLICATION_ID, _SCHEMA_VERSION):
                    raise StoreError(f"{self.path} is not a measurement store of this version", "Choose another file.")
            self._connection.execute("PRAGMA journal_mode = WAL")
            damage = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise StoreError(f"{self.path} is damaged: {damage}", _SAVE_WHAT_IS_LEFT)

    def close(self) -> None:
        """Closes the file; what was added stays."""
        self._connection.close()

    def __enter__(self) -> MeasurementStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        with self._errors():
            count: int = self._connection.execute("SELECT count(*) FROM measurement").fetchone()[0]
        return count

    def add(self, *measurements: Measurement) -> int:
        """Adds all of the measurements or, on an error, none; one that is already there is left alone. Returns how many were new.

        Raises:
            StoreError: the disk is full or read-only, or the store is damaged. The store is as before.
        """
        rows = [
            (measurement_key(one), *(getattr(one, name) for name in _FILTERS), _DOCUMENT.dump_json(one).decode()) for one in measurements
        ]
        with self._errors(), self._transaction():
            before = self._connection.total_changes
            self._connection.executemany("INSERT OR IGNORE INTO measurement VALUES (?, ?, ?, ?, ?, ?)", rows)
            return self._connection.total_changes - before

    def find(
        self, *, model_sha256: str | None = None, build_id: str | None = None, board: str | None = None, target: str | None = None
    ) -> list[Measurement]:
        """The measurements that match every given value, oldest first.

        Raises:
            StoreError: the store cannot be read or is damaged.
        """
        wanted = dict(zip(_FILTERS, (model_sha256, build_id, board, target), strict=True))
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = :{name}" for name in given) or "TRUE"
        # The names are constants of this file; the values are bound.
        return list(self._select(f"SELECT document FROM measurement WHERE {where} ORDER BY rowid", given))  # noqa: S608

    def get(self, key_prefix: str) -> Measurement:
        """The measurement whose key starts with `key_prefix`.

        Raises:
            InputError: none or several do.
            StoreError: the store cannot be read or is damaged.
        """
        query = "SELECT document FROM measurement WHERE substr(key, 1, length(:prefix)) = :prefix LIMIT 2"
        found = list(self._select(query, {"prefix": key_prefix}))
        if len(found) != 1:
            many = "several measurements" if found else "no measurement"
            raise InputError(f"{many} in {self.path} with a key that starts with {key_prefix!r}", "See `hilnas measurements list`.")
        return found[0]

    def _select(self, query: str, values: dict[str, str]) -> Iterator[Measurement]:
        with self._errors():
            rows = self._connection.execute(query, values).fetchall()
        for (document,) in rows:
            try:
                yield _DOCUMENT.validate_json(document, strict=True)
            except ValidationError as error:
                raise StoreError(f"{self.path} is damaged: a row is not a measurement", _SAVE_WHAT_IS_LEFT) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns SQLite's errors into ours."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            damaged = code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
            hint = _SAVE_WHAT_IS_LEFT if damaged else "Free some space, or check the permissions of the file and its folder."
            raise StoreError(f"cannot use the measurement store {self.path}: {error}", hint) from error


_IDENTITY = {"application_id": _APPLICATION_ID, "user_version": _SCHEMA_VERSION}
_SAVE_WHAT_IS_LEFT = "Move the file away; `sqlite3 FILE .recover` may save what is left of it."


def export_lines(measurements: Iterable[Measurement], path: Path) -> None:
    """Writes measurements as JSON lines, atomically.

    Raises:
        StoreError: the disk refused.
    """
    write_atomically(path, b"".join(_DOCUMENT.dump_json(measurement) + b"\n" for measurement in measurements))


def import_lines(content: bytes) -> list[Measurement]:
    """Reads JSON lines that `export_lines` wrote.

    Raises:
        InputError: a line is not a measurement (it names the first one).
    """
    measurements = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            measurements.append(_DOCUMENT.validate_json(line, strict=True))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "the line"
            raise InputError(
                f"line {number} is not a measurement: {where}: {problem['msg']}", "Give a file of `hilnas measurements export`."
            ) from error
    return measurements
