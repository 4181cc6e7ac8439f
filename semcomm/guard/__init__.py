"""Native decoders in a process of their own: a stream that crashes one, or takes it too far, costs one image.

libjpeg, OpenJPEG, libwebp, dav1d, libde265 and libjxl are C and C++; what a channel has damaged, or someone has made to
harm, is read by them here. One process is kept for each process that needs it. It is given bytes and gives pixels back,
each with its length before it: nothing that it says is ever unpickled or run. It may take `CPU_SECONDS` for an image
and `MEMORY_BYTES` in all, and ends when its parent does.

It is no sandbox: a decoder that was taken over can do what its user can.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from math import prod

import numpy as np

from semcomm.errors import DecodeError, RunError

CPU_SECONDS = 10
"""Of processor time for one image: how busy the machine is decides nothing."""

WALL_SECONDS = 300
"""Until a decoder that waits for something that never comes is ended; long, so that a busy machine ends no other."""

LARGE_PAYLOAD = 2**23
"""Bytes that are allowed as much time again: 40 megapixels in 15 MB may take a slow machine longer than a hang may."""

MEMORY_BYTES = 2 * 2**30
"""Bytes that the process may allocate, where the system can limit it (Linux)."""

_BYTES_OF_LENGTH = 8
_FROM_OUTSIDE = {getattr(signal, name, None) for name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")}
"""Ends that no damage caused: a system short of memory, someone who stops a run."""


class Guard:
    """A process that decodes, started when it is needed and again when it has died.

    Args:
        cpu_seconds: of processor time for one image.
        wall_seconds: for one image, its way there and back included.
        memory_bytes: that the process may allocate in all.
    """

    def __init__(
        self, cpu_seconds: int = CPU_SECONDS, wall_seconds: float = WALL_SECONDS, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self.cpu_seconds = cpu_seconds
        self.wall_seconds = wall_seconds
        self.memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._owner = 0
        atexit.register(self.close)

    def decode(self, decoder: Callable[..., np.ndarray], payload: bytes, *arguments: str | int) -> np.ndarray:
        """Return `decoder(payload, *arguments)`, computed in the process, `uint8` [H, W, 3].

        Args:
            decoder: a function of a module, which the process imports; without torch in it that takes 0.1 s.
            payload: what to decode.
            arguments: further ones.

        Raises:
            DecodeError: when the decoder raises, gives anything but pixels, crashes, or takes too long or too much.
            ImportError: when the process cannot import the decoder.
            RunError: when someone else ends the process, twice.
        """
        request = {
            "module": decoder.__module__,
            "name": decoder.__qualname__,
            "arguments": list(arguments),
            "seconds": round(self.cpu_seconds * _patience(payload)),
        }
        with self._lock:
            # Damage can show late: a process that has decoded something before gets no blame, and nor does its image.
            fresh = self._start()
            kind, answer = self._asked(request, payload)
            if kind == "killed" or (kind in ("died", "memory") and not fresh):
                self.close()
                self._start()
                kind, answer = self._asked(request, payload)
        if kind == "pixels":
            return answer
        if kind == "killed":
            raise RunError(f"the process that decodes images {answer}; that says nothing of the image, so run again")
        if kind == "import":
            raise ImportError(f"{decoder.__module__}.{decoder.__qualname__} cannot be imported to decode: {answer}")
        raise DecodeError(answer if kind == "failed" else f"{decoder.__qualname__}: {answer}")

    def close(self) -> None:
        """End the process; the next image starts another."""
        process = self._process
        if process is not None and self._owner == os.getpid():  # a forked copy leaves its parent's process alone
            process.kill()
            self._close_input()
            process.stdout.close()
            process.wait()
        self._process = None

    def _start(self) -> bool:
        """Have a process; say whether it is new."""
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return False
        self.close()
        program = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); import semcomm.guard.worker as w; w.serve()"
        limits = [json.dumps(sys.path), str(self.memory_bytes)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **({"process_group": 0} if os.name == "posix" else {}),  # a Ctrl-C is for its parent to see to
        )
        self._owner = os.getpid()
        return True

    def _asked(self, request: dict, payload: bytes) -> tuple[str, np.ndarray | str]:
        """Send a request and return the kind of the answer, and the answer; what died or was late is let go."""
        process = self._process
        rung = []
        alarm = threading.Timer(self.wall_seconds * _patience(payload), lambda: (rung.append(1), process.kill()))
        alarm.daemon = True
        alarm.start()
        try:
            for part in (json.dumps(request).encode(), payload):
                process.stdin.write(len(part).to_bytes(_BYTES_OF_LENGTH, "big") + part)
            process.stdin.flush()
            answer = json.loads(self._read(int.from_bytes(self._read(_BYTES_OF_LENGTH), "big")))
            if answer["kind"] != "pixels":
                return answer["kind"], answer["text"]
            shape = answer["shape"]
            return "pixels", np.frombuffer(self._read(prod(shape)), np.uint8).reshape(shape)
        except (OSError, ValueError, EOFError):
            self._close_input()  # which ends it, if it has not ended yet
            status = process.wait()
            self.close()
            return self._exit_reason(status, bool(rung))
        finally:
            alarm.cancel()

    def _read(self, count: int) -> bytes:
        data = self._process.stdout.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def _exit_reason(self, status: int, late: bool) -> tuple[str, str]:
        """Return what to make of a process that ended with this status."""
        if late:
            return "late", f"took more than {self.wall_seconds} s"
        if -status == getattr(signal, "SIGXCPU", None):
            return "late", f"took more than {self.cpu_seconds} s of processor time"
        if -status in _FROM_OUTSIDE:
            return "killed", f"was killed (signal {-status})"
        return "died", f"crashed (signal {-status})" if status < 0 else f"ended with status {status}"

    def _close_input(self) -> None:
        with suppress(OSError):  # it may hold what a process that died no longer reads
            self._process.stdin.close()


def _patience(payload: bytes) -> float:
    return 1 + len(payload) / LARGE_PAYLOAD


_shared: Guard | None = None


def shared() -> Guard:
    """Return the guard of this process."""
    global _shared
    if _shared is None:
        _shared = Guard()
    return _shared
