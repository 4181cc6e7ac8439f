"""Faults in a short form; `python -m benchmarks.faults` tries them all."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="faults are injected by fork, on Linux")
def test_nothing_is_lost():
    command = [sys.executable, "-m", "benchmarks.faults", "--short"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(" | ") for line in done.stdout.splitlines() if line.endswith("| nothing |")]
    assert len(lines) >= 9
    assert all(int(tried) > 0 for _, tried, *_ in lines)
