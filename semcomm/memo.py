"""What was computed once and is kept: codestreams, embeddings, whatever costs time and depends on its key alone.

Values are bytes. In memory by default; a run puts a folder behind it, shared by its workers. A file carries its own
hash: one that was damaged or cut short is computed again.
"""

import hashlib
import json
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from semcomm.errors import RunError

_DIGEST = 32


def key_of(description: Mapping[str, Any]) -> str:
    """Return the hash (hex, 64 characters) of plain JSON data, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(description, sort_keys=True, allow_nan=True).encode()).hexdigest()


class Memo:
    """A store of bytes by key.

    Args:
        folder: where values outlive the process; None keeps them in memory only.
        memory_bytes: how much is kept in memory, the least recently used going first.
    """

    def __init__(self, folder: Path | None = None, memory_bytes: int = 256 * 2**20) -> None:
        self.folder = folder
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
        return key in self._recent or (self.folder is not None and self._path(key).exists())

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _read(self, key: str) -> bytes | None:
        if self.folder is None:
            return None
        try:
            data = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        digest, value = data[:_DIGEST], data[_DIGEST:]
        if hashlib.sha256(value).digest() != digest:
            warnings.warn(f"{self._path(key)} is damaged; its value is computed again", stacklevel=3)
            return None
        return value

    def _write(self, key: str, value: bytes) -> None:
        if self.folder is None:
            return
        write_whole(self._path(key), hashlib.sha256(value).digest() + value)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever happens meanwhile.

    Raises:
        RunError: when the disk refuses.
    """
    temporary = path.with_name(f".part-{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written ({error.strerror or error}). What is finished is safe; mend that and run the "
            "same command again"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


_current = Memo()


def current() -> Memo:
    """Return the memo of this process."""
    return _current


def use(memo: Memo) -> None:
    """Make `memo` the one of this process; a run does so in each of its workers."""
    global _current
    _current = memo
