"""The sweep engine by itself: how its time and memory grow with the rows of a run.

    python -m benchmarks.sweep [--rows 1000 10000 100000]

The link alters eight pixels and the metric is PSNR of 16x16 pixels, so what is measured is the engine: a hundred
points (ten settings of the link over ten SNRs), ten realisations, and as many images as it takes; one worker.
`resume` runs a finished run again and `report` makes its figures and report, each as a command of its own, from start
to exit; in brackets what they took of a processor, which is the same on a busy machine.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from semcomm import Ledger, Link, Reception

PER_PICTURE = 1000
SCRIPT = """
import json, resource, sys, time
from semcomm.runs.run import run
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
at_work = []
began = time.perf_counter()
def progress(state):
    if state.done == 100: at_work.append(peak())
    if state.done == state.total: at_work.extend([peak(), time.perf_counter() - began])
run(sys.argv[1], sys.argv[2], on_progress=progress)
print(json.dumps({"early": at_work[0], "working": at_work[-2], "seconds": at_work[-1], "peak": peak()}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    arguments = parser.parse_args()
    print(
        "| rows | ms per row | MB after 100 batches | MB after all | MB with the table | resume (s) | report (s) |\n"
        "|---|---|---|---|---|---|---|"
    )
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            file, out = _experiment(Path(folder), -(-rows // PER_PICTURE)), str(Path(folder) / "run")
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT, file, out], stdout=subprocess.PIPE, text=True, check=True
            )
            found = json.loads(done.stdout)
            resume = _seconds("run", file, "--out", out, "--workers", "1", "--no-report")
            report = _seconds("report", out)
        each = 1000 * found["seconds"] / rows
        print(
            f"| {rows} | {each:.2f} | {found['early']:.0f} | {found['working']:.0f} | {found['peak']:.0f} "
            f"| {resume} | {report} |",
            flush=True,
        )


def _experiment(folder: Path, images: int) -> str:
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(images):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:04}.png")
    experiment = {
        "transceivers": {"marking": {"class_path": "benchmarks.sweep.Marking"}},
        "channels": {"awgn": "AWGN"},
        "sweep": {"channel.snr_db": list(range(10)), "number": list(range(10))},
        "images": {"path": str(folder / "images")},
        "metrics": ["PSNR"],
        "realisations": PER_PICTURE // 100,
    }
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment))
    return str(file)


def _seconds(*command: str) -> str:
    began, used = time.perf_counter(), _processor_time()
    subprocess.run([sys.executable, "-m", "semcomm", *command], stdout=subprocess.DEVNULL, check=True)
    return f"{time.perf_counter() - began:.1f} ({_processor_time() - used:.1f})"


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Marking(Link):
    """Gives back what it is given but for eight random values, so that no two reconstructions are alike."""

    def __init__(self, number: int = 0):
        self.number = number

    def transmit(self, images, channel, seeds):
        arrived = images.clone()
        for image, seed in zip(arrived, seeds):
            rng = np.random.default_rng(int(seed.generator(f"{self.number} {channel.snr_db}").initial_seed()))
            image[:, 0, :8] = image.new_tensor(rng.integers(0, 256, (3, 8))) / 255
        return Reception(arrived, Ledger.of(images, source_bits=1), {})


if __name__ == "__main__":
    main()
