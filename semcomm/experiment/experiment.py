"""The experiment file: what it may say, and the points that follow from it."""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal

from semcomm.channels import Channel
from semcomm.component import Component, plain
from semcomm.configuration import as_data, as_spec, build, overridden, read_yaml, unknown_key, with_argument
from semcomm.errors import ConfigurationError
from semcomm.experiment.figure import FigureSpec
from semcomm.images import ImageSet
from semcomm.memo import key_of
from semcomm.metrics import Metric, SetMetric
from semcomm.transceivers import Link

CHANNEL_AXIS = "channel."
MAX_POINTS = 100_000
"""Of a transceiver or a channel: each is built before anything is sent."""


@dataclass(frozen=True)
class Resources:
    """What a transceiver or a metric needs of a machine of a cluster. Whatever it reserves, it computes in one thread.

    Args:
        cpus: cores, or a share of one.
        gpus: GPUs, or a share of one, such as 0.25; the worker sees no other. Name `device: cuda` in the component.
    """

    cpus: float = 1
    gpus: float = 0

    def __post_init__(self) -> None:
        if not self.cpus > 0 or not self.gpus >= 0:
            raise ConfigurationError(f"cpus is {self.cpus} and gpus {self.gpus}; cpus must be above 0, gpus not below")


@dataclass(frozen=True)
class Point:
    """One transceiver over one channel with every parameter set."""

    transceiver: str
    channel: str
    parameters: dict[str, Any]
    link: Link
    over: Channel

    @cached_property
    def recipe(self) -> str:
        """Hash of the recipes of link and channel.

        Raises:
            ModelError: when the link's weights are not on this machine.
        """
        return recipe_of(self.link.recipe(), self.over)

    def reception_key(self, image_hash: str, seed: int, realisation: int) -> str:
        """Return the key under which the reconstruction of an image is kept."""
        return reception_key(self.recipe, image_hash, seed, realisation)


def spelt(component: Component) -> str:
    """Return a component's description as text, the same for two that are built alike."""
    return json.dumps(component.spec(), sort_keys=True)


def recipe_of(link: Mapping[str, Any], over: Channel) -> str:
    """Return the hash of a link's recipe and a channel."""
    return key_of({"link": link, "channel": over.recipe()})


def reception_key(recipe: str, image_hash: str, seed: int, realisation: int) -> str:
    """Return the key under which the reconstruction of an image at a point with this recipe is kept."""
    return hashlib.sha256(f"{recipe}/{image_hash}/{seed}/{realisation}".encode()).hexdigest()


@dataclass(frozen=True)
class Experiment:
    """What to send, over what, and how to judge it.

    Args:
        transceivers: name -> class (`class_path`, `init_args`) and, as `sweep`, the axes that are its own.
        channels: name -> class, likewise.
        metrics: classes, for images or for sets of them. None for bit error rates alone.
        title: for figures and report.
        images: which images.
        sweep: axis -> list of values, or `{start, stop, step}` with both ends; for every transceiver. `channel.snr_db`
            is an argument of every channel, `code.rate` one of the transceiver's code.
        seed: of all randomness.
        realisations: channel realisations per image and point.
        batch_size: how many images of one size are sent together.
        keep: of how many images the reconstructions stay on disk (first realisation), or `all`.
        figures: none draws each metric over the longest axis.
        resources: name of a transceiver or a metric -> what it needs of a machine of a cluster; a core if not said.
    """

    transceivers: dict[str, dict[str, Any] | str]
    channels: dict[str, dict[str, Any] | str] = field(default_factory=lambda: {"noiseless": "Noiseless"})
    metrics: list[Metric | SetMetric] = field(default_factory=list)
    title: str = ""
    images: ImageSet = field(default_factory=ImageSet)
    sweep: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    realisations: int = 1
    batch_size: int = 8
    keep: int | Literal["all"] = 3
    figures: list[FigureSpec] = field(default_factory=list)
    resources: dict[str, Resources] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("transceivers", "channels", "sweep"):
            object.__setattr__(self, name, as_data(getattr(self, name)))
        for name in ("realisations", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not self.transceivers or not self.channels:
            raise ConfigurationError("an experiment needs at least one transceiver and one channel")
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"two metrics have the same column: {', '.join(names)}")
        for name in self.resources:
            if name not in (known := [*self.transceivers, *names]):
                raise ConfigurationError(f"resources: there is no transceiver or metric {unknown_key(name, known)}")

    @cached_property
    def points(self) -> list[Point]:
        """Every combination of transceiver, channel and swept values, in the order of the file."""
        swept = _axes("sweep", self.sweep)
        shared = {axis: values for axis, values in swept.items() if not axis.startswith(CHANNEL_AXIS)}
        of_channels = {a.removeprefix(CHANNEL_AXIS): v for a, v in swept.items() if a.startswith(CHANNEL_AXIS)}
        links = _variants(Link, "transceivers", self.transceivers, shared)
        channels = _variants(Channel, "channels", self.channels, of_channels)
        points = []
        for (name, link, own), (channel_name, channel, theirs) in itertools.product(links, channels):
            if clash := set(own) & set(theirs):
                raise ConfigurationError(
                    f"{sorted(clash)} is swept both in transceiver {name} and channel {channel_name}"
                )
            points.append(Point(name, channel_name, {**own, **theirs}, link, channel))
        return points

    @property
    def image_metrics(self) -> list[Metric]:
        """The metrics that judge image by image."""
        return [metric for metric in self.metrics if isinstance(metric, Metric)]

    @property
    def set_metrics(self) -> list[SetMetric]:
        """The metrics that judge a point's images together."""
        return [metric for metric in self.metrics if isinstance(metric, SetMetric)]

    def needs(self, transceiver: str) -> Resources:
        """Return what a worker needs that sends with a transceiver and scores: its models stay on the GPU together."""
        found = [self.resources.get(name, Resources()) for name in (transceiver, *(m.name for m in self.metrics))]
        gpus = sum(one.gpus for one in found)
        return Resources(max(one.cpus for one in found), gpus if gpus <= 1 else math.ceil(gpus))

    @cached_property
    def axes(self) -> dict[str, list[Any]]:
        """Column of each swept parameter -> its values in order."""
        values: dict[str, dict] = {}
        for point in self.points:
            for axis, value in point.parameters.items():
                values.setdefault(axis, {})[json.dumps(plain(value))] = value
        return {axis: list(seen.values()) for axis, seen in values.items()}

    @cached_property
    def channel_axes(self) -> set[str]:
        """The swept parameters that are the channels'."""
        shared = {axis.removeprefix(CHANNEL_AXIS) for axis in self.sweep if axis.startswith(CHANNEL_AXIS)}
        own = [entry.get("sweep") or {} for entry in self.channels.values() if isinstance(entry, Mapping)]
        return shared.union(*own)

    def resolved(self) -> dict:
        """Return the experiment as plain data with every default spelt out; `load` takes it back."""
        return plain({f.name: getattr(self, f.name) for f in fields(self)}, described=Component.spec)

    def kept(self, image_index: int, realisation: int) -> bool:
        """Say whether a reconstruction stays on disk."""
        return self.keep == "all" or (realisation == 0 and image_index < self.keep)


def load(source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Read an experiment from a YAML file, or take it as plain data.

    Args:
        source: the file or the data.
        overrides: `a.b.c` -> value, set before anything is checked.

    Raises:
        ConfigurationError: one line that says where in the file and what is wrong.
    """
    where = "experiment" if isinstance(source, Mapping) else str(source)
    data = dict(source) if isinstance(source, Mapping) else read_yaml(Path(source))
    for path, value in (overrides or {}).items():
        data = overridden(data, path.split("."), value)
    known = [f.name for f in fields(Experiment)]
    for key in data:
        if key not in known:
            raise ConfigurationError(f"{where}: no such key: {unknown_key(str(key), known)}")
    experiment = build(Experiment, data, where)
    try:
        _ = experiment.points  # an impossible point is an error now, not hours later
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    return experiment


def _variants(
    kind: type, section: str, entries: Mapping[str, Any], shared: Mapping[str, list]
) -> list[tuple[str, Any, dict]]:
    """Return (name, object, swept values) of each entry with each combination of its axes."""
    found = []
    for name, entry in entries.items():
        where = f"{section}.{name}"
        own = entry.get("sweep") or {} if isinstance(entry, Mapping) else {}
        if not isinstance(own, Mapping):
            raise ConfigurationError(f"{where}.sweep: expected axes with their values, got {own!r}")
        if isinstance(entry, Mapping) and (extra := set(entry) - {"class_path", "init_args", "sweep"}):
            raise ConfigurationError(
                f"{where}: no such key: {unknown_key(extra.pop(), ['class_path', 'init_args', 'sweep'])}"
            )
        axes = {**shared, **_axes(f"{where}.sweep", own)}
        if (count := prod(map(len, axes.values()))) > MAX_POINTS:
            raise ConfigurationError(f"{where}: {count:,} combinations of swept values; the limit is {MAX_POINTS:,}")
        for values in itertools.product(*axes.values()):
            try:
                spec = {k: v for k, v in as_spec(entry).items() if k != "sweep"}
                for axis, value in zip(axes, values):
                    spec = with_argument(spec, axis, value)
            except ConfigurationError as error:
                raise ConfigurationError(f"{where}: {error}") from None
            found.append((name, build(kind, spec, where), dict(zip(axes, values))))
    return found


def _axes(where: str, swept: Mapping[str, Any]) -> dict[str, list]:
    return {axis: axis_values(f"{where}.{axis}", values) for axis, values in swept.items()}


def axis_values(where: str, values: Any) -> list:
    """Return the values of an axis: a list as it is, `{start, stop, step}` spelt out with both ends.

    Raises:
        ConfigurationError: for anything else.
    """
    if isinstance(values, list) and values:
        return values
    if isinstance(values, Mapping) and set(values) == {"start", "stop", "step"}:
        start, stop, step = (values[name] for name in ("start", "stop", "step"))
        numbers = all(isinstance(v, int | float) and abs(v) < 1e15 for v in (start, stop, step))
        if numbers and step > 0 and 0 <= stop - start < MAX_POINTS * step:
            return [round(start + n * step, 10) for n in range(int((stop - start) / step + 1e-6) + 1)]
    raise ConfigurationError(f"{where}: expected a list of values, or start, stop and step, got {values!r}")
