"""The sweep engine's own overhead per point, and how its time and memory grow with the rows.

    python -m benchmarks.sweep [--rows 10 100 1000]

The link does nothing (its images pass untouched) and no metric is computed, so what is measured is the engine: ten
settings of the link over as many SNRs as it takes, one picture, one worker.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from semcomm import Ledger, Link, Reception

SCRIPT = """
import json, resource, sys, time
from semcomm.sweep.run import run
values = int(sys.argv[2])
experiment = {
    "transceivers": {"nothing": {"class_path": "benchmarks.sweep.Nothing"}},
    "channels": {"awgn": "AWGN"},
    "sweep": {"channel.snr_db": list(range(values // 10)), "number": list(range(10))},
    "images": {"limit": 1, "size": 64},
    "keep": 0,
}
began = time.perf_counter(); run(experiment, sys.argv[1]); first = time.perf_counter() - began
began = time.perf_counter(); run(experiment, sys.argv[1]); again = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rows": values, "first": first, "again": again, "MB": peak}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10, 100, 1000])
    arguments = parser.parse_args()
    found = []
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT, str(Path(folder) / "run"), str(rows)],
                capture_output=True,
                text=True,
                check=True,
            )
            found.append(json.loads(done.stdout))
    print("| rows | run (s) | ms per row | run again (s) | peak memory (MB) |\n|---|---|---|---|---|")
    for f in found:
        each = 1000 * f["first"] / f["rows"]
        print(f"| {f['rows']} | {f['first']:.2f} | {each:.2f} | {f['again']:.2f} | {f['MB']:.0f} |")
    first, last = found[0], found[-1]
    slope = 1000 * (last["first"] - first["first"]) / (last["rows"] - first["rows"])
    print(f"\nEach further point costs {slope:.2f} ms.")


class Nothing(Link):
    """Gives back what it is given."""

    def __init__(self, number: int = 0):
        self.number = number

    def transmit(self, images, channel, seeds):
        return Reception(images, Ledger.of(images, source_bits=1), {})


if __name__ == "__main__":
    main()
