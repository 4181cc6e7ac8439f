"""The database of a run: one SQLite file, written by one process.

What was received is kept under the hash of its recipe, a score under (reference, reconstruction, metric). The names of
transceivers and points are not in there: the results are the experiment's plan, looked up here. Every row carries a
checksum, so that what a disk changed behind our back is found, and computed again.
"""

import json
import math
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from typing import Any

from semcomm.errors import RunError
from semcomm.ledger import Ledger

DATABASE = "results.sqlite"
FORMAT = 2
"""1 had no checksums; it is brought up to date when it is opened."""

SEAL = "seal"
"""Note about what was exported, for as long as that is all there is."""

LEDGER = [f.name for f in fields(Ledger)]
_TABLES = {
    "meta": (["key"], {"key": "TEXT", "value": "TEXT"}),
    "images": (
        ["name"],
        {"name": "TEXT", "path": "TEXT", "bytes": "INTEGER", "modified": "INTEGER", "hash": "TEXT"}
        | {"height": "INTEGER", "width": "INTEGER", "fault": "TEXT"},
    ),
    "receptions": (
        ["key"],
        {"key": "TEXT", **dict.fromkeys(LEDGER, "REAL"), "info": "TEXT", "reconstruction": "TEXT", "seconds": "REAL"},
    ),
    "scores": (
        ["reference", "reconstruction", "metric"],
        {"reference": "TEXT", "reconstruction": "TEXT", "metric": "TEXT", "value": "REAL", "seconds": "REAL"},
    ),
}
"""Table -> its primary key, and its columns; `checksum` comes after them."""


@dataclass(frozen=True)
class StoredReception:
    """Record of one reconstruction beside its pixels."""

    ledger: dict[str, float]
    info: dict[str, Any]
    reconstruction: str
    """Hash of its pixels."""
    seconds: float


@dataclass(frozen=True)
class StoredScore:
    """The score of one reconstruction against one reference by one metric."""

    reference: str
    reconstruction: str
    metric: str
    value: float
    seconds: float


@dataclass(frozen=True)
class StoredImage:
    """An image of the experiment as it was when the run began; `fault` says why it is left out, if it is."""

    name: str
    path: str
    bytes: int
    modified: int
    hash: str
    height: int
    width: int
    fault: str | None = None


class Store:
    """One run's database.

    Args:
        folder: of the run, made if need be.
        on_note: called with what was found damaged.
        reading: leave a damaged file as it is, and what is damaged in it out.

    Raises:
        RunError: when it cannot be used.
    """

    def __init__(self, folder: Path, on_note: Callable[[str], None] = lambda note: None, reading: bool = False) -> None:
        self.folder = folder
        self._path = folder / DATABASE
        self._left_out: set[tuple[str, ...]] = set()
        self._on_note, self._reading = on_note, reading
        self._unchecked = list(_TABLES)
        with _disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                self._db = _opened(self._path)
                (state,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
                if state != "ok":
                    raise _damage(state)
            except sqlite3.DatabaseError as error:
                self._salvage(error)
            self._check("meta", "images")
        found = self.meta("format")
        if found not in (None, 1, FORMAT):
            raise RunError(
                f"{folder}: was written in format {found}, and this semcomm reads {FORMAT}; use a new folder"
            )
        if found != FORMAT:
            self.set_meta("format", FORMAT)

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        self._db.close()

    def meta(self, key: str) -> Any:
        """Return a note about the run, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None or ("meta", key) in self._left_out else json.loads(row[0])

    def set_meta(self, key: str, value: Any) -> None:
        """Keep a note about the run."""
        with self._transaction():
            self._put("meta", [(key, json.dumps(value))])

    def describe(self, images: Iterable[StoredImage], notes: Mapping[str, Any]) -> None:
        """Keep what the run is made on and notes about it: all of it or none."""
        with self._transaction():
            self._put("images", [tuple(getattr(i, f.name) for f in fields(StoredImage)) for i in images])
            self._put("meta", [(key, json.dumps(value)) for key, value in notes.items()])

    def images(self) -> dict[str, StoredImage]:
        """Return the images of the run by name."""
        columns = ", ".join(_TABLES["images"][1])
        rows = self._db.execute(f"SELECT {columns} FROM images")
        return {row[0]: StoredImage(*row) for row in rows if ("images", row[0]) not in self._left_out}

    def received(self, keys: Sequence[str]) -> list[str | None]:
        """Return the hash of each reconstruction that was received under these keys, or None."""
        return [row[1] for row in self._look_up("receptions", "it.key, it.reconstruction", keys)]

    def receptions(self, keys: Sequence[str]) -> list[StoredReception | None]:
        """Return what was received under these keys, or None."""
        rows = self._look_up("receptions", "it.*", keys)
        return [None if row[0] is None else _reception(row) for row in rows]

    def scores(self, metric: str, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, float] | None]:
        """Return (value, seconds) of the scores of pairs (reference, reconstruction), or None."""
        rows = self._look_up(
            "scores", "it.reference, it.reconstruction, it.metric, it.value, it.seconds", pairs, metric
        )
        return [None if row[0] is None else (_number(row[3]), row[4]) for row in rows]

    def add(self, receptions: Mapping[str, StoredReception], scores: Iterable[StoredScore]) -> None:
        """Keep receptions and scores: all of them or none. It breaks the seal of what was exported."""
        rows = [
            (key, *(r.ledger[name] for name in LEDGER), json.dumps(r.info), r.reconstruction, r.seconds)
            for key, r in receptions.items()
        ]
        with self._transaction():
            self._db.execute("DELETE FROM meta WHERE key = ?", (SEAL,))
            self._put("receptions", rows)
            self._put("scores", [(s.reference, s.reconstruction, s.metric, s.value, s.seconds) for s in scores])

    def _put(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        types = _TABLES[table][1].values()
        rows = [[_plain(v, kind) for v, kind in zip(row, types)] for row in rows]
        marks = ", ".join("?" * (len(types) + 1))
        self._db.executemany(
            f"INSERT OR REPLACE INTO {table} VALUES ({marks})", [(*row, _checksum(*row)) for row in rows]
        )

    def _look_up(self, table: str, wanted: str, keys: Sequence[Any], metric: str | None = None) -> list[tuple]:
        """Return a row for each key, of Nones where there is none; `wanted` begins with the primary key."""
        where = "it.key = asked.value"
        if metric is not None:
            where = "it.reference = asked.value ->> 0 AND it.reconstruction = asked.value ->> 1 AND it.metric = ?"
        given = [metric] if metric is not None else []
        with _disk(self.folder):
            rows = self._db.execute(
                f"SELECT {wanted} FROM json_each(?) AS asked LEFT JOIN {table} AS it ON {where} ORDER BY asked.key",
                (json.dumps(keys), *given),
            ).fetchall()
        if self._left_out:
            width = len(_TABLES[table][0])
            rows = [(None,) * len(row) if (table, *row[:width]) in self._left_out else row for row in rows]
        return rows

    def check(self) -> None:
        """Look at every row, once, before any is used. What was exported has a hash of its own and does without."""
        with _disk(self.folder):
            self._check("receptions", "scores")

    def _check(self, *tables: str) -> None:
        """Take out the rows that are not as they were written: from the file, or where it is only read from view."""
        for table in tables:
            if table not in self._unchecked:
                continue
            key, columns = _TABLES[table]
            wrong = f"checksum IS NOT {_checked(columns)}"
            try:
                found = self._db.execute(f"SELECT {', '.join(key)} FROM {table} WHERE {wrong}").fetchall()
            except sqlite3.DatabaseError as error:
                self._salvage(error)
                return
            self._unchecked.remove(table)
            if not found:
                continue
            if self._reading:
                self._left_out |= {(table, *row) for row in found}
                self._on_note(
                    f"{self._path}: {len(found)} damaged rows of {table} are left out; run it again to mend them"
                )
            else:
                self._db.execute(f"DELETE FROM {table} WHERE {wrong}")
                self._db.execute("DELETE FROM meta WHERE key = ?", (SEAL,))
                self._on_note(f"{self._path}: {len(found)} damaged rows of {table} are computed again")

    def _salvage(self, error: sqlite3.DatabaseError) -> None:
        if self._reading or not _is_damage(error):
            raise error
        self._db = _salvaged(self._path, error, self._on_note)
        self._unchecked.clear()  # every row was

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _disk(self.folder):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite has gone back by itself when the disk was full
                    with suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")
                raise


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.text_factory = _text
        db.create_function("checksum", -1, _checksum, deterministic=True)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN IMMEDIATE")
        for table, (key, columns) in _TABLES.items():
            described = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            db.execute(
                f"CREATE TABLE IF NOT EXISTS {table} ({described}, checksum INTEGER, PRIMARY KEY ({', '.join(key)})) "
                "WITHOUT ROWID"
            )
            found = {row[1]: row[2] for row in db.execute(f"PRAGMA table_info({table})")}
            if found == columns:
                db.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")
                db.execute(f"UPDATE {table} SET checksum = {_checked(columns)}")
            elif found != {**columns, "checksum": "INTEGER"} and _is_ours(db):
                raise _damage(f"the table {table} has other columns")
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _is_ours(db: sqlite3.Connection) -> bool:
    """Say whether the columns should be those of `_TABLES`: not if another version wrote them, which is refused."""
    row = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    return row is None or row[0] in ("1", str(FORMAT))


def _salvaged(path: Path, error: sqlite3.DatabaseError, on_note: Callable[[str], None]) -> sqlite3.Connection:
    """Put a damaged file aside and return a new one with every row of it that can still be read."""
    aside = next(p for n in count(1) if not (p := path.with_name(f"{path.name}.damaged-{n}")).exists())
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    old, new = sqlite3.connect(aside), _opened(path)
    old.text_factory = _text
    new.execute("BEGIN IMMEDIATE")
    saved = 0
    for table, (key, columns) in _TABLES.items():
        backwards = ", ".join(f"{n + 1} DESC" for n in range(len(key)))
        for order in ("", f" ORDER BY {backwards}"):  # up to the damage from both ends
            with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
                for row in old.execute(f"SELECT * FROM {table}{order}"):  # the names may be what is damaged
                    if len(row) == len(columns) + 1 and _checksum(*row[:-1]) == row[-1]:
                        marks = ", ".join("?" * len(row))
                        saved += new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row).rowcount
    new.execute("DELETE FROM meta WHERE key = ?", (SEAL,))
    new.execute("COMMIT")
    old.close()
    on_note(f"{path}: is damaged ({error}); {saved} rows of it are saved, the rest is computed again ({aside.name})")
    return new


def _checksum(*values: Any) -> int:
    values = tuple(_text(v) if isinstance(v, bytes) else v for v in values)
    return zlib.crc32(repr(values).encode())


def _checked(columns: Mapping[str, str]) -> str:
    """Return the checksum of a row in SQL. Damaged text may be no UTF-8, which a function can take as bytes only."""
    return f"checksum({', '.join(f'CAST({n} AS BLOB)' if kind == 'TEXT' else n for n, kind in columns.items())})"


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")  # what is no UTF-8 must be read to be found out


def _plain(value: Any, kind: str) -> Any:
    """Return a value as SQLite gives it back from a column of this type."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return float(value) + 0.0 if kind == "REAL" else value  # it knows no -0.0


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _reception(row: Sequence[Any]) -> StoredReception:
    _, *ledger, info, reconstruction, seconds, _ = row
    counts = {name: _number(value) for name, value in zip(LEDGER, ledger)}
    return StoredReception(counts, json.loads(info), reconstruction, seconds)


def _damage(text: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Turn what a disk can do to us into one clear message."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            raise RunError(
                f"{folder}: its database is damaged ({error}). Run the same command again: it saves what can be read "
                "and computes the rest"
            ) from error
        raise RunError(
            f"{folder}: its results cannot be read or written ({error}). Finished rows are safe; free the disk or mend "
            "the folder and run the same command again"
        ) from error
    except OSError as error:
        raise RunError(
            f"{folder}: cannot be written ({error.strerror or error}). Finished rows are safe; mend that and run the "
            "same command again"
        ) from error
