"""The folder of a run as a whole: who holds it, and on which machine it was made."""

import os
import platform
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from filelock import FileLock, Timeout

from semcomm.errors import RunError
from semcomm.files import write_whole


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process. The lock is the system's, so it goes with a process that is killed.

    Raises:
        RunError: when another run has it, naming that one, or the folder cannot be written.
    """
    owner = folder / "run.owner"
    lock = FileLock(folder / "run.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        who = owner.read_text() if owner.exists() else "another process"
        raise RunError(f"{folder}: is in use by {who}; wait for it, or give this run a folder of its own") from None
    except OSError as error:
        raise RunError(
            f"{folder}: cannot be written ({error.strerror or error}); mend that, or use another folder"
        ) from error
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
