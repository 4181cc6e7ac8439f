"""Remaining tasks of a run: planned batches over points, looked up in what is there already."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any, TypeVar

from semcomm.experiment.experiment import Experiment, reception_key, recipe_of, spelt
from semcomm.memo import Memo
from semcomm.runs.engine import Task, features_of, metric_key
from semcomm.runs.image_store import ImageStore
from semcomm.runs.store import Store, StoredImage

T = TypeVar("T")
AT_ONCE = 64
"""Batches looked up in one query."""


class Plan:
    """The tasks of a run in their order: batch by batch, so that its images are at hand; then points; realisations.

    It is read from the experiment and the store as it goes, a few batches at a time, whatever the size of the run.

    Args:
        store: of the run.
        experiment: the experiment.
        images: the planned images.
        place: where features are kept: the run's folder, or the store that its workers share.
    """

    def __init__(self, store: Store, experiment: Experiment, images: Sequence[StoredImage], place: Any) -> None:
        self.store = store
        self.experiment = experiment
        self.images = images
        self.batches = plan_batches(images, experiment.batch_size)
        self._recipes = recipes_of(store, experiment)
        self._metrics = [metric_key(metric) for metric in experiment.image_metrics]
        self._set_metrics = [metric_key(metric) for metric in experiment.set_metrics]
        self._features = Memo(f"{place}/memo")
        self._kept = ImageStore(store.folder)

    def tasks(self, points: Collection[int] | None = None) -> Iterator[Task]:
        """Give the tasks of which anything is missing, of all points or of some of them."""
        numbers = range(len(self.experiment.points)) if points is None else sorted(points)
        planned = (
            (batch, number, realisation)
            for batch in self.batches
            for number in numbers
            for realisation in range(self.experiment.realisations)
        )
        for some in chunks(planned, AT_ONCE):
            yield from self._missing(some)

    def _missing(self, planned: Sequence[tuple[tuple[int, ...], int, int]]) -> Iterator[Task]:
        hashes = [[self.images[i].hash for i in batch] for batch, _, _ in planned]
        received = iter(
            self.store.received(
                [
                    reception_key(self._recipes[number], h, self.experiment.seed, realisation)
                    for (_, number, realisation), of_batch in zip(planned, hashes)
                    for h in of_batch
                ]
            )
        )
        found = [tuple(self._there(next(received), i, realisation) for i in batch) for batch, _, realisation in planned]
        pairs = [(h, f) for of_batch, f_batch in zip(hashes, found) for h, f in zip(of_batch, f_batch)]
        missing: list[dict[str, tuple[int, ...]]] = [{} for _ in planned]
        for metric in self._metrics:
            self._note(missing, planned, metric, (score is None for score in self.store.scores(metric, pairs)))
        for metric in self._set_metrics:
            absent = (not all(self._features.has(features_of(metric, h)) for h in pair) for pair in pairs)
            self._note(missing, planned, metric, absent)
        for (batch, number, realisation), here, lacking in zip(planned, found, missing):
            if None in here or any(lacking.values()):
                yield Task(number, self._recipes[number], realisation, batch, here, lacking)

    def _there(self, key: str | None, image: int, realisation: int) -> str | None:
        """Return the hash of what was received, unless it should be on disk and is not."""
        if key and self.experiment.kept(image, realisation) and not self._kept.has(key):
            return None
        return key

    @staticmethod
    def _note(missing: list[dict], planned: Sequence[tuple], metric: str, absent: Iterator[bool]) -> None:
        for lacking, (batch, _, _) in zip(missing, planned):
            lacking[metric] = tuple(n for n in range(len(batch)) if next(absent))


def plan_batches(images: Sequence[StoredImage], batch_size: int) -> list[tuple[int, ...]]:
    """Cut the images, in order, into batches of one size each; this depends on nothing but the experiment."""
    batches = []
    for _, group in groupby(range(len(images)), key=lambda i: (images[i].height, images[i].width)):
        indices = tuple(group)
        batches += [indices[at : at + batch_size] for at in range(0, len(indices), batch_size)]
    return batches


def recipes_of(store: Store, experiment: Experiment) -> list[str]:
    """Return each point's recipe as it was when the run was last planned.

    A link's recipe names its weights, which a machine that only reads may not have, or have others of.
    """
    kept, known = store.meta("link recipes") or {}, {}
    recipes = []
    for point in experiment.points:
        if id(point.link) not in known:
            known[id(point.link)] = kept.get(spelt(point.link)) or point.link.recipe()
        recipes.append(recipe_of(known[id(point.link)], point.over))
    return recipes


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut anything into lists of at most `size`."""
    items = iter(items)
    while some := list(islice(items, size)):
        yield some
