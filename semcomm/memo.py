"""Memo of computed values: codestreams, embeddings, whatever costs time and depends on its key alone.

Values are bytes. In memory by default; a run puts a folder behind it, shared by its workers. A file carries its own
hash: one that was damaged or cut short is computed again.
"""

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from semcomm.files import files_at
from semcomm.recipes import key_of

_DIGEST = 32


class Memo:
    """A store of bytes by key.

    Args:
        folder: where values outlive the process, or a URL that fsspec knows; None keeps them in memory only.
        memory_bytes: how much is kept in memory, the least recently used going first.
    """

    def __init__(self, folder: Path | str | None = None, memory_bytes: int = 256 * 2**20) -> None:
        self._files = None if folder is None else files_at(folder)
        self.memory_bytes = memory_bytes
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self._held = 0

    def get(self, description: Mapping[str, Any], compute: Callable[[], bytes]) -> bytes:
        """Return the value kept under `description` (plain JSON data), or compute and keep it.

        What `compute` raises passes through, and nothing is kept.
        """
        key = key_of(description)
        if key in self._recent:
            self._recent.move_to_end(key)
            return self._recent[key]
        value = self._read(key)
        if value is None:
            value = compute()
            self._write(key, value)
        self._recent[key] = value
        self._held += len(value)
        while self._held > self.memory_bytes and len(self._recent) > 1:
            self._held -= len(self._recent.popitem(last=False)[1])
        return value

    def has(self, description: Mapping[str, Any]) -> bool:
        """Say whether a value is kept under `description`, without reading it."""
        key = key_of(description)
        return key in self._recent or (self._files is not None and self._files.has(_name(key)))

    def clear(self) -> None:
        """Forget what is in memory; files stay."""
        self._recent.clear()
        self._held = 0

    def _read(self, key: str) -> bytes | None:
        data = None if self._files is None else self._files.read(_name(key))
        if data is None:
            return None
        digest, value = data[:_DIGEST], data[_DIGEST:]
        if hashlib.sha256(value).digest() != digest:
            warnings.warn(f"{self._files.at(_name(key))} is damaged; its value is computed again", stacklevel=3)
            return None
        return value

    def _write(self, key: str, value: bytes) -> None:
        if self._files is not None:
            self._files.write(_name(key), hashlib.sha256(value).digest() + value)


def _name(key: str) -> str:
    return f"{key[:2]}/{key}"


_current: ContextVar["Memo | None"] = ContextVar("memo", default=None)
_of_process = Memo()


def current() -> Memo:
    """Return the memo in use here: that of the surrounding `using`, else this process's own, which is in memory."""
    return _current.get() or _of_process


@contextmanager
def using(memo: Memo) -> Iterator[None]:
    """Use `memo` inside a `with` block, in this thread; a run does so around its own work and nothing else."""
    token = _current.set(memo)
    try:
        yield
    finally:
        _current.reset(token)
