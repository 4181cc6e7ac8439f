"""Bytes by name, in a folder or wherever fsspec reaches: S3, GCS, HDFS, a server."""

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from semcomm.errors import ConfigurationError, RunError

T = TypeVar("T")
ATTEMPTS = 6
"""Attempts at a store over a network before it counts as broken; the pauses between double from `PAUSE` on."""
PAUSE = 0.1


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


class Files:
    """Bytes by name in a folder, or behind a URL that fsspec knows; names may have folders in them.

    On this machine a file is there whole or not at all. What fails behind a URL is tried again, with growing pauses;
    whether a file is there whole is up to the store, and whoever reads it checks its hash.

    Args:
        place: folder, made if need be, or a URL such as `s3://bucket/run`.

    Raises:
        ConfigurationError: when fsspec does not know such a URL, or lacks the package that it takes.
    """

    def __init__(self, place: str | Path) -> None:
        from fsspec.core import url_to_fs
        from fsspec.implementations.dirfs import DirFileSystem

        self.place = str(place).rstrip("/")
        self._remote = "://" in self.place
        try:
            system, root = url_to_fs(self.place if self._remote else str(Path(place).absolute()))
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"{place}: cannot be used as a store ({error})") from None
        self._system = DirFileSystem(root, system)

    def has(self, name: str) -> bool:
        """Say whether there is something of this name."""
        return self._patiently(name, lambda: self._system.exists(name))

    def read(self, name: str) -> bytes | None:
        """Return what has this name, or None.

        Raises:
            RunError: when the store refuses for good.
        """

        def read() -> bytes | None:
            with suppress(FileNotFoundError):
                return self._system.cat_file(name)
            return None

        return self._patiently(name, read)

    def write(self, name: str, data: bytes) -> None:
        """Keep bytes under a name.

        Raises:
            RunError: when the store refuses for good.
        """
        if not self._remote:
            return write_whole(Path(self.place) / name, data)

        def write() -> None:
            self._system.makedirs(name.rpartition("/")[0], exist_ok=True)
            self._system.pipe_file(name, data)

        return self._patiently(name, write)

    def remove(self, name: str) -> None:
        """Forget a name, if it is there."""

        def remove() -> None:
            with suppress(FileNotFoundError):
                self._system.rm_file(name)

        self._patiently(name, remove)

    def at(self, name: str) -> str:
        """Return where something of this name is, for messages."""
        return f"{self.place}/{name}"

    def _patiently(self, name: str, act: Callable[[], T]) -> T:
        attempts = ATTEMPTS if self._remote else 1
        for attempt in range(attempts):
            if attempt:
                time.sleep(PAUSE * 2 ** (attempt - 1))
            try:
                return act()
            except Exception as error:  # every kind of store has errors of its own
                failure = error
        tried = f", tried {attempts} times" if self._remote else ""
        raise RunError(
            f"{self.at(name)}: cannot be read or written ({type(failure).__name__}: {failure}{tried}). Finished rows "
            "are safe; mend that and run the same command again"
        ) from failure


def files_at(place: str | Path, *under: str) -> Files:
    """Return the files in a folder or behind a URL, or in folders `under` it."""
    return Files("/".join([str(place).rstrip("/"), *under]))
