"""The tasks of a run on a Ray cluster: workers that keep their models, and whatever happens to them, the same rows.

A worker is a Ray actor of one thread, made for the needs of a transceiver and the metrics. Images travel by their
hash through a place that every node reaches; this process alone writes the results. A worker that is lost, with its
node or for want of memory, is replaced, and what it had not finished is given to another.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from semcomm.errors import ConfigurationError, RunError, SemcommError
from semcomm.experiment.experiment import Resources, load
from semcomm.runs.engine import Done, Engine, Task, load_original, prepare_process
from semcomm.runs.image_store import ImageStore
from semcomm.runs.plan import Plan
from semcomm.runs.store import StoredImage

AHEAD = 2
"""Tasks that a worker has before it, so that it never waits for the next."""

ATTEMPTS = 4
"""Workers that a task may take down before it is given up."""

LOOK_AGAIN = 2.0
"""Seconds after which the cluster is asked anew how much it holds."""


@dataclass(frozen=True)
class RayCluster:
    """A Ray cluster to run on.

    Args:
        address: such as `auto`, `10.0.0.1:6379` or `ray://head:10001`; None takes $RAY_ADDRESS, or else starts Ray on
            this machine. A connection that is there already is used.
        store: folder or fsspec URL that every node reaches, for images and the memo; None takes the run's folder.
        packages: folders of packages and files of modules that Ray brings to the nodes.
        workers: at most so many; None takes as many as the cluster holds.
    """

    address: str | None = None
    store: str | None = None
    packages: tuple[str, ...] = ()
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigurationError(f"workers is {self.workers}; it must be at least 1")
        if self.store is not None and "://" not in self.store:
            object.__setattr__(self, "store", str(Path(self.store).absolute()))


@dataclass(frozen=True)
class _Setting:
    """Start-up data of a worker; sent to each node once."""

    experiment: dict
    images: Sequence[StoredImage]
    place: str
    search_path: Sequence[str]
    started_in: str


class Worker:
    """The actor of Ray that a worker is."""

    def start(self, setting: "_Setting") -> None:
        """Get ready; apart from the constructor, so that what is wrong comes back as it is."""
        if Path(setting.started_in).is_dir():
            os.chdir(setting.started_in)  # relative paths mean what they mean there
        prepare_process([path for path in setting.search_path if Path(path).exists()])
        self.engine = Engine(load(setting.experiment), setting.images, setting.place, travelling=True)

    def do(self, task: Task) -> Done:
        """Carry out a task."""
        return self.engine.do(task)


@dataclass
class _Pool:
    """The workers of one need, and what is theirs to do."""

    need: Resources
    names: list[str]
    """Transceivers that have this need."""
    tasks: Iterator[Task]
    queue: deque[Task] = field(default_factory=deque)
    starting: list[Any] = field(default_factory=list)
    ready: dict[Any, list[Task]] = field(default_factory=dict)
    """Actor -> its tasks, the one under way first."""

    def fill(self, limit: int) -> None:
        while len(self.queue) < 2 * limit and (task := next(self.tasks, None)) is not None:
            self.queue.append(task)

    def wants_more(self, limit: int) -> bool:
        here = len(self.starting) + len(self.ready)
        return here < min(limit, len(self.queue) + sum(bool(tasks) for tasks in self.ready.values()))


def run_on_ray(plan: Plan, folder: Path, cluster: RayCluster, on_note: Callable[[str], None]) -> Iterator[Done]:
    """Carry out the tasks of a plan on a cluster and give what came of each, in no particular order.

    Args:
        plan: taken up lazily.
        folder: of the run; reconstructions that are to stay come to it, whatever store the workers share.
        cluster: where.
        on_note: called with workers that were lost.

    Raises:
        ConfigurationError: when Ray is not installed or cannot be reached.
        RunError: when no node can hold a worker, or a task takes down one worker after the other.
        SemcommError: what a task raised; the other tasks under way are dropped.
    """
    with _connected(cluster) as ray:
        yield from _Run(ray, plan, folder, cluster, on_note).done()


class _Run:
    def __init__(
        self, ray: ModuleType, plan: Plan, folder: Path, cluster: RayCluster, on_note: Callable[[str], None]
    ) -> None:
        self.ray = ray
        self.plan = plan
        self.cluster = cluster
        self.on_note = on_note
        self.home = ImageStore(folder)
        self.place = cluster.store or str(folder.absolute())
        self.shared, self.originals = ImageStore(self.place), ImageStore(self.place, "images")
        self.delivered: set[int] = set()
        self.lost: dict[tuple, int] = {}
        self.pools = self._pools()
        self.under_way: dict[Any, tuple[_Pool, Any, Task | None]] = {}
        search_path = [str(Path(path).absolute()) for path in sys.path]
        self.setting = ray.put(
            _Setting(plan.experiment.resolved(), list(plan.images), self.place, search_path, str(Path.cwd()))
        )
        self.limits: dict[Resources, int] = {}
        self.looked = -LOOK_AGAIN

    def _pools(self) -> list[_Pool]:
        points: dict[Resources, list[int]] = {}
        for number, point in enumerate(self.plan.experiment.points):
            points.setdefault(self.plan.experiment.needs(point.transceiver), []).append(number)
        names = {
            need: list(dict.fromkeys(self.plan.experiment.points[n].transceiver for n in of_need))
            for need, of_need in points.items()
        }
        scarce_first = sorted(points, key=lambda need: (need.gpus, need.cpus), reverse=True)
        return [_Pool(need, names[need], self.plan.tasks(points[need])) for need in scarce_first]

    def done(self) -> Iterator[Done]:
        try:
            while True:
                self._look()
                self._grow()
                self._feed()
                if not self.under_way:
                    return
                refs, _ = self.ray.wait(list(self.under_way), num_returns=1, timeout=LOOK_AGAIN)
                for ref in refs:
                    if ref in self.under_way and (done := self._take(ref)):
                        yield done
        finally:
            for pool in self.pools:
                self._dismiss(pool, [*pool.starting, *pool.ready])

    def _look(self) -> None:
        """Ask how many workers of each kind the cluster holds; nodes come and go."""
        if time.monotonic() - self.looked < LOOK_AGAIN:
            return
        self.looked = time.monotonic()
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        for pool in self.pools:
            need = {"CPU": pool.need.cpus, "GPU": pool.need.gpus}
            holds = sum(
                min(int(node.get(kind, 0) / amount + 1e-6) for kind, amount in need.items() if amount) for node in nodes
            )
            pool.fill(1)
            if not holds and not pool.ready and self.cluster.workers is None and pool.queue:
                raise RunError(
                    f"no node of the Ray cluster has the {pool.need.cpus:g} CPUs and {pool.need.gpus:g} GPUs that "
                    f"{', '.join(pool.names)} with the metrics needs; change `resources`, or give --workers if such "
                    "nodes are yet to come"
                )
            self.limits[pool.need] = self.cluster.workers or max(1, holds)

    def _grow(self) -> None:
        """Start the workers that are wanting, of all kinds in turn; those without work go, and make room."""
        actor = self.ray.remote(Worker)
        growing = True
        while growing:
            growing = False
            for pool in self.pools:
                limit = self.limits[pool.need]
                pool.fill(limit * AHEAD)
                if pool.wants_more(limit) and self._may_grow():
                    worker = actor.options(
                        num_cpus=pool.need.cpus, num_gpus=pool.need.gpus, scheduling_strategy="SPREAD"
                    ).remote()
                    pool.starting.append(worker)
                    self.under_way[worker.start.remote(self.setting)] = pool, worker, None
                    growing = True

    def _may_grow(self) -> bool:
        there = sum(len(pool.starting) + len(pool.ready) for pool in self.pools)
        return self.cluster.workers is None or there < self.cluster.workers

    def _feed(self) -> None:
        for depth in range(AHEAD):
            for pool in self.pools:
                for worker, tasks in pool.ready.items():
                    if len(tasks) <= depth and pool.queue:
                        task = pool.queue.popleft()
                        self._deliver(task)
                        tasks.append(task)
                        self.under_way[worker.do.remote(task)] = pool, worker, task
        for pool in self.pools:
            if not pool.queue:
                self._dismiss(pool, [*pool.starting, *(worker for worker, tasks in pool.ready.items() if not tasks)])

    def _deliver(self, task: Task) -> None:
        """Put what a task is made of where its worker finds it."""
        for index in task.images:
            if index not in self.delivered:
                image = self.plan.images[index]
                if not self.originals.has(image.hash):
                    self.originals.write(load_original(self.plan.experiment, image))
                self.delivered.add(index)
        if self.cluster.store:
            for key in filter(None, task.received):
                self.home.copy(key, self.shared)

    def _take(self, ref: Any) -> Done | None:
        """Return what came of a task; of a worker that is lost, give the tasks to others."""
        pool, worker, task = self.under_way.pop(ref)
        try:
            done = self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, SemcommError):
                raise cause from None
            if not _out_of_memory(cause):
                raise
            self._lose(pool, worker, "ran out of memory")
            return None
        except self.ray.exceptions.RayError as error:
            self._lose(pool, worker, type(error).__name__)
            return None
        if task is None:
            pool.starting.remove(worker)
            pool.ready[worker] = []
            self.lost.pop((pool.need,), None)
            return None
        pool.ready[worker].remove(task)
        if self.cluster.store:
            for key in done.kept:
                self.shared.copy(key, self.home)
        return done

    def _lose(self, pool: _Pool, worker: Any, why: str) -> None:
        tasks = pool.ready.get(worker, [])
        self._dismiss(pool, [worker])
        pool.queue.extendleft(reversed(tasks))
        self.looked = -LOOK_AGAIN
        guilty = tasks[0] if tasks else None
        name = ", ".join(pool.names) if guilty is None else self.plan.experiment.points[guilty.point].transceiver
        key = (pool.need,) if guilty is None else (guilty.point, guilty.realisation, guilty.images)
        self.lost[key] = self.lost.get(key, 0) + 1
        self.on_note(f"a worker of {name} was lost ({why}); its work is given to another")
        if self.lost[key] == ATTEMPTS:
            raise RunError(
                f"{name}: {ATTEMPTS} workers were lost on the same work, most likely for want of memory. Finished rows "
                "are safe; run the same command again with more `resources` for it, fewer --workers or a smaller "
                "batch_size"
            )

    def _dismiss(self, pool: _Pool, workers: Sequence[Any]) -> None:
        for worker in workers:
            for ref in [ref for ref, (_, other, _) in self.under_way.items() if other is worker]:
                del self.under_way[ref]
            pool.ready.pop(worker, None)
            if worker in pool.starting:
                pool.starting.remove(worker)
            self.ray.kill(worker)


def _out_of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError)


@contextmanager
def _connected(cluster: RayCluster) -> Iterator[ModuleType]:
    """Connect to the cluster, and leave it afterwards; a connection that was there stays."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ConfigurationError("--executor ray needs Ray: pip install 'semcomm[ray]'") from None
    if ray.is_initialized():
        if cluster.packages:
            raise ConfigurationError("Ray is connected already: give the packages to ray.init, as py_modules")
        yield ray
        return
    for package in cluster.packages:
        if not Path(package).exists():
            raise ConfigurationError(f"--package {package}: there is no such file or folder")
    try:
        ray.init(
            address=cluster.address,
            runtime_env={"py_modules": list(cluster.packages)} if cluster.packages else None,
            logging_level="WARNING",
            **({} if cluster.address or os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}),
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"Ray at {cluster.address}: cannot be reached ({error})") from None
    try:
        yield ray
    finally:
        ray.shutdown()
