"""Running an experiment: plan what is missing, have it done, write the results."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from semcomm.channels import Channel
from semcomm.classes import as_spec, with_defaults
from semcomm.errors import ConfigurationError, ImageError, MetricError, RunError
from semcomm.experiment.experiment import Experiment, load, spelt
from semcomm.experiment.machine import check_devices
from semcomm.experiment.reopened import record, reopened
from semcomm.files import write_whole
from semcomm.images import ImageSet, content_hash
from semcomm.parsing import dump_yaml
from semcomm.recipes import key_of, plain
from semcomm.runs.cluster import RayCluster, run_on_ray
from semcomm.runs.executors import check_guard, run_tasks
from semcomm.runs.folder import environment, locked
from semcomm.runs.notebook import NotebookBar, in_notebook
from semcomm.runs.notes import note
from semcomm.runs.plan import Plan
from semcomm.runs.results import Results, collect, export, is_finished, keys_of
from semcomm.runs.store import DATABASE, Store, StoredImage
from semcomm.transceivers import Link

EXPERIMENT, ENVIRONMENT = "experiment.yaml", "environment.json"


@dataclass(frozen=True)
class Progress:
    """Progress of a run in tasks: planned batches over one point."""

    done: int
    total: int


def run(
    experiment: Experiment | Mapping[str, Any] | str | Path,
    out: str | Path,
    workers: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
    on_note: Callable[[str], None] = note,
    cluster: RayCluster | None = None,
) -> Results:
    """Run an experiment, or the rest of it, and return its results.

    Everything finished is kept at once, so a run that was stopped, however, goes on when it is run again. A finished
    run takes more metrics, transceivers, channels, swept values and realisations, and computes only those; what is
    taken out again is kept and not shown. What is refused leaves the run as it was.

    Args:
        experiment: an `Experiment`, its plain data, or a file.
        out: folder of the run.
        workers: processes of one thread each; 1 uses this process.
        on_progress: called after each task; none shows a line in a notebook, and nothing elsewhere.
        on_note: called with what the user should know, such as an image that is left out; by default it is printed.
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
    if cluster is None:
        check_guard(workers)
        for point in experiment.points:
            check_devices(point.link, f"transceivers.{point.transceiver}")
        for metric in experiment.metrics:
            check_devices(metric, metric.name)
    on_progress = on_progress or (NotebookBar() if in_notebook() else lambda progress: None)
    folder = Path(out)
    with locked(folder):
        store = Store(folder, on_note)
        try:
            _check_same(store, experiment)
            planned, images = _planned_images(store, experiment, on_note)
            _describe(store, experiment, planned, {"place": cluster and cluster.store}, on_note)
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
            results = export(collect(experiment, store, images), store, complete=True)
        except KeyboardInterrupt:
            if store.meta("experiment") == experiment.resolved():
                export(collect(experiment, store, images), store, complete=False)
            raise
        finally:
            store.close()
    for text in results.remarks():
        on_note(text)
    return results


def open_results(*folders: str | Path, on_note: Callable[[str], None] = lambda note: None) -> Results:
    """Return the results in the folder of a run, finished or not, or those of several runs as one table.

    Runs may be under way. Neither weights nor the classes of transceivers and metrics are needed, nor the machine that
    they were run on. `semcomm.runs.joined` says when names of several runs stand for the same.

    Args:
        folders: of the runs.
        on_note: called with what the user should know.

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
        data = store.meta("experiment")
        if data is None:
            raise RunError(f"{folder}: there is no run in this folder yet; what was tried in it was refused")
        recorded = store.meta("recorded")
        experiment = reopened(data, recorded) if recorded else load(data)  # it may be older than the record
        images = [image for image in store.images().values() if image.fault is None]
        return collect(experiment, store, images)
    finally:
        store.close()


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _planned_images(
    store: Store, experiment: Experiment, on_note: Callable[[str], None]
) -> tuple[list[StoredImage], list[StoredImage]]:
    """Return all images in order, hashing those that the run does not know yet, and the usable ones of them."""
    known, files = store.images(), experiment.images.files(on_note)
    names = _key_of_names(files)
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
    usable = _usable(planned, on_note)
    if not usable:
        raise ImageError(f"{experiment.images.path}: none of its {len(planned)} images can be used")
    for metric in experiment.set_metrics:
        if len(usable) < metric.minimum:
            raise MetricError(f"{metric.name} needs at least {metric.minimum} images, and there are {len(usable)}")
    for metric in experiment.image_metrics:
        for height, width in {(image.height, image.width) for image in usable}:
            shape = torch.empty(1, 3, height, width, device="meta")
            metric.check(shape, shape)
    return planned, usable


def _usable(planned: Sequence[StoredImage], on_note: Callable[[str], None]) -> list[StoredImage]:
    """Return the images that can be used; say which cannot, and which are the same."""
    seen: dict[str, str] = {}
    for image in planned:
        if image.fault is not None:
            on_note(f"left out: {image.fault}")
        elif image.hash in seen:
            on_note(f"{image.name} is the same image as {seen[image.hash]}, and counts again")
        else:
            seen[image.hash] = image.name
    return [image for image in planned if image.fault is None]


def _key_of_names(names: Iterable[str]) -> str:
    return key_of({"names": list(names)})


def _describe(
    store: Store,
    experiment: Experiment,
    planned: Sequence[StoredImage],
    notes: Mapping[str, Any],
    on_note: Callable[[str], None],
) -> None:
    """Put experiment, images and machine beside the results, once all of it could be built: what fails leaves no trace.

    Raises:
        ModelError: when weights are not on this machine.
    """
    resolved, keys = experiment.resolved(), keys_of(experiment)
    before = store.meta("link recipes") or {}
    for name, link in {point.transceiver: point.link for point in experiment.points}.items():
        if before.get(spelt(link), keys["link recipes"][spelt(link)]) != keys["link recipes"][spelt(link)]:
            on_note(f"{name}: its class or a file that it reads has changed since this run began; it is sent again")
    described = {"experiment": resolved, "recorded": record(experiment), **keys, **notes}
    names = _key_of_names(image.name for image in planned)
    store.describe(planned, {**described, "images": names})
    write_whole(store.folder / EXPERIMENT, dump_yaml(resolved).encode())
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
            f"{store.folder}: holds another experiment: {key} was {old!r} and is now {new!r}. A run takes more or "
            "fewer metrics, transceivers, channels, swept values and realisations; for other changes use a new folder"
        )


def _difference(before: dict, now: dict) -> tuple[str, Any, Any] | None:
    """Return the first key that changed otherwise than by more or less of the same, with its old and new value."""
    before = {**before, "images": {**plain(ImageSet()), **before["images"]}}  # it may be older than an option
    for key in ("images", "seed", "batch_size"):
        if before[key] != now[key]:
            for name in before[key] if isinstance(before[key], dict) else ():
                if before[key][name] != now[key].get(name):
                    return f"{key}.{name}", before[key][name], now[key].get(name)
            return key, before[key], now[key]
    for section, kind in (("transceivers", Link), ("channels", Channel)):
        for name, entry in now[section].items():
            if name not in before[section]:
                continue
            old, new = _arguments(kind, before[section][name]), _arguments(kind, entry)
            for key in [*old, *new]:
                if old.get(key) != new.get(key):
                    return f"{section}.{name}.{key}", old.get(key), new.get(key)
    return None


def _arguments(kind: type, entry: Any) -> dict[str, Any]:
    """Return class and arguments of a description in full, as far as its class is there to ask; without its axes."""
    try:
        spec = plain(with_defaults(kind, entry))
    except ConfigurationError:
        spec = as_spec(entry)
    swept = {axis.partition(".")[0] for axis in spec.get("sweep") or {}}
    return {"class_path": spec["class_path"], **{k: v for k, v in spec["init_args"].items() if k not in swept}}
