"""An experiment as it was run, from what was written down then: no class, no weights and no file are needed."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

from semcomm.channels import Channel
from semcomm.component import Component
from semcomm.errors import RunError
from semcomm.experiment.experiment import Experiment, Point, Resources
from semcomm.experiment.figure import FigureSpec
from semcomm.images import ImageSet
from semcomm.metrics import Metric, SetMetric
from semcomm.recipes import plain
from semcomm.transceivers import Link


class Recorded(Component):
    """A component without its class: as much as the run recorded of it."""

    described: ClassVar[Mapping[str, Any]]

    def spec(self) -> dict:
        """Return what builds the component again where its class is."""
        return dict(self.described["spec"])

    def recipe(self) -> dict:
        """Return its recipe, if that was written down."""
        if "recipe" not in self.described:
            raise RunError(f"{type(self).__name__} is only known from a run's folder; run the experiment to use it")
        return dict(self.described["recipe"])


class _Link(Recorded, Link):
    def transmit(self, images: Any, channel: Any, seeds: Any) -> Any:
        raise RunError(f"{type(self).__name__} is only known from a run's folder; run the experiment to use it")


class _Channel(Recorded, Channel):
    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise RunError(f"{type(self).__name__} is only known from a run's folder; run the experiment to use it")

    carry = _carry = csi = capacity = _refuse


class _Metric(Recorded, Metric):
    def score(self, prepared: Any, reconstruction: Any) -> Any:
        raise RunError(f"{type(self).__name__} is only known from a run's folder; run the experiment to use it")


class _SetMetric(Recorded, SetMetric):
    def features(self, images: Any) -> Any:
        raise RunError(f"{type(self).__name__} is only known from a run's folder; run the experiment to use it")

    distance = features


def record(experiment: Experiment) -> dict[str, Any]:
    """Return what `reopened` needs beside the experiment's own plain data."""
    links = {id(point.link): point.link for point in experiment.points}
    channels = {id(point.over): point.over for point in experiment.points}
    number = {key: n for parts in (links, channels) for n, key in enumerate(parts)}
    return {
        "links": [{"class": type(link).__name__, "spec": link.spec()} for link in links.values()],
        "channels": [
            {"class": type(c).__name__, "spec": c.spec(), "recipe": c.recipe(), "snr_db": c.snr_db}
            for c in channels.values()
        ],
        "points": [
            [p.transceiver, p.channel, plain(p.parameters), number[id(p.link)], number[id(p.over)]]
            for p in experiment.points
        ],
        "metrics": [
            {
                "class": type(metric).__name__,
                "spec": metric.spec(),
                "of_sets": isinstance(metric, SetMetric),
                **{key: getattr(metric, key) for key in ("name", "unit", "higher_is_better")},
                "range": list(metric.range),
            }
            for metric in experiment.metrics
        ],
    }


def reopened(data: Mapping[str, Any], recorded: Mapping[str, Any]) -> Experiment:
    """Return an experiment that can be read: its points and metrics say what they are, and send or score nothing.

    Args:
        data: the experiment as plain data.
        recorded: what `record` gave when it was run.
    """
    known = {f.name: data[f.name] for f in fields(Experiment) if f.name in data}
    known["images"] = ImageSet(**{f.name: data["images"][f.name] for f in fields(ImageSet) if f.name in data["images"]})
    known["figures"] = [FigureSpec(**figure) for figure in data.get("figures", [])]
    known["resources"] = {name: Resources(**need) for name, need in data.get("resources", {}).items()}
    known["metrics"] = _made(recorded["metrics"], ("name", "unit", "higher_is_better", "range"))
    experiment = Experiment(**known)
    links, channels = _made(recorded["links"], (), _Link), _made(recorded["channels"], ("snr_db",), _Channel)
    points = [Point(t, c, dict(p), links[link], channels[over]) for t, c, p, link, over in recorded["points"]]
    vars(experiment).update(points=points, _resolved=dict(data))  # in place of what would be built
    return experiment


def _made(described: Sequence[Mapping[str, Any]], names: Sequence[str], base: type | None = None) -> list[Any]:
    """Return an object for each description, of a class that is called as the one it stands for."""
    return [
        type(
            one["class"],
            (base or (_SetMetric if one["of_sets"] else _Metric),),
            {"described": one, "version": 1, **{name: one[name] for name in names}},
        )()
        for one in described
    ]
