"""The training loop beside the network alone: trained megapixels per second, and the network's share of the time.

    python -m benchmarks.training FOLDER [--steps 20] [--batch 16] [--crop 96] [--precision fp32] [--device cpu]

The loop is LSCI's training as it stands: images, crops, channel, loss, optimiser and moving average. The network
alone is the same steps on batches that lie on the device already.
"""

import argparse
import tempfile
import time
from pathlib import Path

from semcomm.training import Settings
from semcomm.training.loop import Trainer
from semcomm.training.processes import Processes
from semcomm.training.tasks import LSCITraining

WARM_UP = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    for name, value in (("steps", 20), ("batch", 16), ("crop", 96), ("workers", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(arguments, Path(folder))
        loop, alone = seconds_of_loop(trainer, arguments.steps), seconds_alone(trainer, arguments.steps)
    megapixels = arguments.batch * arguments.crop**2 / 1e6
    print("| device | precision | loop, megapixels per second | network alone | share of the network |")
    print("|---|---|---|---|---|")
    rates = f"{megapixels / loop:.3g} | {megapixels / alone:.3g} | {100 * alone / loop:.0f} %"
    print(f"| {trainer.device} | {arguments.precision} | {rates} |")


def trainer_of(arguments: argparse.Namespace, out: Path) -> Trainer:
    """Return a training before its first step; its schedule is longer than what is measured."""
    task = LSCITraining([arguments.folder], crop=arguments.crop, val_fraction=0.0)
    task.begin = lambda module: None  # the linear code is no part of the loop
    keys = {key: getattr(arguments, key) for key in ("batch", "precision", "device", "workers")}
    settings = Settings(steps=10 * (arguments.steps + WARM_UP), **keys)
    return Trainer(task, settings, out, print, Processes(settings.device))


def seconds_of_loop(trainer: Trainer, steps: int) -> float:
    """Return the time of a step in the loop, batches included."""
    batches = trainer._batches()
    for step, batch in enumerate(batches):
        if step == WARM_UP:
            began = time.perf_counter()
        trainer._one_step(batch)
        trainer.step += 1
        if step + 1 == steps + WARM_UP:
            break
    seconds = (time.perf_counter() - began) / steps
    batches.close()
    return seconds


def seconds_alone(trainer: Trainer, steps: int) -> float:
    """Return the time of a step on batches that lie on the device: those of as many steps, prepared before."""
    device = trainer.device
    batches = [{k: v.to(device) for k, v in trainer._batch(step).items()} for step in range(steps)]
    began = time.perf_counter()
    for batch in batches:
        trainer._one_step(batch)
    return (time.perf_counter() - began) / steps


if __name__ == "__main__":
    main()
