"""Faults, injected into small runs: afterwards the same command must give exactly the rows of an undisturbed run.

    python -m benchmarks.faults [--short] [--only KIND ...]

Every trial is a process of its own. A *disk* that is full from the n-th write on and a *clock* that jumps are made by
a preloaded library (`faults.c`; it takes Linux and a C compiler): every write below the run's folder counts, SQLite's
too. *Killed* is SIGKILL at the n-th of all steps: before and after each transmission, score, image, memo entry,
transaction and exported file, and between writing a file and giving it its name. *Damaged* are bytes turned over in
every memo file, in every reconstruction and, every 256 bytes, in the database. `--short` tries every 17th. It exits
with 1 if a row was lost or changed, if anything but an error of our own came out, or if something finished was done
again.
"""

import argparse
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from semcomm import Ledger, Link, Reception, memo, open_results, run
from semcomm.analysis.figures import draw
from semcomm.analysis.report import write_report
from semcomm.errors import SemcommError
from semcomm.files import Files
from semcomm.images import ImageSet, quantise, read_image, write_image
from semcomm.runs import engine, results
from semcomm.runs.folder import locked
from semcomm.runs.store import DATABASE, Store

FINISHED, REFUSED, WRONG = 0, 3, 4
Trial = Callable[[Path], None]


class Kept(Link):
    """Adds noise, and something that is kept in the memo."""

    def __init__(self, number: int = 0):
        self.number = number

    def transmit(self, images, channel, seeds):
        offset = memo.current().get({"offset": self.number}, lambda: np.float32(0.01 * self.number).tobytes())
        sent = images + float(np.frombuffer(offset, np.float32)[0])
        noise = [torch.empty(i.shape).normal_(generator=s.generator("noise")) for i, s in zip(images, seeds)]
        return Reception(
            quantise(sent + 0.1 * torch.stack(noise)),
            Ledger.of(images, source_bits=1),
            {"power": [0.1] * len(images), "decode_failed": [False] * len(images)},
        )


def experiment(images: Path, **changes: Any) -> dict:
    """Return the run that is disturbed: eight batches of one image."""
    return {
        "transceivers": {"kept": {"class_path": "benchmarks.faults.Kept"}},
        "channels": {"awgn": "AWGN"},
        "sweep": {"channel.snr_db": [0, 10], "number": [1, 2]},
        "images": {"path": str(images)},
        "metrics": ["PSNR", "MSE"],
        "batch_size": 1,
        "keep": "all",
        **changes,
    }


class Bench:
    """Two images, the rows of an undisturbed run of them, and a table of what was tried."""

    def __init__(self, folder: Path, every: int) -> None:
        self.folder = folder
        self.every = every
        self.images = folder / "images"
        self.images.mkdir()
        for name, image in ImageSet(limit=2, size=24):
            write_image(self.images / f"{name}.png", image)
        self.plan = experiment(self.images)
        self.reference = run(self.plan, folder / "reference").table
        draw(open_results(folder / "reference"), folder / "warm")
        self.lines: list[tuple[str, int, int, int]] = []
        self.failures: list[str] = []
        self._number = 0

    def tries(self, numbers: range) -> range:
        """Return the numbers to try: all of them, or every so many."""
        return numbers[:: self.every]

    def new(self, started: bool = False) -> Path:
        """Return a new folder for a run, empty or with a finished run in it."""
        self._number += 1
        folder = self.folder / f"run-{self._number}"
        if started:
            shutil.copytree(self.folder / "reference", folder)
        return folder

    def series(self, what: str, trials: Iterator[tuple[Path, Trial]], stops: set[int]) -> None:
        """Disturb runs, finish them, compare.

        Args:
            what: the line of the table.
            trials: folder of a run, and what is done in a process of its own.
            stops: how such a process may end: `FINISHED`, `REFUSED` with an error of ours, or -SIGKILL.
        """
        tried = stopped = lost = 0
        for folder, trial in trials:
            ended = in_process(lambda folder=folder, trial=trial: trial(folder))
            after = in_process(lambda folder=folder: self.finish(folder))
            tried += 1
            stopped += ended != FINISHED
            if ended not in stops or after != FINISHED:
                lost += 1
                self.failures.append(f"{what}: trial {tried} ended with {ended}, and finishing it with {after}")
            shutil.rmtree(folder, ignore_errors=True)
        self.lines.append((what, tried, stopped, lost))
        print(f"| {what} | {tried} | {stopped} | {lost or 'nothing'} |", flush=True)

    def finish(self, folder: Path) -> None:
        """Run the same command again: nothing that is there may be done again, and the rows must be right."""
        there = _finished(folder)
        do = engine.Engine.do

        def doing(self: engine.Engine, task: engine.Task) -> engine.Done:
            done = do(self, task)
            again = [key for key in done.receptions if key in there and None not in task.received]
            assert not again, f"done twice: {again}"
            return done

        engine.Engine.do = doing
        table = run(self.plan, folder).table
        seconds = ["transmit_seconds", "score_seconds"]
        pd.testing.assert_frame_equal(table.drop(columns=seconds), self.reference.drop(columns=seconds))
        for name, read in (("results.parquet", pd.read_parquet), ("results.csv", pd.read_csv)):
            assert len(read(folder / name)) == len(table)


def in_process(act: Callable[[], None]) -> int:
    """Do something in a process of its own and say how that ended."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        act()
    except SemcommError as error:
        clear = "\n" not in str(error) and len(str(error)) > 20
        os._exit(REFUSED if clear else WRONG)
    except BaseException:
        traceback.print_exc()
        os._exit(WRONG)
    os._exit(FINISHED)


def _finished(folder: Path) -> set[str]:
    if not (folder / DATABASE).exists():
        return set()
    with contextlib.suppress(SemcommError):
        store = Store(folder, reading=True)
        keys = {row[0] for row in store._db.execute("SELECT key FROM receptions")}
        store.close()
        return keys
    return set()


# Killed


def _steps(reached: Callable[[str], None]) -> None:
    """Call `reached` at every step of a run in this process."""

    def around(owner: Any, name: str, stage: str) -> None:
        inner = getattr(owner, name)

        def outer(*args: Any, **kwargs: Any) -> Any:
            reached(stage)
            value = inner(*args, **kwargs)
            reached(stage)
            return value

        setattr(owner, name, outer)

    around(engine, "_sent", "transmit")
    around(engine.Engine, "_score", "score")
    around(Store, "_put", "store")
    around(Store, "add", "store")
    around(Files, "write", "store")
    around(Path, "replace", "store")
    around(results, "write_whole", "export")


def killed(bench: Bench) -> None:
    """SIGKILL at every step, by stage."""
    counts = bench.folder / "counts"

    def count(folder: Path) -> None:
        seen: dict[str, int] = {}
        _steps(lambda stage: seen.update({stage: seen.get(stage, 0) + 1}))
        run(bench.plan, folder)
        counts.write_text(repr(seen))

    assert in_process(lambda: count(bench.new())) == FINISHED
    for stage, total in eval(counts.read_text()).items():

        def trials(stage: str = stage, total: int = total) -> Iterator[tuple[Path, Trial]]:
            for last in bench.tries(range(1, total + 1)):

                def trial(folder: Path, last: int = last) -> None:
                    left = iter(range(last - 1, -1, -1))

                    def reached(here: str) -> None:
                        if here == stage and next(left) == 0:
                            os.kill(os.getpid(), signal.SIGKILL)

                    _steps(reached)
                    run(bench.plan, folder)

                yield bench.new(), trial

        bench.series(f"killed at a step of: {stage}", trials(), {-signal.SIGKILL})


# Full disk, jumping clock


def _library() -> Any:
    library = ctypes.CDLL(None)
    library.watch.argtypes = [ctypes.c_char_p, ctypes.c_long]
    library.writes_seen.restype = ctypes.c_long
    library.jump.argtypes = [ctypes.c_long]
    return library


def full_disk(bench: Bench) -> None:
    """Every write below the folder of the run refused from the n-th on, for every n; report and figures too."""
    library, counted = _library(), bench.folder / "writes"

    def work(folder: Path, first: int) -> None:
        library.watch(str(folder).encode(), first)
        run(bench.plan, folder)
        found = open_results(folder)
        draw(found, folder / "figures")
        write_report(found, folder / "report.html")
        seen = library.writes_seen()
        library.watch(b"", -1)
        counted.write_text(str(seen))

    assert in_process(lambda: work(bench.new(), -1)) == FINISHED
    total = int(counted.read_text())
    trials = (
        (bench.new(), lambda folder, first=first: work(folder, first)) for first in bench.tries(range(1, total + 1))
    )
    bench.series("disk full from a write on", trials, {REFUSED})


def clock(bench: Bench) -> None:
    """The time of day jumps in mid-run and before the run goes on; files get the dates of the wrong time."""
    library = _library()

    def trials() -> Iterator[tuple[Path, Trial]]:
        for seconds in (-(10**9), -86_400, -1, 3600, 10**9):

            def trial(folder: Path, seconds: int = seconds) -> None:
                def progress(state: Any) -> None:
                    if state.done == 4:
                        before = time.time()
                        library.jump(seconds)
                        assert abs(time.time() - before - seconds) < 60
                        for image in bench.images.iterdir():
                            os.utime(image)
                        raise KeyboardInterrupt

                with contextlib.suppress(KeyboardInterrupt):
                    run(bench.plan, folder, on_progress=progress)
                run(bench.plan, folder)

            yield bench.new(), trial

    bench.series("clock jumps", trials(), {FINISHED})


# Damage


def _flip(path: Path, at: int, length: int = 16) -> None:
    data = bytearray(path.read_bytes())
    for n in range(at, min(at + length, len(data))):
        data[n] ^= 0xFF
    path.write_bytes(data)


def damaged(bench: Bench) -> None:
    """Bytes turned over in what is kept, and files cut short."""
    size = (bench.folder / "reference" / DATABASE).stat().st_size

    def database() -> Iterator[tuple[Path, Trial]]:
        for at in bench.tries(range(0, size, 256)):
            yield bench.new(started=True), lambda folder, at=at: _flip(folder / DATABASE, at)
        for length in bench.tries(range(0, size, 2048)):
            yield bench.new(started=True), lambda folder, length=length: os.truncate(folder / DATABASE, length)

    bench.series("database damaged or cut short", database(), {FINISHED})

    def images() -> Iterator[tuple[Path, Trial]]:
        """A damaged image must be found when a metric is added, sent again, and said."""
        names = sorted(p.relative_to(bench.folder / "reference") for p in bench.folder.glob("reference/rec*/*/*.png"))
        for number, name in enumerate(names):

            def trial(folder: Path, name: Path = name, number: int = number) -> None:
                _flip(folder / name, 40 + 7 * number)
                with warnings.catch_warnings(record=True) as said:
                    warnings.simplefilter("always")
                    more = {**bench.plan, "metrics": ["PSNR", "MSE", "SSIM"]}
                    with_ssim = run(more, folder).table
                assert any("damaged" in str(w.message) for w in said)
                assert with_ssim["SSIM"].notna().all()
                assert (with_ssim["PSNR"] == bench.reference["PSNR"]).all()
                read_image(folder / name)
                shutil.rmtree(folder)

            yield bench.new(started=True), trial

    bench.series("reconstruction damaged", images(), {FINISHED})

    def cache() -> Iterator[tuple[Path, Trial]]:
        names = [p.relative_to(bench.folder / "reference") for p in bench.folder.glob("reference/memo/*/*")]
        for name in names:
            for at in (0, 33):

                def trial(folder: Path, name: Path = name, at: int = at) -> None:
                    _flip(folder / name, at)
                    (folder / DATABASE).unlink()
                    with warnings.catch_warnings(record=True) as said:
                        warnings.simplefilter("always")
                        run(bench.plan, folder)
                    assert any("damaged" in str(w.message) for w in said)

                yield bench.new(started=True), trial

    bench.series("cache file damaged", cache(), {FINISHED})


# Images that change, two runs in a folder


def dataset(bench: Bench) -> None:
    """An image is changed, with its date and size as before, taken away or added, in mid-run and after a stop."""
    first, second = sorted(bench.images.iterdir())

    @contextlib.contextmanager
    def changed(how: str) -> Iterator[None]:
        data, dates = second.read_bytes(), second.stat()
        extra = bench.images / "zebra.png"
        if how == "replaced":
            write_image(second, read_image(first))
        elif how == "changed in place":
            write_image(second, read_image(second).flip(1))
            os.utime(second, ns=(dates.st_atime_ns, dates.st_mtime_ns))
        elif how == "gone":
            second.unlink()
        else:
            shutil.copy(first, extra)
        try:
            yield
        finally:
            extra.unlink(missing_ok=True)
            second.write_bytes(data)
            os.utime(second, ns=(dates.st_atime_ns, dates.st_mtime_ns))

    def trials() -> Iterator[tuple[Path, Trial]]:
        for how in ("replaced", "changed in place", "gone", "added"):

            def stopped(folder: Path, how: str = how) -> None:
                def progress(state: Any) -> None:
                    if state.done == 2:
                        raise KeyboardInterrupt

                with contextlib.suppress(KeyboardInterrupt):
                    run(bench.plan, folder, on_progress=progress)
                with changed(how):
                    run(bench.plan, folder)

            yield bench.new(), stopped
        for how in ("replaced", "changed in place"):

            def going(folder: Path, how: str = how) -> None:
                with contextlib.ExitStack() as stack:
                    run(
                        bench.plan,
                        folder,
                        on_progress=lambda state: stack.enter_context(changed(how)) if state.done == 2 else None,
                    )

            yield bench.new(), going

    bench.series("images changed under the run", trials(), {REFUSED})


def two_runs(bench: Bench) -> None:
    """A second run in a folder names the process that holds it, and one that was killed holds nothing."""

    def trials() -> Iterator[tuple[Path, Trial]]:
        for stage in ("alive", "killed"):

            def trial(folder: Path, stage: str = stage) -> None:
                reading, writing = os.pipe()
                pid = os.fork()
                if not pid:
                    with locked(folder):
                        os.write(writing, b"!")
                        time.sleep(600)
                os.read(reading, 1)
                try:
                    if stage == "alive":
                        try:
                            run(bench.plan, folder)
                        except SemcommError as error:
                            assert f"process {pid} on" in str(error)
                            return
                        raise AssertionError("two runs in a folder")
                finally:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                run(bench.plan, folder)

            yield bench.new(), trial

    bench.series("two runs in one folder", trials(), {FINISHED})


KINDS: dict[str, Callable[[Bench], None]] = {
    "killed": killed,
    "disk": full_disk,
    "clock": clock,
    "damaged": damaged,
    "dataset": dataset,
    "two": two_runs,
}
PRELOADED = ("disk", "clock")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="every 17th of the many")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if "SEMCOMM_FAULTS" not in os.environ and set(PRELOADED) & set(arguments.only):
            library = Path(folder) / "faults.so"
            source = Path(__file__).with_suffix(".c")
            compiler = shutil.which("cc") or shutil.which("gcc")
            if compiler and sys.platform == "linux":
                subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
                environment = {**os.environ, "LD_PRELOAD": str(library), "SEMCOMM_FAULTS": "preloaded"}
                return subprocess.run(
                    [sys.executable, "-m", "benchmarks.faults", *sys.argv[1:]], env=environment
                ).returncode
            print("No C compiler on Linux: disk and clock are left out.")
            arguments.only = [kind for kind in arguments.only if kind not in PRELOADED]
        torch.set_num_threads(1)
        bench = Bench(Path(folder), 17 if arguments.short else 1)
        print("| fault | tried | runs that it stopped | rows lost |\n|---|---|---|---|")
        for kind in arguments.only:
            KINDS[kind](bench)
    print("\n".join(bench.failures))
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
