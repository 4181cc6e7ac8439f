"""The guard's process: decoders that die, hang, eat memory or talk nonsense cost one image and nothing else."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import bad_decoders
import numpy as np
import pytest
from bad_decoders import COLOUR, behaving

from semcomm import guard
from semcomm.errors import DecodeError, RunError
from semcomm.guard import Guard


@pytest.fixture(scope="module")
def strict():
    """A guard that is soon out of patience."""
    made = Guard(cpu_seconds=1, wall_seconds=10, memory_bytes=2**29)
    yield made
    made.close()


def is_well(it: Guard) -> bool:
    return np.array_equal(it.decode(behaving, COLOUR), behaving(COLOUR))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"crash", rf"behaving: crashed \(signal {int(signal.SIGABRT)}\)"),
        (b"segfault", rf"crashed \(signal {int(signal.SIGSEGV)}\)"),
        (b"leave", "ended with status 3"),
        (b"spin", "more than 1 s of processor time"),
        (b"wait", "more than 10 s"),
        (b"eat", "more memory than it may have"),
        (b"raise", "ZeroDivisionError: no decoder should"),
        (b"refuse", "^this is no image$"),
        (b"grey", r"gave uint8 \[4, 4\]"),
        (b"float", r"gave float64 \[4, 4, 3\]"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="needs signals and limits as Linux has them")
def test_whatever_a_decoder_does_is_a_decode_error_and_the_next_image_is_decoded(strict, payload, reason):
    assert is_well(strict)  # so the decoder is not the first that this process is asked for
    began = time.monotonic()
    with pytest.raises(DecodeError, match=reason):
        strict.decode(behaving, payload)
    assert time.monotonic() - began < 30
    assert is_well(strict)


@pytest.mark.skipif(sys.platform != "linux", reason="needs signals as Linux has them")
def test_a_process_that_was_killed_from_outside_says_nothing_of_the_image(strict):
    with pytest.raises(RunError, match=r"was killed \(signal 9\)"):
        strict.decode(behaving, b"killed")
    strict.decode(behaving, b"abc")
    strict._process.kill()  # between two images: nobody notices
    strict._process.wait()
    assert is_well(strict)


def test_what_a_library_prints_is_no_answer(strict):
    assert strict.decode(behaving, b"print").shape == (4, 5, 3)
    assert is_well(strict)


def test_damage_of_an_earlier_image_is_not_blamed_on_the_next(strict):
    strict.decode(behaving, b"poison")
    assert is_well(strict)


def test_the_process_is_kept_and_its_answers_are_the_decoders(strict):
    strict.decode(behaving, b"abc")
    process = strict._process.pid
    for colour in (b"\0\0\0", b"\xff\0\x80", b"\n\r\n"):
        assert np.array_equal(strict.decode(behaving, colour), behaving(colour))
    assert strict._process.pid == process


def test_a_decoder_that_cannot_be_imported_is_no_damage(strict):
    def inner(payload):
        return None

    with pytest.raises(ImportError, match="inner"):
        strict.decode(inner, b"")
    assert is_well(strict)


def test_a_closed_guard_leaves_no_process_and_starts_again():
    it = Guard()
    assert is_well(it)
    process = it._process
    it.close()
    assert process.poll() is not None
    assert is_well(it)
    it.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_process_ends_with_its_parent_however_that_ends():
    program = (
        "import os, sys; from semcomm import guard; import bad_decoders\n"
        "guard.shared().decode(bad_decoders.behaving, b'abc'); print(guard.shared()._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    paths = os.pathsep.join([str(Path(bad_decoders.__file__).parent), *filter(None, sys.path)])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == -signal.SIGKILL, done.stderr
    child = Path(f"/proc/{int(done.stdout)}")
    for _ in range(100):
        if not child.exists() or ") Z " in child.joinpath("stat").read_text():
            return
        time.sleep(0.1)
    pytest.fail("the decoding process outlived its parent")


def test_one_guard_is_shared():
    assert guard.shared() is guard.shared()
