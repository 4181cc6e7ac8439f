"""The database of a study: items, raters by code, what each is shown, and what each answered."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from semcomm.errors import StudyError
from semcomm.ratings.order import Item, Trial

FILE = "study.sqlite"
FORMAT = 1
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE items (number INTEGER PRIMARY KEY, practice INTEGER, reference TEXT, first TEXT, second TEXT, facts TEXT);
CREATE TABLE raters (code TEXT PRIMARY KEY, number INTEGER UNIQUE, begun REAL, closed REAL) WITHOUT ROWID;
CREATE TABLE trials (rater TEXT REFERENCES raters, position INTEGER, item INTEGER REFERENCES items, kind TEXT,
  swapped INTEGER, PRIMARY KEY (rater, position)) WITHOUT ROWID;
CREATE TABLE ratings (rater TEXT, position INTEGER, first REAL NOT NULL, second REAL, seconds REAL NOT NULL,
  at REAL NOT NULL, PRIMARY KEY (rater, position), FOREIGN KEY (rater, position) REFERENCES trials) WITHOUT ROWID;
CREATE TABLE scores (metric TEXT, reference TEXT, candidate TEXT, value REAL,
  PRIMARY KEY (metric, reference, candidate)) WITHOUT ROWID;
"""
PROGRESS = "SELECT (SELECT COUNT(*) FROM ratings WHERE rater = ?1), (SELECT COUNT(*) FROM trials WHERE rater = ?1)"
"""Trials that a rater has answered, and all of the rater's trials."""


@dataclass(frozen=True)
class Rater:
    """A rater, of whom nothing but a code is known.

    Attributes:
        code: in the link.
        number: 1, 2, ...
        begun: when consent was given, in seconds since 1970; None before.
        closed: when the link was closed, if it was.
    """

    code: str
    number: int
    begun: float | None
    closed: float | None


class OutOfTurnError(StudyError):
    """An answer to something that has not been asked yet."""


class Database:
    """One study's database. Several threads may use it.

    Args:
        path: of the file.
        new: make it.

    Raises:
        StudyError: when it cannot be used.
    """

    def __init__(self, path: Path, new: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
        if new == path.exists():
            raise StudyError(f"{path}: {'is there already' if new else 'there is no study here'}")
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")  # what was answered with "saved" outlives a power cut
            self._db.execute("PRAGMA foreign_keys = ON")
            if new:
                self._db.executescript(f"BEGIN; {TABLES} INSERT INTO meta VALUES ('format', '{FORMAT}'); COMMIT;")
            found = self.meta("format")
        except sqlite3.DatabaseError as error:
            raise StudyError(f"{path}: cannot be used as a study's database ({error})") from None
        if found != FORMAT:
            raise StudyError(f"{path}: was written in format {found}, and this semcomm reads {FORMAT}")

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Do all of something or nothing, alone."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def read(self, sql: str, *values: object) -> list[tuple]:
        """Return the rows of a question."""
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def meta(self, key: str) -> object:
        """Return a note, or None."""
        rows = self.read("SELECT value FROM meta WHERE key = ?", key)
        return json.loads(rows[0][0]) if rows else None

    def set_meta(self, key: str, value: object) -> None:
        """Keep a note."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def items(self) -> list[Item]:
        """Return all items in order."""
        rows = self.read("SELECT number, practice, reference, first, second, facts FROM items ORDER BY number")
        return [Item(number, bool(p), *images, json.loads(facts)) for number, p, *images, facts in rows]

    def add_items(self, items: Sequence[Item]) -> None:
        """Keep items."""
        rows = [(i.number, i.practice, i.reference, i.first, i.second, json.dumps(i.facts)) for i in items]
        with self.transaction() as db:
            db.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", rows)

    def raters(self) -> list[Rater]:
        """Return all raters in order."""
        return [Rater(*row) for row in self.read("SELECT code, number, begun, closed FROM raters ORDER BY number")]

    def rater(self, code: str) -> Rater | None:
        """Return a rater, or None."""
        rows = self.read("SELECT code, number, begun, closed FROM raters WHERE code = ?", code)
        return Rater(*rows[0]) if rows else None

    def add_raters(self, count: int) -> list[str]:
        """Make so many raters more and return their codes."""
        with self.transaction() as db:
            (last,) = db.execute("SELECT COALESCE(MAX(number), 0) FROM raters").fetchone()
            codes = [f"R{number:03d}" for number in range(last + 1, last + count + 1)]
            db.executemany("INSERT INTO raters VALUES (?, ?, NULL, NULL)", [(code, int(code[1:])) for code in codes])
        return codes

    def begin(self, rater: Rater, choose: Callable[[dict[int, int]], Sequence[Trial]]) -> None:
        """Note a rater's consent, and what is shown to them. A second time changes nothing.

        Args:
            rater: who.
            choose: makes the trials of what `shown` gives; nobody else begins meanwhile.
        """
        with self.transaction() as db:
            if db.execute(
                "UPDATE raters SET begun = ? WHERE code = ? AND begun IS NULL AND closed IS NULL",
                (time.time(), rater.code),
            ).rowcount:
                rows = [(rater.code, n, t.item, t.kind, t.swapped) for n, t in enumerate(choose(self.shown()))]
                db.executemany("INSERT INTO trials VALUES (?, ?, ?, ?, ?)", rows)

    def finish(self, rater: str) -> None:
        """Close a rater's link. What they answered stays."""
        with self.transaction() as db:
            db.execute("UPDATE raters SET closed = ? WHERE code = ? AND closed IS NULL", (time.time(), rater))

    def withdraw(self, rater: str) -> None:
        """Close a rater's link and forget what they answered."""
        with self.transaction() as db:
            db.execute("DELETE FROM ratings WHERE rater = ?", (rater,))
            db.execute("DELETE FROM trials WHERE rater = ?", (rater,))
            db.execute("UPDATE raters SET closed = ? WHERE code = ?", (time.time(), rater))

    def trials(self, rater: str) -> list[Trial]:
        """Return what a rater is shown, in order."""
        rows = self.read("SELECT item, kind, swapped FROM trials WHERE rater = ? ORDER BY position", rater)
        return [Trial(item, kind, bool(swapped)) for item, kind, swapped in rows]

    def trial(self, rater: str, position: int) -> tuple[Trial, Item] | None:
        """Return one showing with its item, or None."""
        rows = self.read(
            "SELECT t.item, t.kind, t.swapped, i.practice, i.reference, i.first, i.second FROM trials t "
            "JOIN items i ON i.number = t.item WHERE t.rater = ? AND t.position = ?",
            *(rater, position),
        )
        if not rows:
            return None
        item, kind, swapped, practice, *images = rows[0]
        return Trial(item, kind, bool(swapped)), Item(item, bool(practice), *images, {})

    def shown(self) -> dict[int, int]:
        """Return number of an item -> how many raters have it to rate, or did; of a closed link what was answered."""
        rows = self.read(
            "SELECT t.item, COUNT(*) FROM trials t JOIN raters r ON r.code = t.rater "
            "LEFT JOIN ratings a ON a.rater = t.rater AND a.position = t.position "
            "WHERE t.kind = 'item' AND (r.closed IS NULL OR a.at IS NOT NULL) GROUP BY t.item"
        )
        return dict(rows)

    def progress(self, rater: str) -> tuple[int, int]:
        """Return how many trials a rater has answered, and of how many."""
        ((done, total),) = self.read(PROGRESS, rater)
        return done, total

    def rate(self, rater: str, position: int, first: float, second: float | None, seconds: float) -> bool:
        """Keep an answer, once: return False where there is one already, which stays.

        Raises:
            OutOfTurnError: when an earlier trial is not answered yet, or there is no such trial.
        """
        with self.transaction() as db:
            ((done, total),) = db.execute(PROGRESS, (rater,))
            if position < done:
                return False
            if position > done or position >= total:
                raise OutOfTurnError(f"trial {position} is not the one that is asked, {done} of {total}")
            row = (rater, position, first, second, seconds, time.time())
            db.execute("INSERT INTO ratings VALUES (?, ?, ?, ?, ?, ?)", row)
        return True

    def answers(self) -> list[tuple]:
        """Return every answer: rater, position, item, kind, swapped, first, second, seconds, at."""
        return self.read(
            "SELECT t.rater, t.position, t.item, t.kind, t.swapped, a.first, a.second, a.seconds, a.at FROM ratings a "
            "JOIN trials t ON t.rater = a.rater AND t.position = a.position "
            "JOIN raters r ON r.code = t.rater ORDER BY r.number, t.position"
        )

    def scores(self, metric: str) -> dict[tuple[str, str], float]:
        """Return (reference, candidate) -> what a metric said; NULL in the file is not a number."""
        rows = self.read("SELECT reference, candidate, value FROM scores WHERE metric = ?", metric)
        return {(reference, candidate): float("nan") if v is None else v for reference, candidate, v in rows}

    def add_scores(self, metric: str, scores: dict[tuple[str, str], float]) -> None:
        """Keep what a metric said."""
        with self.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)", [(metric, *pair, v) for pair, v in scores.items()]
            )
