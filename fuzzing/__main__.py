"""The long form: feed targets for some time each, and keep the findings.

    python -m fuzzing [TARGET ...] [--seconds 60] [--engine hypothesis|atheris] [--out findings] [--seed 0]
    python -m fuzzing TARGET --input FILE        feed one input again, and see the traceback

Without a target, all of them, one after the other. `atheris` (pip install atheris) follows the coverage of our Python
code; `hypothesis` makes its inputs as the tests do, with more of them. Each target runs in a process of its own, which
is started again when it hangs or dies, and the input of which it died is kept.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

GRACE_SECONDS = 300
"""For imports, good inputs and a last hang."""


def main() -> int:
    """Run the command line; 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--engine", choices=["hypothesis", "atheris"], default="hypothesis")
    parser.add_argument("--out", type=Path, default=Path("findings"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--input", type=Path)
    parser.add_argument("--list", action="store_true", help="print the names of all targets")
    arguments = parser.parse_args()
    from fuzzing.targets import TARGETS

    if arguments.list:
        print(*TARGETS, sep="\n")
        return 0
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if arguments.input:
        print(TARGETS[arguments.targets[0]](arguments.input.read_bytes()))
        return 0
    print("| target | engine | inputs | s | accepted | refused | guard | slowest s | peak MB | found |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    found = 0
    for name in arguments.targets or TARGETS:
        found += _fuzz(name, arguments.engine, arguments.seconds, arguments.seed, arguments.out)
    return int(found > 0)


def _fuzz(name: str, engine: str, seconds: float, seed: int, out: Path) -> int:
    """Feed a target for so long, print a row of the table and return how many kinds of findings there were."""
    out.mkdir(parents=True, exist_ok=True)
    outcomes: Counter[str] = Counter()
    slowest, peak, fed, kinds = 0.0, 0, 0.0, set()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        while (left := seconds - (time.monotonic() - began)) > 1:
            seed += 1000
            command = [sys.executable, "-m", "fuzzing.child", name, engine, str(left), str(seed), scratch]
            with (folder / "words-of-it").open("wb") as said:
                try:
                    status = subprocess.run(
                        command, stdout=said, stderr=said, timeout=left + GRACE_SECONDS, check=False
                    ).returncode
                except subprocess.TimeoutExpired:
                    status = "more than its time"
            if (stats := folder / "stats.json").exists():
                facts = json.loads(stats.read_text())
                outcomes.update(facts["outcomes"])
                slowest, peak = max(slowest, facts["slowest"]), max(peak, facts["peak_mb"])
                fed += facts["seconds"]
                stats.unlink()
            elif status == 0:
                status = "nothing fed"
            for text in folder.glob(f"{name}-*.txt"):
                kinds.add(text.read_text().splitlines()[0])
                for file in (text, text.with_suffix(".bin")):
                    shutil.copy(file, out)
            if status != 0:
                kind = f"{name} ended with {status}"
                kinds.add(kind)
                stem = f"{name}-{engine}-ended-{len(kinds)}"
                if (folder / "input").exists():
                    shutil.copy(folder / "input", out / f"{stem}.bin")
                shutil.copy(folder / "words-of-it", out / f"{stem}.txt")
                if not (folder / "input").exists():
                    break  # it never began
    guard = sum(count for kind, count in outcomes.items() if kind.endswith("in the guard"))
    refused = sum(outcomes.values()) - outcomes["accepted"] - outcomes["finding"] - guard
    row = [name, engine, sum(outcomes.values()), round(fed), outcomes["accepted"], refused, guard]
    print("|", " | ".join(map(str, [*row, slowest, peak, len(kinds)])), "|", flush=True)
    for kind in sorted(kinds):
        print(f"  {kind}", file=sys.stderr, flush=True)
    return len(kinds)


if __name__ == "__main__":
    sys.exit(main())
