"""Running an experiment: plan what is missing, have it done, write the results."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from semcomm.component import plain
from semcomm.errors import ConfigurationError, ImageError, MetricError, RunError
from semcomm.experiment.experiment import Experiment, axis_values, load
from semcomm.files import write_whole
from semcomm.images import ImageSet, content_hash
from semcomm.memo import key_of
from semcomm.runs.cluster import RayCluster, run_on_ray
from semcomm.runs.executors import run_tasks
from semcomm.runs.folder import environment, locked
from semcomm.runs.notebook import NotebookBar, in_notebook
from semcomm.runs.plan import Plan
from semcomm.runs.results import Results, collect, export, is_finished, keep_keys
from semcomm.runs.store import DATABASE, Store, StoredImage

EXPERIMENT, ENVIRONMENT = "experiment.yaml", "environment.json"


@dataclass(frozen=True)
class Progress:
    """How far a run is, in tasks: planned batches over one point."""

    done: int
    total: int


def run(
    experiment: Experiment | Mapping[str, Any] | str | Path,
    out: str | Path,
    workers: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
    on_note: Callable[[str], None] = lambda note: None,
    cluster: RayCluster | None = None,
) -> Results:
    """Run an experiment, or the rest of it, and return its results.

    Everything finished is kept at once, so a run that was stopped, however, goes on when it is run again. A finished
    run takes more metrics, transceivers, channels, swept values and realisations, and computes only those.

    Args:
        experiment: an `Experiment`, its plain data, or a file.
        out: folder of the run.
        workers: processes of one thread each; 1 uses this process.
        on_progress: told after each task; none shows a line in a notebook, and nothing elsewhere.
        on_note: told what the user should know, such as an image that is left out.
        cluster: where the work is done instead of here; `workers` does not count then.

    Raises:
        RunError: when the folder is in use, cannot be written, or holds another experiment.
        ConfigurationError: when the experiment makes no sense.
        ImageError: when an image cannot be used and `images.on_error` is `raise`.
        MetricError: when a metric is not defined for the images' size.
    """
    if not isinstance(experiment, Experiment):
        experiment = load(experiment)
    if workers < 1:
        raise ConfigurationError(f"workers is {workers}; it must be at least 1")
    on_progress = on_progress or (NotebookBar() if in_notebook() else lambda progress: None)
    folder = Path(out)
    with locked(folder):
        store = Store(folder, on_note)
        try:
            _check_same(store, experiment)
            images = _planned_images(store, experiment, on_note)
            _describe(store, experiment)
            store.set_meta("place", cluster and cluster.store)
            plan = Plan(store, experiment, images, (cluster and cluster.store) or folder)
            finished = is_finished(experiment, store, images)
            if not finished:
                store.check()
            total = 0 if finished else sum(1 for _ in plan.tasks())
            on_progress(Progress(0, total))
            work = run_on_ray(plan, folder, cluster, on_note) if cluster else run_tasks(plan, folder, workers)
            for number, done in enumerate(work if total else [], 1):
                store.add(done.receptions, done.scores)
                on_progress(Progress(number, total))
            return export(collect(experiment, store, images), store, complete=True)
        except KeyboardInterrupt:
            export(collect(experiment, store, images), store, complete=False)
            raise
        finally:
            store.close()


def open_results(*folders: str | Path, on_note: Callable[[str], None] = lambda note: None) -> Results:
    """Return the results in the folder of a run, finished or not, or those of several runs as one table.

    Runs may be under way. `semcomm.runs.joined` says when names of several runs stand for the same.

    Args:
        folders: of the runs.
        on_note: told what the user should know.

    Raises:
        RunError: when there is no run in one of them.
    """
    from semcomm.runs.joined import joined

    if not folders:
        raise RunError("no folder of a run was named")
    return joined([_opened(Path(folder), on_note) for folder in folders])


def _opened(folder: Path, on_note: Callable[[str], None]) -> Results:
    if not (folder / DATABASE).exists():
        raise RunError(f"{folder}: there is no run in this folder")
    store = Store(folder, on_note, reading=True)
    try:
        experiment = load(store.meta("experiment") or {})
        images = [image for image in store.images().values() if image.fault is None]
        return collect(experiment, store, images)
    finally:
        store.close()


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _planned_images(store: Store, experiment: Experiment, on_note: Callable[[str], None]) -> list[StoredImage]:
    """Return the usable images in order, hashing those that the run does not know yet."""
    known, files = store.images(), experiment.images.files()
    names = key_of({"names": list(files)})
    if store.meta("images") not in (None, names):
        strange = sorted(set(known) ^ set(files)) or [str(experiment.images.path)]
        raise RunError(
            f"{experiment.images.path}: holds other images than when this run began ({', '.join(strange[:3])}). Put "
            "them back, or start a run in a new folder"
        )
    planned = []
    for name, path in files.items():
        try:
            stat = path.stat()
        except OSError as error:
            raise ImageError(f"{path}: cannot be read ({error.strerror})") from None
        before = known.get(name)
        if before and (before.path, before.bytes, before.modified) == (str(path), stat.st_size, stat.st_mtime_ns):
            planned.append(before)
            continue
        try:
            image = experiment.images.load(path)
            digest, height, width, fault = content_hash(image), *image.shape[1:], None
        except ImageError as error:
            if experiment.images.on_error == "raise":
                raise ImageError(f"{error} (images.on_error: skip leaves such images out)") from None
            digest, height, width, fault = "", 0, 0, str(error)
        if before and before.hash != digest:
            raise RunError(
                f"{path}: is not the image that this run began with. Put that one back, or start a run in a new folder"
            )
        planned.append(StoredImage(name, str(path), stat.st_size, stat.st_mtime_ns, digest, height, width, fault))
    store.add_images(planned)
    store.set_meta("images", names)
    for image in planned:
        if image.fault is not None:
            on_note(f"left out: {image.fault}")
    usable = [image for image in planned if image.fault is None]
    if not usable:
        raise ImageError(f"{experiment.images.path}: none of its {len(planned)} images can be used")
    for metric in experiment.set_metrics:
        if len(usable) < metric.minimum:
            raise MetricError(f"{metric.name} needs at least {metric.minimum} images, and there are {len(usable)}")
    for metric in experiment.image_metrics:
        for height, width in {(image.height, image.width) for image in usable}:
            shape = torch.empty(1, 3, height, width, device="meta")
            metric.check(shape, shape)
    return usable


def _describe(store: Store, experiment: Experiment) -> None:
    """Put the resolved experiment and the machine beside the results."""
    resolved = experiment.resolved()
    store.set_meta("experiment", resolved)
    keep_keys(store, experiment)
    text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
    write_whole(store.folder / EXPERIMENT, text.encode())
    write_whole(store.folder / ENVIRONMENT, json.dumps(environment(), indent=2).encode())


def _check_same(store: Store, experiment: Experiment) -> None:
    """Refuse a folder that holds another experiment, unless this one only adds to it.

    Raises:
        RunError: naming the key that differs.
    """
    before = store.meta("experiment")
    if before is None:
        return
    difference = _difference(before, experiment.resolved())
    if difference:
        key, old, new = difference
        raise RunError(
            f"{store.folder}: holds another experiment: {key} was {old!r} and is now {new!r}. A run takes more "
            "metrics, transceivers, channels, swept values and realisations; for other changes use a new folder"
        )


def _difference(before: dict, now: dict) -> tuple[str, Any, Any] | None:
    """Return the first key that changed otherwise than by an addition, with its old and new value."""
    before = {**before, "images": {**plain(ImageSet()), **before["images"]}}  # it may be older than an option
    for key in ("images", "seed", "batch_size"):
        if before[key] != now[key]:
            for name in before[key] if isinstance(before[key], dict) else ():
                if before[key][name] != now[key].get(name):
                    return f"{key}.{name}", before[key][name], now[key].get(name)
            return key, before[key], now[key]
    if now["realisations"] < before["realisations"]:
        return "realisations", before["realisations"], now["realisations"]
    for metric in before["metrics"]:
        if metric not in now["metrics"]:
            return "metrics", metric["class_path"].rsplit(".", 1)[-1], None
    if found := _axes_difference("sweep", before["sweep"], now["sweep"]):
        return found
    for section in ("transceivers", "channels"):
        for name, entry in before[section].items():
            now_entry = now[section].get(name)
            if now_entry is None:
                return f"{section}.{name}", entry, None
            old, new = _split(entry), _split(now_entry)
            if old[0] != new[0]:
                return f"{section}.{name}", old[0], new[0]
            if found := _axes_difference(f"{section}.{name}.sweep", old[1], new[1]):
                return found
    return None


def _split(entry: Any) -> tuple[Any, dict]:
    if isinstance(entry, str):
        return {"class_path": entry}, {}
    return {k: v for k, v in entry.items() if k != "sweep"}, entry.get("sweep") or {}


def _axes_difference(where: str, before: dict, now: dict) -> tuple[str, Any, Any] | None:
    for axis in [*before, *now]:
        old, new = before.get(axis), now.get(axis)
        if old == new:
            continue
        if old is None or new is None:
            return f"{where}.{axis}", old, new
        values = axis_values(axis, new)
        if any(value not in values for value in axis_values(axis, old)):
            return f"{where}.{axis}", old, new
    return None
