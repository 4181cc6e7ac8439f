"""Results of several runs as those of one, so that they stand in one table, one figure and one comparison."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from semcomm.experiment.experiment import Experiment, Point
from semcomm.runs.results import Results

if TYPE_CHECKING:
    import pandas as pd

KEY = ["point", "image", "realisation"]


@dataclass(frozen=True)
class JoinedExperiment(Experiment):
    """Several experiments as one: their points one after the other, each once.

    Args:
        joined: the points.
        of_channels: the swept parameters that are the channels'.
    """

    joined: tuple[Point, ...] = ()
    of_channels: tuple[str, ...] = ()

    @cached_property
    def points(self) -> list[Point]:
        """The points of all experiments."""
        return list(self.joined)

    @cached_property
    def channel_axes(self) -> set[str]:
        """The swept parameters that are the channels'."""
        return set(self.of_channels)


def joined(runs: Sequence[Results]) -> Results:
    """Return the results of several runs as those of one.

    A transceiver or a channel that several runs describe alike is one, and a point of it that several have sent counts
    once; where the same point has other scores, or a name stands for something else, the names get the run's folder:
    `LSCI (second)`. Images are the same by their content. Reconstructions stay with their runs.

    Args:
        runs: one or more.
    """
    if len(runs) == 1:
        return runs[0]
    import pandas as pd

    labels = _labels(runs)
    runs = _by_content(runs, labels)
    for section in ("channels", "transceivers"):
        runs = _told_apart(runs, section, labels)
    numbers: dict[tuple, int] = {}
    points, tables = [], []
    for run in runs:
        renumbered = {}
        for number, point in enumerate(run.experiment.points):
            key = point.transceiver, point.channel, repr(sorted(point.parameters.items()))
            if key not in numbers:
                numbers[key] = len(points)
                points.append(point)
            renumbered[number] = numbers[key]
        tables.append(run.table.assign(point=run.table["point"].map(renumbered)))
    table = pd.concat(tables, ignore_index=True).drop_duplicates(KEY, ignore_index=True)
    experiments = [run.experiment for run in runs]
    metrics = {metric.name: metric for experiment in experiments for metric in experiment.metrics}
    experiment = JoinedExperiment(
        transceivers={name: entry for one in experiments for name, entry in one.transceivers.items()},
        channels={name: entry for one in experiments for name, entry in one.channels.items()},
        metrics=list(metrics.values()),
        title=" and ".join(dict.fromkeys(one.title for one in experiments if one.title)),
        images=experiments[0].images,
        realisations=max(one.realisations for one in experiments),
        joined=tuple(points),
        of_channels=tuple(dict.fromkeys(axis for one in experiments for axis in one.channel_axes)),
    )
    return Results(
        experiment,
        table.sort_values(KEY[:1], kind="stable", ignore_index=True),
        pd.concat([run.sets for run in runs], ignore_index=True),
        runs[0].folder,
        {name: image for run in runs for name, image in run.images.items()},
        {},
    )


def _labels(runs: Sequence[Results]) -> list[str]:
    """Return a name for each run: the ends of their folders by which they differ."""
    paths = [run.folder.resolve().parts for run in runs]
    for length in range(1, max(map(len, paths)) + 1):
        names = ["/".join(parts[-length:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{parts[-1]} {n}" for n, parts in enumerate(paths, 1)]


def _by_content(runs: Sequence[Results], labels: Sequence[str]) -> list[Results]:
    """Return the runs with one name for each image, and one image for each name."""
    names: dict[str, str] = {}
    found = []
    for run, label in zip(runs, labels):
        renamed = {}
        for name, image in run.images.items():
            taken = name in names.values() and image.hash not in names
            renamed[name] = names.setdefault(image.hash, f"{name} ({label})" if taken else name)
        images = {renamed[name]: replace(image, name=renamed[name]) for name, image in run.images.items()}
        found.append(replace(run, images=images, table=run.table.assign(image=run.table["image"].map(renamed))))
    return found


def _told_apart(runs: Sequence[Results], section: str, labels: Sequence[str]) -> list[Results]:
    """Return the runs with the names of a section changed where they stand for different things."""
    counted = Counter(name for run in runs for name in getattr(run.experiment, section))
    several = [name for name, count in counted.items() if count > 1]
    clash = {
        name
        for name in several
        if not _alike([run for run in runs if name in getattr(run.experiment, section)], section, name)
    }
    found = []
    for run, label in zip(runs, labels):
        new = {name: f"{name} ({label})" for name in getattr(run.experiment, section) if name in clash}
        found.append(_renamed(run, section, new) if new else run)
    return found


def _alike(runs: Sequence[Results], section: str, name: str) -> bool:
    """Say whether a name stands for the same in these runs: one description, and one score where both have it."""
    first, *others = runs
    return all(
        getattr(one.experiment, section)[name] == getattr(first.experiment, section)[name]
        and one.experiment.seed == first.experiment.seed
        and (section == "channels" or _same_scores(first, one, name))
        for one in others
    )


def _same_scores(first: Results, second: Results, name: str) -> bool:
    metrics = [m.name for m in first.experiment.image_metrics if m.name in second.table]
    axes = [axis for axis in first.experiment.axes if axis in second.experiment.axes]
    both = ["transceiver", "channel", "image", "realisation", *axes]

    def of(run: Results) -> "pd.DataFrame":
        rows = run.table[run.table["transceiver"] == name]
        return rows[[*both, *metrics]].astype(dict.fromkeys(axes, str))

    merged = of(first).merge(of(second), on=both, suffixes=("", " of the other"))
    return all(
        ((merged[m] - merged[f"{m} of the other"]).abs().fillna(0) < 1e-6).all()
        or merged[m].equals(merged[f"{m} of the other"])
        for m in metrics
    )


def _renamed(run: Results, section: str, new: dict[str, str]) -> Results:
    column, experiment = section.removesuffix("s"), run.experiment

    def name(old: Any) -> Any:
        return new.get(old, old)

    points = tuple(replace(point, **{column: name(getattr(point, column))}) for point in experiment.points)
    entries = {name(old): entry for old, entry in getattr(experiment, section).items()}
    arguments = {
        field: getattr(experiment, field) for field in ("transceivers", "channels", "metrics", "title", "images")
    }
    arguments |= {"seed": experiment.seed, "realisations": experiment.realisations, section: entries}
    changed = JoinedExperiment(**arguments, joined=points, of_channels=tuple(experiment.channel_axes))
    tables = {
        field: frame.assign(**{column: frame[column].map(name)}) if column in (frame := getattr(run, field)) else frame
        for field in ("table", "sets")
    }
    return replace(run, experiment=changed, **tables)
