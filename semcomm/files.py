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
"""How often a store over a network is asked before it counts as broken; the pauses between double from `PAUSE` on."""
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
    """Bytes by name in a folder; names may have folders in them.

    Args:
        folder: made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, name: str) -> bool:
        """Say whether there is something of this name."""
        return (self.folder / name).exists()

    def read(self, name: str) -> bytes | None:
        """Return what has this name, or None.

        Raises:
            RunError: when the disk refuses.
        """
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunError(f"{self.at(name)}: cannot be read ({error.strerror or error})") from error

    def write(self, name: str, data: bytes) -> None:
        """Keep bytes under a name, whole or not at all.

        Raises:
            RunError: when the disk refuses.
        """
        write_whole(self.folder / name, data)

    def remove(self, name: str) -> None:
        """Forget a name, if it is there."""
        (self.folder / name).unlink(missing_ok=True)

    def at(self, name: str) -> str:
        """Return where something of this name is, for messages."""
        return str(self.folder / name)


class RemoteFiles(Files):
    """The same behind a URL that fsspec knows.

    What fails is tried again, with growing pauses. Whether a file is there whole is up to the store; whoever reads it
    checks its hash.

    Args:
        url: such as `s3://bucket/run`.

    Raises:
        ConfigurationError: when fsspec does not know such a URL, or lacks the package that it takes.
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.url = url.rstrip("/")
        try:
            self._system, self._root = url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"{url}: cannot be used as a store ({error})") from None

    def has(self, name: str) -> bool:
        """Say whether there is something of this name."""
        return self._patiently(name, lambda path: self._system.exists(path))

    def read(self, name: str) -> bytes | None:
        """Return what has this name, or None."""

        def read(path: str) -> bytes | None:
            try:
                return self._system.cat_file(path)
            except FileNotFoundError:
                return None

        return self._patiently(name, read)

    def write(self, name: str, data: bytes) -> None:
        """Keep bytes under a name.

        Raises:
            RunError: when the store refuses for good.
        """

        def write(path: str) -> None:
            self._system.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            self._system.pipe_file(path, data)

        self._patiently(name, write)

    def remove(self, name: str) -> None:
        """Forget a name, if it is there."""

        def remove(path: str) -> None:
            with suppress(FileNotFoundError):
                self._system.rm_file(path)

        self._patiently(name, remove)

    def at(self, name: str) -> str:
        """Return where something of this name is, for messages."""
        return f"{self.url}/{name}"

    def _patiently(self, name: str, act: Callable[[str], T]) -> T:
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE * 2 ** (attempt - 1))
            try:
                return act(f"{self._root}/{name}")
            except Exception as error:  # every kind of store has errors of its own
                failure = error
        raise RunError(
            f"{self.at(name)}: the store failed {ATTEMPTS} times ({type(failure).__name__}: {failure}). Finished rows "
            "are safe; mend that and run the same command again"
        ) from failure


def files_at(place: str | Path, *under: str) -> Files:
    """Return the files in a folder or behind a URL, or in folders `under` it."""
    if "://" in str(place):
        return RemoteFiles("/".join([str(place).rstrip("/"), *under]))
    return Files(Path(place, *under))
