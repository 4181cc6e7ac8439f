"""Targets, and the edits by which Hypothesis makes hostile bytes of good ones."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from semcomm.errors import SemcommError

NUMBERS = [bytes([b]) * n for b in (0x00, 0x7F, 0x80, 0xFF) for n in (1, 2, 4, 8)]
NUMBERS += [(1 << bits).to_bytes(4, order) for bits in (8, 15, 16, 24, 31) for order in ("big", "little")]
"""Bytes that sizes and counts in headers do not like to be."""


@dataclass(frozen=True)
class Target:
    """A place where bytes come in.

    Attributes:
        name: of it.
        good: makes inputs that are accepted, from which others are made.
        feed: hands an input over; whatever it raises but a `SemcommError` is a finding.
        words: pieces that inputs of this kind are made of.
        total: whether it takes anything at all, so that nothing may be refused.
    """

    name: str
    good: Callable[[], Sequence[bytes]]
    feed: Callable[[bytes], Any]
    words: Sequence[bytes] = ()
    total: bool = False

    def __call__(self, data: bytes) -> str:
        """Feed it `data`; return `accepted`, or the kind of the error with which it was refused."""
        try:
            self.feed(data)
        except SemcommError as error:
            return _kind(error)
        return "accepted"


def _kind(error: SemcommError) -> str:
    for sign, kind in (("crashed (", "crash"), ("took more than", "hang"), ("more memory than", "memory")):
        if sign in str(error):
            return f"{kind} in the guard"
    return type(error).__name__


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Return a strategy: good inputs with a few edits, now and then something else altogether."""
    good = list(target.good())
    pieces = st.one_of(st.binary(max_size=8), st.sampled_from([*NUMBERS, *target.words]))
    edit = st.tuples(
        st.sampled_from(["flip", "write", "insert", "delete", "cut", "repeat", "splice"]),
        st.floats(0, 1, exclude_max=True),
        pieces,
        st.integers(0, 255),
    )
    edited = st.builds(
        lambda first, edits, other: _edited(first, edits, other),
        st.sampled_from(good),
        st.lists(edit, max_size=8),
        st.sampled_from(good),
    )
    return st.one_of(edited, edited, edited, st.binary(max_size=300), st.lists(pieces, max_size=30).map(b"".join))


def _edited(data: bytes, edits: Sequence[tuple[str, float, bytes, int]], other: bytes) -> bytes:
    made = bytearray(data)
    for kind, where, piece, number in edits:
        # half of the edits go to the first 200 bytes, where headers are
        at = int(where * len(made)) if number % 2 else int(where * min(200, len(made)))
        if kind == "flip" and made:
            made[at] ^= 1 << number % 8
        elif kind == "write":
            made[at : at + len(piece)] = piece
        elif kind == "insert":
            made[at:at] = piece
        elif kind == "delete":
            del made[at : at + number]
        elif kind == "cut":
            del made[at:]
        elif kind == "repeat":
            made[at:at] = made[at : at + number] * (1 + number % 7)
        elif kind == "splice":
            made[at:] = other[int(where * len(other)) :]
    return bytes(made)


@cache
def scratch() -> Path:
    """Return a folder for the files of this process's inputs."""
    folder = Path(tempfile.mkdtemp(prefix="fuzzing-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def file_of(data: bytes, name: str) -> Path:
    """Write an input to a file of this name and return its path."""
    path = scratch() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
