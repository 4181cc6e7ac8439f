"""More checks: levels, worst cases, slopes, and what a figure's extra has measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from semcomm.analysis.statistics import Estimate, estimate
from semcomm.reproduce.checks import Check, Part, part_of, said_of
from semcomm.reproduce.evidence import Evidence, Missing, stated


class Level(Check):
    """A metric lies within bounds at each of some places.

    Args:
        metric: class name, or a column such as `bpp`.
        at: places.
        above: lower bound; none has none.
        below: upper bound; none has none.
        original: the bounds are numbers of the paper's models, so that a stand-in's say nothing about them.
    """

    def __init__(
        self,
        metric: str,
        at: list[dict[str, Any]],
        above: float = -inf,
        below: float = inf,
        original: bool = False,
    ) -> None:
        self.metric = metric
        self.at = at
        self.above = above
        self.below = below
        self.original = original

    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Give the mean at each place."""
        _same_models(self.original, evidence)
        for place in self.at:
            yield part_of(
                f"{evidence.label(self.metric)}: {said_of(place)}",
                lambda place=place: evidence.interval([(self.metric, evidence.one(place))], lambda m: m[..., 0]),
                self.above,
                self.below,
            )


class Published(Check):
    """A metric is at each of some transceivers what was published, to within a margin.

    Args:
        metric: class name.
        values: transceiver -> the published mean.
        within: the margin.
        original: the numbers are those of the paper's models, so that a stand-in's say nothing about them.
    """

    def __init__(self, metric: str, values: dict[str, float], within: float, original: bool = True) -> None:
        self.metric = metric
        self.values = values
        self.within = within
        self.original = original

    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Give the mean at each transceiver."""
        _same_models(self.original, evidence)
        for name, value in self.values.items():
            place = {"transceiver": name}
            yield part_of(
                f"{evidence.label(self.metric)}: {name} (published {value:g})",
                lambda place=place: evidence.interval([(self.metric, evidence.one(place))], lambda m: m[..., 0]),
                value - self.within,
                value + self.within,
            )


class WorstCase(Check):
    """The lowest mean of a metric over some places is above that of other metrics.

    Args:
        metric: class name.
        over: places.
        more_than: metrics with a worst case that, in the claim, is lower.
    """

    def __init__(self, metric: str, over: list[dict[str, Any]], more_than: Sequence[str]) -> None:
        self.metric = metric
        self.over = over
        self.more_than = more_than

    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Give the excess of the metric's worst case over each other's."""
        evidence.named(self.metric)
        places = [evidence.one(at) for at in self.over]
        for other in self.more_than:
            yield part_of(
                f"worst case of {evidence.label(self.metric)} less that of {evidence.label(other)}",
                lambda other=other: _worst(evidence, (self.metric, other), places),
                0.0,
            )


def _worst(evidence: Evidence, metrics: tuple[str, str], places: list[int]) -> Estimate:
    """Return the lowest mean of one metric less that of another.

    The difference is no smaller than the smallest from the other's mean at any one place, and no larger than the
    largest from the one's own mean at any one place, so that intervals of plain differences bound it.
    """

    def difference(first: int, second: int) -> Estimate:
        pairs = [(metrics[0], places[first]), (metrics[1], places[second])]
        return evidence.interval(pairs, lambda m: m[..., 0] - m[..., 1])

    means = [[evidence.interval([(metric, n)], lambda m: m[..., 0]).mean for n in places] for metric in metrics]
    lowest = [int(np.argmin(of_metric)) for of_metric in means]
    found = difference(*lowest)
    low = min(difference(n, lowest[1]).low for n in range(len(places)))
    high = max(difference(lowest[0], n).high for n in range(len(places)))
    return replace(found, low=low, high=high)


class Steepens(Check):
    """A metric falls slowly up to a place on an axis and sharply from there to another.

    Args:
        metric: class name.
        along: swept parameter.
        curve: the place that tells the curve.
        start: where the slow part begins.
        turn: where it ends.
        end: where the sharp part ends.
        by: how many times steeper it is there, in the claim.
    """

    def __init__(
        self, metric: str, along: str, curve: dict[str, Any], start: float, turn: float, end: float, by: float = 2.0
    ) -> None:
        self.metric = metric
        self.along = along
        self.curve = curve
        self.start = start
        self.turn = turn
        self.end = end
        self.by = by

    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Give the fall in the sharp part less `by` times the fall that the slow part's slope would make there."""
        evidence.named(self.metric)
        sign = evidence.sign(self.metric)
        places = [(self.metric, evidence.one({**self.curve, self.along: x})) for x in (self.start, self.turn, self.end)]
        stretch = self.by * (self.end - self.turn) / (self.turn - self.start)
        yield part_of(
            f"{evidence.label(self.metric)}: fall from {self.turn:g} to {self.end:g}, less {self.by:g} times that of "
            f"the slope before",
            lambda: evidence.interval(
                places, lambda m: sign * ((m[..., 1] - m[..., 2]) - stretch * (m[..., 0] - m[..., 1]))
            ),
            0.0,
        )


class MoreSensitive(Check):
    """Some metrics lose a larger share of their value along an axis than others.

    Args:
        metrics: class names of those that lose more.
        than: of those that lose less.
        along: swept parameter.
        curve: the place that tells the curve.
    """

    def __init__(self, metrics: Sequence[str], than: Sequence[str], along: str, curve: dict[str, Any]) -> None:
        self.metrics = metrics
        self.than = than
        self.along = along
        self.curve = curve

    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Give, for each pair, the lost share of the one less that of the other."""
        ends = evidence.along(self.along, self.curve)
        for metric in self.metrics:
            for other in self.than:
                yield part_of(
                    f"lost share of {evidence.label(metric)} less that of {evidence.label(other)}",
                    lambda metric=metric, other=other: evidence.interval(
                        [(name, n) for name in (metric, other) for n in (ends[0], ends[-1])],
                        lambda m: m[..., 3] / m[..., 2] - m[..., 1] / m[..., 0],
                    ),
                    0.0,
                )


class Payload(Check):
    """The payload has the size that is claimed, as a share of the image as the model sees it, in float64 values.

    Args:
        transceiver: whose payload.
        above: lower bound of the share.
        below: upper bound.
        less: a transceiver whose payload is taken off, to leave that of one stream.
    """

    def __init__(self, transceiver: str, above: float, below: float, less: str | None = None) -> None:
        self.transceiver = transceiver
        self.above = above
        self.below = below
        self.less = less

    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Give the share."""
        places = [evidence.one({"transceiver": name}) for name in (self.transceiver, self.less) if name]
        pixels = evidence.facts.get("working_pixels")
        if not pixels:
            raise Missing("the size at which the model works is not known")
        whole = 3 * 64 * pixels
        said = f"{self.transceiver}{f' without {self.less}' if self.less else ''}"
        yield part_of(
            f"{said}: bits sent, as a share of the image in float64 at the model's {pixels} pixels",
            lambda: evidence.interval(
                [("source_bits", n) for n in places],
                lambda m: (m[..., 0] - (m[..., 1] if self.less else 0.0)) / whole,
            ),
            self.above,
            self.below,
        )


class Facts(Check):
    """Numbers that a figure's extra has measured lie within bounds.

    Args:
        bounds: name of the fact, a number or a list of numbers per pair -> [above, below].
    """

    def __init__(self, bounds: dict[str, list[float]]) -> None:
        self.bounds = bounds

    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Give each fact, a list by its mean with its interval."""
        for name, (above, below) in self.bounds.items():
            yield part_of(name, lambda name=name: _fact(evidence.facts, name), above, below)


class NeedsPeople(Check):
    """A claim that only people can judge.

    Args:
        why: what they would have to do.
    """

    def __init__(self, why: str) -> None:
        self.why = why

    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Say so."""
        raise Missing(self.why)


def _fact(facts: Mapping[str, Any], name: str) -> Estimate:
    if name not in facts:
        raise Missing(str(facts.get("missing", f"{name} was not measured")))
    value = facts[name]
    if isinstance(value, int | float):
        return Estimate(value, value, value, 1, 0, 0)
    return stated(estimate(np.asarray(value, dtype=float).reshape(-1, 1)))


def _same_models(original: bool, evidence: Evidence) -> None:
    if original and evidence.stands_in:
        raise Missing("the published numbers are of the paper's models; here others stand in for them")
