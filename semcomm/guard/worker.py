"""The guard's process: answers requests until there are no more."""

import importlib
import json
import os
import sys
from typing import BinaryIO

import numpy as np

from semcomm.errors import DecodeError

_BYTES_OF_LENGTH = 8


def serve() -> None:
    """Read requests from the standard input and write answers to what was the standard output.

    How many bytes of memory it may allocate is on the command line.
    """
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where libraries may print as they like
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_DATA", int(sys.argv[2]))
    while True:
        try:
            request, payload = json.loads(_read(requests)), _read(requests)
        except EOFError:
            return
        _limit("RLIMIT_CPU", int(_seconds_used()) + 1 + request["seconds"])
        header, pixels = _answer(request, payload)
        text = json.dumps(header).encode()
        answers.write(len(text).to_bytes(_BYTES_OF_LENGTH, "big") + text)
        if pixels is not None:
            answers.write(pixels.data)
        answers.flush()


def _answer(request: dict, payload: bytes) -> tuple[dict, np.ndarray | None]:
    """Return the header of the answer, and the pixels if there are any."""
    try:
        decoder = getattr(importlib.import_module(request["module"]), request["name"])
    except (ImportError, AttributeError) as error:
        return {"kind": "import", "text": str(error)}, None
    try:
        pixels = np.ascontiguousarray(decoder(payload, *request["arguments"]))
    except MemoryError:
        return {"kind": "memory", "text": "needs more memory than it may have"}, None
    except DecodeError as error:
        return {"kind": "failed", "text": str(error)}, None
    except Exception as error:  # whatever a decoder makes of damage, it is no image
        return {"kind": "failed", "text": f"{request['name']}: {type(error).__name__}: {error}"}, None
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        found = f"{pixels.dtype} {list(pixels.shape)}"
        return {"kind": "failed", "text": f"{request['name']}: gave {found}, not uint8 [H, W, 3]"}, None
    return {"kind": "pixels", "shape": pixels.shape}, pixels


def _read(stream: BinaryIO) -> bytes:
    length = stream.read(_BYTES_OF_LENGTH)
    if len(length) < _BYTES_OF_LENGTH:
        raise EOFError
    count = int.from_bytes(length, "big")
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _limit(name: str, value: int) -> None:
    """Set a limit of this process, where the system has such limits."""
    try:
        import resource

        which = getattr(resource, name)
        hard = resource.getrlimit(which)[1]
        resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    except (ImportError, AttributeError, ValueError, OSError):
        pass


def _seconds_used() -> float:
    times = os.times()
    return times.user + times.system
