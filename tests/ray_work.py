"""What the tests of a cluster send: links that say what they do, and a store that fails now and then."""

import os
import random
import time
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from semcomm import Ledger, Link, Metric, Reception
from semcomm.images import quantise


class Slow(Link):
    """Mixes noise of each seed into the images and writes into a diary what it sent; it can be told to die.

    Args:
        number: tells settings apart.
        diary: file that gets a line for each image sent.
        seconds: what a call takes.
        fatal: file; whoever finds it takes it away and dies as the kernel kills for want of memory.
        hungry: file; whoever finds it takes it away and runs out of memory.
    """

    excluded_from_recipe = Link.excluded_from_recipe | {"diary", "seconds", "fatal", "hungry"}

    def __init__(self, number: int, diary: str, seconds: float = 0.0, fatal: str = "", hungry: str = ""):
        self.number = number
        self.diary = diary
        self.seconds = seconds
        self.fatal = fatal
        self.hungry = hungry

    def transmit(self, images, channel, seeds):
        if _taken(self.fatal):
            os.kill(os.getpid(), 9)
        if _taken(self.hungry):
            raise MemoryError
        time.sleep(self.seconds)
        noisy = images.clone()
        for image, seed in zip(noisy, seeds):
            image += 0.1 * image.new_empty(image.shape).normal_(generator=seed.generator(f"number {self.number}"))
        with Path(self.diary).open("a") as diary:
            diary.write("".join(f"{self.number} {channel.snr_db} {seed.key} {os.getpid()}\n" for seed in seeds))
        return Reception(quantise(noisy), Ledger.of(images, source_bits=1), {"worker": [1] * len(images)})


class Loud(Metric):
    """Says in a diary when it is made ready, as a model is loaded: once in a worker."""

    name = "loud"
    excluded_from_recipe = Metric.excluded_from_recipe | {"diary"}

    def __init__(self, diary: str):
        self.diary = diary
        self._loaded = False

    def score(self, prepared, reconstruction):
        if not self._loaded:
            with Path(self.diary).open("a") as diary:
                diary.write(f"loaded {os.getpid()} {__file__}\n")
            self._loaded = True
        return reconstruction.mean((1, 2, 3))


def _taken(file: str) -> bool:
    try:
        Path(file).unlink()
        return True
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        return False


class Flaky(LocalFileSystem):
    """Files of this machine under `flaky://`, slowly, and every fifth time not at all."""

    protocol = "flaky"
    chance = random.Random(0)

    @classmethod
    def _strip_protocol(cls, path):
        return LocalFileSystem._strip_protocol(str(path).removeprefix("flaky://"))

    def _now_and_then(self):
        time.sleep(0.01)
        if self.chance.random() < 0.2:
            raise TimeoutError("the store is busy")

    def exists(self, path, **kwargs):
        self._now_and_then()
        return super().exists(path, **kwargs)

    def cat_file(self, path, start=None, end=None, **kwargs):
        self._now_and_then()
        return super().cat_file(path, start, end, **kwargs)

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        self._now_and_then()
        return super().pipe_file(path, value, mode=mode, **kwargs)


fsspec.register_implementation("flaky", Flaky, clobber=True)
