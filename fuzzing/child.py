"""One process that feeds a target until its time is up, it hangs, or it dies: `python -m fuzzing` starts it.

What it feeds lies in a file, so that its parent has the input of which it died. A hang is ended after `HANG_SECONDS`,
and memory is limited to `MEMORY_BYTES` more than it had when it began (both as the system allows).
"""

import contextlib
import faulthandler
import hashlib
import json
import os
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

HANG_SECONDS = 10
MEMORY_BYTES = 2 * 2**30
NUMBA = [f"semcomm.codecs.ldpc.{name}" for name in ("kernel", "rate_matching", "encoder", "crc", "base_graphs")]
NUMBA += ["semcomm.codecs.bilevel", "semcomm.metrics.sess.matching"]
"""Modules of functions that numba compiles, which it cannot once atheris has put its counters into them."""


class Journal:
    """A record of the inputs, their outcomes, and the findings.

    Args:
        name: of the target.
        folder: for the files of this process: `input`, `stats.json`, and the findings.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self.seen: set[str] = set()
        self.written = 0.0
        self.began = time.monotonic()
        self.input = os.open(folder / "input", os.O_RDWR | os.O_CREAT)

    def feed(self, target, data: bytes) -> None:
        """Feed one input and note what comes of it."""
        os.pwrite(self.input, data, 0)
        os.ftruncate(self.input, len(data))
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        began = time.process_time()
        try:
            self.outcomes[target(data)] += 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.outcomes["finding"] += 1
            self._keep(data, error)
        finally:
            faulthandler.cancel_dump_traceback_later()
        self.slowest = max(self.slowest, time.process_time() - began)
        if time.monotonic() - self.written > 0.5:
            self.write()

    def _keep(self, data: bytes, error: BaseException) -> None:
        """Keep the first input of each kind of finding: the error's type, and where in our code it came from."""
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "semcomm" in f.filename] or [None]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames[-1] else "outside"
        kind = f"{type(error).__name__} in {place}"
        if kind in self.seen:
            return
        self.seen.add(kind)
        stem = f"{self.name}-{hashlib.sha256(kind.encode()).hexdigest()[:8]}"
        (self.folder / f"{stem}.bin").write_bytes(data)
        text = "".join(traceback.format_exception(error))
        (self.folder / f"{stem}.txt").write_text(f"{kind}\n{text}", errors="replace")

    def write(self) -> None:
        """Write how far it is."""
        self.written = time.monotonic()
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        facts = {
            "outcomes": self.outcomes,
            "seconds": time.monotonic() - self.began,
            "slowest": round(self.slowest, 2),
            "peak_mb": peak,
        }
        (self.folder / "stats.json").write_text(json.dumps(facts))


def with_hypothesis(target, journal: Journal, seconds: float, seed: int) -> None:
    """Feed inputs of the strategy that the short form uses, in rounds of another seed each."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    from fuzzing.target import inputs

    strategy = inputs(target)
    ends = time.monotonic() + seconds
    quiet = settings(
        max_examples=200, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    while time.monotonic() < ends:
        seed += 1

        @seeded(seed)
        @quiet
        @given(strategy)
        def feed(data: bytes) -> None:
            if time.monotonic() < ends:
                journal.feed(target, data)

        feed()


def with_atheris(target, journal: Journal, seconds: float, seed: int) -> None:
    """Feed what libFuzzer makes of the good inputs, led by the coverage of our Python code."""
    import atheris

    corpus = journal.folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, good in enumerate(target.good()):
        (corpus / f"good-{number}").write_bytes(good)
    words = journal.folder / "words"
    quoted = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words)
    words.write_text("".join(f'"{word}"\n' for word in quoted if word))
    limits = [f"-max_total_time={int(seconds)}", f"-seed={seed + 1}", "-max_len=8192", "-rss_limit_mb=0", "-timeout=99"]
    argv = [
        sys.argv[0],
        *limits,
        "-verbosity=0",
        f"-artifact_prefix={journal.folder}/",
        *([f"-dict={words}"] if target.words else []),
    ]
    atheris.Setup([*argv, str(corpus)], lambda data: journal.feed(target, data))
    atheris.Fuzz()


def main(name: str, engine: str, seconds: float, seed: int, folder: Path) -> None:
    """Feed a target and leave the journal in `folder`."""
    if engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["semcomm"], exclude=NUMBA, enable_loader_override=False):
            from fuzzing.targets import TARGETS
    else:
        from fuzzing.targets import TARGETS
    import torch

    torch.set_num_threads(1)
    target = TARGETS[name]
    journal = Journal(name, folder)
    refused = [good for good in target.good() if target(good) != "accepted"]
    if len(refused) == len(target.good()):
        raise SystemExit(f"{name}: refuses all of its own good inputs")
    with contextlib.suppress(ImportError, OSError):
        import resource

        with Path("/proc/self/status").open() as status:
            now = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
        resource.setrlimit(resource.RLIMIT_DATA, (now + MEMORY_BYTES, now + MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    (with_atheris if engine == "atheris" else with_hypothesis)(target, journal, seconds, seed)
    journal.write()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
