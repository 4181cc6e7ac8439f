"""`semcomm train`, which is `python -m semcomm.training`."""

import argparse
import os
import shlex
import sys
from collections.abc import Collection, Sequence
from pathlib import Path


def main(argv: Sequence[str], prog: str = "semcomm train") -> None:
    """Train what a training file describes, or go on where the folder left off."""
    parser = argparse.ArgumentParser(prog=prog, description=main.__doc__)
    parser.add_argument("file", type=Path, help="training file (YAML, or JSON)")
    parser.add_argument("set", nargs="*", metavar="KEY=VALUE", help="set a key of the file, e.g. steps=2000")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training: checkpoints, logs, weights")
    parser.add_argument("--export", action="store_true", help="train no further; write the last checkpoint's weights")
    arguments = parser.parse_args(argv)
    from semcomm.training.configuration import assign, build, read_file
    from semcomm.training.loop import train
    from semcomm.training.settings import EXCLUDED_FROM_RECIPE

    sys.path[:0] = [str(arguments.file.resolve().parent), str(Path.cwd())]  # where a user's own tasks are
    data = read_file(arguments.file)
    for text in arguments.set:
        assign(data, text)
    task, settings = build(data)
    command = _for_the_card(arguments.file, arguments.set, EXCLUDED_FROM_RECIPE | task.excluded_from_recipe)
    path = train(task, settings, arguments.out, _say, command, arguments.export)
    if path is not None:
        print(f"weights: {path}\ncard: {path.with_suffix('.md')}")


def _for_the_card(file: Path, assignments: Sequence[str], local: Collection[str]) -> str:
    """Return the command without what says where things are on this machine; with the number of processes.

    Of `start_from`, without which it would train something else, the name is left.
    """
    kept = []
    for text in assignments:
        key, _, value = text.partition("=")
        if key == "start_from":
            kept.append(f"start_from={Path(value).name}")
        elif key.rpartition(".")[2] not in local:
            kept.append(text)
    count = int(os.environ.get("WORLD_SIZE", "1"))
    several = ["torchrun", "--nproc_per_node", str(count), "-m", "semcomm.training"]
    program = several if count > 1 else ["semcomm", "train"]
    return shlex.join([*program, file.name if file.is_absolute() else str(file), *kept, "--out", "DIR"])


def _say(line: str) -> None:
    print(f"semcomm: {line}", file=sys.stderr, flush=True)
