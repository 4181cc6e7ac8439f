"""Decoders that misbehave, for the guard's tests: no torch, since the guard's process imports them."""

import os
import signal
import sys
import time

import numpy as np

from semcomm.errors import DecodeError

COLOUR = bytes([10, 20, 30])


def behaving(payload: bytes) -> np.ndarray:
    """Do what the payload says; one of three bytes is a colour, of which it makes an image."""
    if payload == b"crash":
        os.abort()
    elif payload == b"segfault":
        import ctypes

        ctypes.string_at(0)
    elif payload == b"leave":
        os._exit(3)
    elif payload == b"killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif payload == b"spin":
        while True:
            pass
    elif payload == b"wait":
        time.sleep(3600)
    elif payload == b"eat":
        eaten = []
        while True:
            eaten.append(np.ones(2**22))
    elif payload == b"print":
        os.write(1, b"rubbish on the standard output" * 99)
        print("more of it", flush=True)
    elif payload == b"raise":
        raise ZeroDivisionError("no decoder should")
    elif payload == b"refuse":
        raise DecodeError("this is no image")
    elif payload == b"grey":
        return np.zeros((4, 4), np.uint8)
    elif payload == b"float":
        return np.zeros((4, 4, 3))
    elif payload == b"poison":  # damage that shows at the next image
        sys.modules[__name__].behaving = lambda payload: os.abort()
    return np.broadcast_to(np.frombuffer((payload + COLOUR)[:3], np.uint8), (4, 5, 3))
