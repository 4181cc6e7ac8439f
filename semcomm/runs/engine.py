"""The work of a worker: send one planned batch over one point and score what arrived."""

import math
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semcomm import memo
from semcomm.channels import Channel
from semcomm.errors import RateError, RunError
from semcomm.experiment.experiment import Experiment, Point, load
from semcomm.images import content_hash
from semcomm.ledger import Ledger
from semcomm.metrics import Metric, SetMetric
from semcomm.runs.image_store import ImageStore
from semcomm.runs.store import LEDGER, StoredImage, StoredReception, StoredScore
from semcomm.seeds import Seed, seeds_of
from semcomm.transceivers import Link, Reception


@dataclass(frozen=True)
class Task:
    """One planned batch over one point in one realisation.

    Attributes:
        point: index into the experiment's points.
        recipe: of the point, where the run was planned; a worker must agree.
        realisation: number of it.
        images: indices into the planned images, all of one size.
        received: hash of each reconstruction that the store has already; None where it has not.
        missing: per metric, which of the images lack its score or, for a metric of sets, its features.
    """

    point: int
    recipe: str
    realisation: int
    images: tuple[int, ...]
    received: tuple[str | None, ...]
    missing: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Done:
    """Result of a task; `kept` are the hashes of the reconstructions that it wrote to disk."""

    receptions: dict[str, StoredReception]
    scores: list[StoredScore]
    kept: tuple[str, ...] = ()


class Engine:
    """Carries out tasks of one experiment, keeping a batch's images and prepared references at hand.

    Args:
        experiment: the experiment.
        images: the planned images.
        place: where reconstructions and the memo are: the run's folder, or a store that all workers reach.
        travelling: the originals are in that place too, by their hash, because their paths mean nothing here.
    """

    def __init__(
        self, experiment: Experiment, images: Sequence[StoredImage], place: str | Path, travelling: bool = False
    ) -> None:
        self.experiment = experiment
        self.images = images
        self.reconstructions = ImageStore(place)
        self.originals = ImageStore(place, "images") if travelling else None
        self.metrics = {metric_key(metric): metric for metric in experiment.image_metrics}
        self.set_metrics = {metric_key(metric): metric for metric in experiment.set_metrics}
        self._lately: OrderedDict[tuple, Any] = OrderedDict()
        self.memo = memo.Memo(f"{place}/memo")

    def do(self, task: Task) -> Done:
        """Send the batch where anything of it was not received yet or is not on disk, and compute missing scores."""
        with memo.using(self.memo):
            return self._do(task)

    def _do(self, task: Task) -> Done:
        point = self.experiment.points[task.point]
        self._check(point, task)
        references = self._recent(("images", task.images), lambda: self._load(task.images))
        hashes = [self.images[i].hash for i in task.images]
        receptions: dict[str, StoredReception] = {}
        arrived = self._from_disk(task) if None not in task.received else None
        found = task.received
        if arrived is None:
            reception, seconds = self._send(point, references, task.realisation)
            arrived = reception.images
            found = [content_hash(image) for image in arrived]
            receptions = self._stored(task, point, reception, found, seconds)
        scores = []
        changed = [n for n in range(len(found)) if found[n] != task.received[n]]
        for key, metric in self.set_metrics.items():
            if changed or task.missing.get(key):
                keep_features(key, metric, [*references, *arrived], [*hashes, *found])
        for key, metric in self.metrics.items():
            if wanted := sorted({*task.missing.get(key, ()), *changed}):
                # without errors, one realisation arrives like another
                score = partial(self._score, key, metric, task.images, references, arrived)
                values, seconds = self._recent(("scores", key, task.images, tuple(found)), score)
                scores += [StoredScore(hashes[n], found[n], key, values[n], seconds) for n in wanted]
        kept = [key for i, key in zip(task.images, found) if receptions and self.experiment.kept(i, task.realisation)]
        return Done(receptions, scores, tuple(kept))

    def _check(self, point: Point, task: Task) -> None:
        """Refuse to work with other weights or classes than those that the run was planned with."""
        strange = [key for key in task.missing if key not in self.metrics and key not in self.set_metrics]
        if strange or point.recipe != task.recipe:
            what = "a metric" if strange else f"transceiver {point.transceiver}"
            raise RunError(
                f"{what} is not the same on {socket.gethostname()} as where the run was planned: its weights or its "
                "class's version differ. Give every machine the same files"
            )

    def _score(
        self, key: str, metric: Metric, indices: tuple[int, ...], references: Tensor, arrived: Tensor
    ) -> tuple[list[float], float]:
        began = time.perf_counter()
        with torch.inference_mode():
            prepared = self._recent(("prepared", key, indices), lambda: metric.prepare(references))
            values = metric.score(prepared, arrived).tolist()
        return values, (time.perf_counter() - began) / len(values)

    def _from_disk(self, task: Task) -> Tensor | None:
        images = [self.reconstructions.read(key) for key in task.received]
        return None if any(image is None for image in images) else torch.stack(images)

    def _send(self, point: Point, images: Tensor, realisation: int) -> tuple[Reception, float]:
        seeds = seeds_of(images, self.experiment.seed, realisation)
        began = time.perf_counter()
        with torch.inference_mode():
            reception = _sent(point.link, images, point.over, seeds)
        return reception, (time.perf_counter() - began) / len(images)

    def _stored(
        self, task: Task, point: Point, reception: Reception, found: Sequence[str], seconds: float
    ) -> dict[str, StoredReception]:
        stored = {}
        for n, index in enumerate(task.images):
            if self.experiment.kept(index, task.realisation):
                self.reconstructions.write(reception.images[n])
            key = point.reception_key(self.images[index].hash, self.experiment.seed, task.realisation)
            counts = {name: float(getattr(reception.ledger, name)[n]) for name in LEDGER}
            info = {name: _plain(values[n]) for name, values in reception.info.items()}
            stored[key] = StoredReception(counts, info, found[n], seconds)
        return stored

    def _load(self, indices: Sequence[int]) -> Tensor:
        images = []
        for index in indices:
            planned = self.images[index]
            if self.originals is None:
                image = load_original(self.experiment, planned)
            elif (image := self.originals.read(planned.hash)) is None:
                raise RunError(
                    f"{planned.name}: is gone from the store; run the same command again, which puts it back"
                )
            images.append(image)
        return torch.stack(images)

    def _recent(self, key: tuple, make: Callable[[], Any]) -> Any:
        """Return what was made for `key` lately: a batch's images, what a metric prepared of them, or scores."""
        if key not in self._lately:
            self._lately[key] = make()
            if len(self._lately) > 2 * (1 + len(self.metrics)):
                self._lately.popitem(last=False)
        self._lately.move_to_end(key)
        return self._lately[key]


def load_original(experiment: Experiment, planned: StoredImage) -> Tensor:
    """Read an image of the experiment [3, H, W].

    Raises:
        RunError: when it is not the one that the run began with.
    """
    image = experiment.images.load(Path(planned.path))
    if content_hash(image) != planned.hash:
        raise RunError(
            f"{planned.path}: is not the image that this run began with. Put that one back, or start a run in a new "
            "folder"
        )
    return image


def keep_features(key: str, metric: SetMetric, images: Sequence[Tensor], hashes: Sequence[str]) -> None:
    """Compute the features of images that a metric of sets needs, one image at a time, and keep them in the memo."""
    for image, image_hash in zip(images, hashes):
        with torch.inference_mode():
            memo.current().get(
                features_of(key, image_hash), lambda image=image: metric.features(image[None])[0].numpy().tobytes()
            )


def features_of(key: str, image_hash: str) -> dict:
    """Return the description under which the features of an image are kept."""
    return {"features": key, "image": image_hash}


def metric_key(metric: Any) -> str:
    """Return the key under which a metric's scores are kept."""
    return memo.key_of(metric.recipe())[:16]


def _sent(link: Link, images: Tensor, channel: Channel, seeds: Sequence[Seed]) -> Reception:
    """Send a batch; where a link refuses a budget as impossible, only the images concerned are infeasible."""
    try:
        return link.transmit(images, channel, seeds)
    except RateError:
        if len(images) > 1:
            return _joined([_sent(link, image[None], channel, [seed]) for image, seed in zip(images, seeds)])
        return Reception(
            images=((images.mean((2, 3), keepdim=True) * 255).round() / 255).expand_as(images).clone(),
            ledger=Ledger.of(images, source_bits=0),
            info={"decode_failed": [True], "infeasible": [True]},
        )


def _joined(receptions: Sequence[Reception]) -> Reception:
    names = {name: None for reception in receptions for name in reception.info}
    info = {name: [r.info.get(name, [None])[0] for r in receptions] for name in names}
    ledger = Ledger.concatenated([r.ledger for r in receptions])
    return Reception(torch.cat([r.images for r in receptions]), ledger, info)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


_engine: Engine | None = None


def start_worker(experiment: dict, images: Sequence[StoredImage], folder: Path, search_path: Sequence[str]) -> None:
    """Make this process a worker: one thread, and gone when its parent is."""
    import multiprocessing
    import os
    import signal
    import threading
    from multiprocessing.connection import wait

    global _engine
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
    prepare_process(search_path)
    _engine = Engine(load(experiment), images, folder)


def do_task(task: Task) -> Done:
    """Carry out a task in a worker."""
    return _engine.do(task)


def prepare_process(search_path: Sequence[str]) -> None:
    """Make this process compute in one thread, and find classes where the run was started."""
    import sys

    import numba

    sys.path[:0] = [p for p in search_path if p not in sys.path]
    torch.set_num_threads(1)
    numba.set_num_threads(1)
