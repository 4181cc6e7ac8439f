"""The folder of a run: one SQLite file written by one process, reconstructions by their content's hash, the memo.

What was received is kept under the hash of its recipe, a score under (reference, reconstruction, metric). The names of
transceivers and points are not in there: the results are the experiment's plan, looked up here.
"""

import json
import os
import platform
import socket
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor

from semcomm.errors import ImageError, RunError
from semcomm.images import content_hash, read_image, to_bytes
from semcomm.ledger import Ledger
from semcomm.memo import write_whole

FORMAT = 1
LEDGER = [f.name for f in fields(Ledger)]
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS images (
    name TEXT PRIMARY KEY, path TEXT, bytes INTEGER, modified INTEGER, hash TEXT, height INTEGER, width INTEGER,
    fault TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receptions (
    key TEXT PRIMARY KEY, {", ".join(f"{name} REAL" for name in LEDGER)},
    info TEXT NOT NULL, reconstruction TEXT NOT NULL, seconds REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scores (
    reference TEXT, reconstruction TEXT, metric TEXT, value REAL, seconds REAL NOT NULL,
    PRIMARY KEY (reference, reconstruction, metric)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class StoredReception:
    """What is kept of one reconstruction beside its pixels."""

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
    """A picture of the experiment as it was when the run began; `fault` says why it is left out, if it is."""

    name: str
    path: str
    bytes: int
    modified: int
    hash: str
    height: int
    width: int
    fault: str | None = None


class Store:
    """One run's folder.

    Args:
        folder: made if need be.

    Raises:
        RunError: when it cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with _disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(folder / "results.sqlite", isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
        found = self.meta("format")
        if found is None:
            self.set_meta("format", FORMAT)
        elif found != FORMAT:
            raise RunError(
                f"{folder}: was written in format {found}, and this semcomm reads {FORMAT}; use a new folder"
            )

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        self._db.close()

    def meta(self, key: str) -> Any:
        """Return a note about the run, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set_meta(self, key: str, value: Any) -> None:
        """Keep a note about the run."""
        with _disk(self.folder):
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def images(self) -> dict[str, StoredImage]:
        """Return the pictures of the run by name."""
        return {row[0]: StoredImage(*row) for row in self._db.execute("SELECT * FROM images")}

    def add_images(self, images: Iterable[StoredImage]) -> None:
        """Keep what pictures the run is made on."""
        rows = [tuple(getattr(i, f.name) for f in fields(StoredImage)) for i in images]
        with self._transaction():
            self._db.executemany(f"INSERT OR REPLACE INTO images VALUES ({_marks(8)})", rows)

    def receptions(self) -> dict[str, str]:
        """Return key -> reconstruction hash of everything received so far."""
        return dict(self._db.execute("SELECT key, reconstruction FROM receptions"))

    def read_receptions(self) -> Iterator[tuple[str, StoredReception]]:
        """Give (key, reception) of everything received so far."""
        for key, *ledger, info, reconstruction, seconds in self._db.execute("SELECT * FROM receptions"):
            counts = {name: float("nan") if value is None else value for name, value in zip(LEDGER, ledger)}
            yield key, StoredReception(counts, json.loads(info), reconstruction, seconds)

    def scores(self) -> dict[tuple[str, str, str], tuple[float, float]]:
        """Return (reference, reconstruction, metric) -> (value, seconds)."""
        return {
            (reference, reconstruction, metric): (float("nan") if value is None else value, seconds)
            for reference, reconstruction, metric, value, seconds in self._db.execute("SELECT * FROM scores")
        }

    def score(self, reference: str, reconstruction: str, metric: str) -> float | None:
        """Return one score, or None."""
        row = self._db.execute(
            "SELECT value FROM scores WHERE (reference, reconstruction, metric) = (?, ?, ?)",
            (reference, reconstruction, metric),
        ).fetchone()
        return row[0] if row else None

    def add(self, receptions: dict[str, StoredReception], scores: list[StoredScore]) -> None:
        """Keep receptions and scores: all of them or none."""
        rows = [
            (key, *(r.ledger[name] for name in LEDGER), json.dumps(r.info), r.reconstruction, r.seconds)
            for key, r in receptions.items()
        ]
        marks = [(s.reference, s.reconstruction, s.metric, s.value, s.seconds) for s in scores]
        with self._transaction():
            self._db.executemany(f"INSERT OR REPLACE INTO receptions VALUES ({_marks(len(LEDGER) + 4)})", rows)
            self._db.executemany(f"INSERT OR REPLACE INTO scores VALUES ({_marks(5)})", marks)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _disk(self.folder):
            self._db.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


class Reconstructions:
    """Pictures on disk by the hash of their pixels; one that was damaged counts as absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "reconstructions"

    def path(self, key: str) -> Path:
        """Return where the picture with this hash is, or would be."""
        return self.folder / key[:2] / f"{key}.png"

    def write(self, image: Tensor) -> str:
        """Keep a picture [3, H, W] and return its hash."""
        from io import BytesIO

        from PIL import Image

        key = content_hash(image)
        if not self.path(key).exists():
            buffer = BytesIO()
            Image.fromarray(to_bytes(image)).save(buffer, format="PNG", compress_level=1)
            write_whole(self.path(key), buffer.getvalue())
        return key

    def read(self, key: str) -> Tensor | None:
        """Return the picture with this hash [3, H, W], or None where it is not there whole; what is damaged goes."""
        path = self.path(key)
        if not path.exists():
            return None
        try:
            image = read_image(path)
            if content_hash(image) == key:
                return image
        except ImageError:
            pass
        path.unlink(missing_ok=True)
        return None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process.

    Raises:
        RunError: when another run has it, naming that one.
    """
    with _disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    owner = folder / "run.owner"
    lock = FileLock(folder / "run.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = owner.read_text() if owner.exists() else "another process"
        raise RunError(f"{folder}: is in use by {who}; wait for it, or give this run a folder of its own") from None
    try:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_whole(owner, f"process {os.getpid()} on {socket.gethostname()} since {now}".encode())
        yield
        owner.unlink(missing_ok=True)
    finally:
        lock.release()


def environment() -> dict:
    """Return versions and machine, for beside the results."""
    packages = ("semcomm", "torch", "numpy", "scipy", "pillow", "imagecodecs", "pillow-heif", "numba", "sionna-no-rt")
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return {
        "python": sys.version.split()[0],
        "packages": found,
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
        },
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Turn what a disk can do to us into one clear message."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise RunError(
            f"{folder}: its results cannot be read or written ({error}). Finished rows are safe; free the disk or mend "
            "the folder and run the same command again"
        ) from error
    except OSError as error:
        raise RunError(
            f"{folder}: cannot be written ({error.strerror or error}). Finished rows are safe; mend that and run the "
            "same command again"
        ) from error


def _marks(count: int) -> str:
    return ", ".join("?" * count)
