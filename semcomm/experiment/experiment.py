"""The experiment file: what it may say, and the points that follow from it."""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from semcomm.channels import Channel
from semcomm.classes import is_called, spelt_out, unknown_key, with_defaults
from semcomm.component import Component, plain
from semcomm.configuration import all_overridden, as_data, build, read_yaml
from semcomm.errors import ConfigurationError
from semcomm.experiment.axes import CHANNEL_AXIS, axes_of, kind_of, label, variants
from semcomm.experiment.figure import FigureSpec
from semcomm.images import ImageSet
from semcomm.memo import key_of
from semcomm.metrics import Metric, SetMetric
from semcomm.transceivers import Link
from semcomm.transceivers.checks import COLUMNS


@dataclass(frozen=True)
class Resources:
    """Needs of a transceiver or a metric on a machine of a cluster. Whatever it reserves, it computes in one thread.

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
    """An experiment: images, transceivers, channels, metrics and the axes they are swept over.

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
        metrics = [
            m if hasattr(m, "recipe") else build(Metric | SetMetric, m, "metrics") for m in _listed(self.metrics)
        ]
        object.__setattr__(self, "metrics", metrics)
        if isinstance(images := _images(self.images), Mapping):
            object.__setattr__(self, "images", ImageSet(**images))
        for name in ("realisations", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.keep != "all" and self.keep < 0:
            raise ConfigurationError(f"keep is {self.keep}; it is a number of images from 0 on, or all")
        if not self.transceivers or not self.channels:
            raise ConfigurationError("an experiment needs at least one transceiver and one channel")
        for name in (*self.transceivers, *self.channels):
            if not isinstance(name, str):
                raise ConfigurationError(f"{name!r} is no name: the names of transceivers and channels are text")
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"two metrics have the same column: {', '.join(names)}")
        for name in names:
            if name in COLUMNS:
                raise ConfigurationError(f"the metric {name!r} has the name of another column; call it otherwise")
        object.__setattr__(self, "figures", [self._figure(figure) for figure in self.figures])
        for name in self.resources:
            if name not in (known := [*self.transceivers, *names]):
                raise ConfigurationError(f"resources: there is no transceiver or metric {unknown_key(name, known)}")

    @cached_property
    def points(self) -> list[Point]:
        """Every combination of transceiver, channel and swept values, in the order of the file."""
        swept = axes_of("sweep", self.sweep)
        shared = {axis: values for axis, values in swept.items() if not axis.startswith(CHANNEL_AXIS)}
        of_channels = {a.removeprefix(CHANNEL_AXIS): v for a, v in swept.items() if a.startswith(CHANNEL_AXIS)}
        links = variants(Link, "transceivers", self.transceivers, shared)
        channels = variants(Channel, "channels", self.channels, of_channels)
        points = []
        for (name, link, own), (channel_name, channel, theirs) in itertools.product(links, channels):
            if clash := set(own) & set(theirs):
                raise ConfigurationError(
                    f"{sorted(clash)} is swept both in transceiver {name} and channel {channel_name}"
                )
            points.append(Point(name, channel_name, self._as_shown({**own, **theirs}), link, channel))
        return points

    def column(self, name: str) -> str:
        """Return the column that a name means: a metric's by its class or column in any case; others as they are."""
        columns = {metric.name: type(metric) for metric in self.metrics}
        called = [column for column, cls in columns.items() if is_called(cls, column, name)]
        return called[0] if name not in columns and len(called) == 1 else name

    @cached_property
    def _worded(self) -> set[str]:
        """The axes that have words beside numbers: all their values are text."""
        kinds: dict[str, set] = {}
        entries = [*self.transceivers.values(), *self.channels.values()]
        own = [entry.get("sweep") or {} for entry in entries if isinstance(entry, Mapping)]
        for swept in (self.sweep, *(axes for axes in own if isinstance(axes, Mapping))):
            for axis, values in axes_of("sweep", swept).items():
                kinds.setdefault(axis.removeprefix(CHANNEL_AXIS), set()).update(kind_of(label(v)) for v in values)
        return {axis for axis, found in kinds.items() if len(found - {None}) > 1}

    def _as_shown(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        def shown(value: Any) -> Any:
            value = label(value)
            return value if value is None or isinstance(value, str) else json.dumps(value)

        return {axis: shown(value) if axis in self._worded else value for axis, value in parameters.items()}

    def _figure(self, figure: FigureSpec) -> FigureSpec:
        where = {axis.removeprefix(CHANNEL_AXIS): value for axis, value in figure.where.items()}
        x = self.column(figure.x.removeprefix(CHANNEL_AXIS))
        y = self.column(figure.y) if isinstance(figure.y, str) else [self.column(one) for one in figure.y]
        return replace(figure, x=x, y=y, where=self._as_shown(where))

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
        return shared.union(*({axis.removeprefix(CHANNEL_AXIS) for axis in axes} for axes in own))

    def resolved(self) -> dict:
        """Return the experiment as plain data with every default spelt out; `load` takes it back."""
        return self._resolved

    @cached_property
    def _resolved(self) -> dict:
        said = plain({f.name: getattr(self, f.name) for f in fields(self)}, described=lambda part: part.spec())
        for section, kind in (("transceivers", Link), ("channels", Channel)):
            said[section] = {name: plain(with_defaults(kind, entry)) for name, entry in said[section].items()}
        return said

    def kept(self, image_index: int, realisation: int) -> bool:
        """Say whether a reconstruction stays on disk."""
        return self.keep == "all" or (realisation == 0 and image_index < self.keep)


def load(source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Read an experiment from a YAML file, or take it as plain data.

    Names of classes and choices are taken in any case; numbers, arrays and ranges may be NumPy's.

    Args:
        source: the file or the data, in which objects may stand for what describes them.
        overrides: `a.b.c` -> value, set before anything is checked.

    Raises:
        ConfigurationError: one line that says where in the file and what is wrong.
    """
    where = "experiment" if isinstance(source, Mapping) else str(source)
    data = as_data(source) if isinstance(source, Mapping) else read_yaml(Path(source))
    data, changes = ({k: _images(v) if k == "images" else v for k, v in d.items()} for d in (data, overrides or {}))
    try:
        data = all_overridden(data, changes)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    known = [f.name for f in fields(Experiment)]
    for key in data:
        if key not in known:
            raise ConfigurationError(f"{where}: no such key: {unknown_key(str(key), known)}")
    for key in ("metrics", "figures"):
        if key in data:
            data[key] = _listed(data[key])
    data["metrics"] = [spelt_out((Metric, SetMetric), m, f"{where}.metrics") for m in data.get("metrics") or []]
    experiment = build(Experiment, data, where)
    try:
        _ = experiment.points  # an impossible point is an error now, not hours later
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    return experiment


def _images(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    """Return a list; a single item, or names apart by commas, become one."""
    if isinstance(value, str) and "(" not in value:
        return [name.strip() for name in value.split(",") if name.strip()]
    return value if isinstance(value, list | tuple) or value is None else [value]
