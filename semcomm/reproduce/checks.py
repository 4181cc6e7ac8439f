"""Checks of claims: each looks at the evidence of one figure and says, part by part, what it found.

A part is a quantity with a confidence interval and the bounds that the claim sets it. Bounds and quantities stand in
the claims' files; nothing here knows what a paper says.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any, Literal

import numpy as np

from semcomm.analysis.curves import axis_in_words, in_words
from semcomm.analysis.statistics import CONFIDENCE, Estimate
from semcomm.component import Component
from semcomm.reproduce.evidence import Evidence, Missing

Outcome = Literal["supported", "contradicted", "open", "untested"]
Verdict = Literal["holds", "holds in part", "does not hold", "could not be tested"]
Place = Mapping[str, Any]
"""Settings at a point: `{transceiver: LSCI, layers: 1}`."""


@dataclass(frozen=True)
class Part:
    """One quantity that a claim bounds.

    Attributes:
        label: what it is.
        estimate: with its interval; None where there is nothing to estimate it from.
        above: the claim has it above this.
        below: and below this.
        missing: why there is no estimate.
    """

    label: str
    estimate: Estimate | None
    above: float = -inf
    below: float = inf
    missing: str = ""

    @property
    def outcome(self) -> Outcome:
        """`supported` or `contradicted` where the whole interval is within or beyond the bounds, else `open`."""
        if self.estimate is None:
            return "untested"
        low, high = self.estimate.low, self.estimate.high
        if low > self.above and high < self.below:
            return "supported"
        if high <= self.above or low >= self.below:
            return "contradicted"
        return "open"


@dataclass(frozen=True)
class Finding:
    """The finding on a claim: a verdict, why where it needs one, and the parts."""

    verdict: Verdict
    why: str
    parts: list[Part]


class Check(Component):
    """The meaning of a claim in numbers."""

    enough: Literal["all", "one"] = "all"
    """Whether all parts must be supported for the claim to hold, or one."""

    @abstractmethod
    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Give each part of the claim.

        Raises:
            Missing: when nothing of it can be looked at.
        """

    def judge(self, evidence: Evidence) -> Finding:
        """Return what the evidence says of the claim.

        It holds when every part is supported, in part when some are. Where none is, it does not hold if one is
        contradicted, and could not be tested otherwise.
        """
        try:
            parts = list(self.parts(evidence))
        except Missing as missing:
            return Finding("could not be tested", str(missing), [])
        outcomes = [part.outcome for part in parts]
        supported, untested = outcomes.count("supported"), outcomes.count("untested")
        why = "; ".join(dict.fromkeys(part.missing for part in parts if part.missing))
        if untested == len(parts):
            return Finding("could not be tested", why, parts)
        if supported == len(parts) or (supported and self.enough == "one"):
            return Finding("holds", why, parts)
        if supported:
            return Finding("holds in part", why, parts)
        if "contradicted" in outcomes and (self.enough == "all" or "open" not in outcomes):
            return Finding("does not hold", why, parts)
        undecided = "the intervals are too wide to tell with these images"
        return Finding("could not be tested", f"{undecided}; {why}" if why else undecided, parts)


def part_of(label: str, estimated: Callable[[], Estimate], above: float = -inf, below: float = inf) -> Part:
    """Return the part that `estimated()` gives, or why it gives none."""
    try:
        return Part(label, estimated(), above, below)
    except Missing as missing:
        return Part(label, None, above, below, str(missing))


def said_of(at: Place) -> str:
    """Return a place in words."""
    return ", ".join(str(value) if key == "transceiver" else in_words(key, value) for key, value in at.items())


def _difference(evidence: Evidence, metric: str, first: Place, second: Place) -> Estimate:
    """Return by how much a metric is better at one place than at another."""
    name = evidence.named(metric) if metric not in evidence.values else metric
    places = evidence.one(first), evidence.one(second)
    if name in evidence.sets:
        means = [float(np.mean(evidence.sets[name][place])) for place in places]
        gain = evidence.sign(metric) * (means[0] - means[1])
        return Estimate(gain, gain, gain, evidence.sets[name].shape[1], 0, 0)
    sign = evidence.sign(metric) if name in evidence.metrics else 1.0
    return evidence.interval([(metric, place) for place in places], lambda m: sign * (m[..., 0] - m[..., 1]))


class Rises(Check):
    """A metric improves along an axis: from end to end, and at no step by less than minus the tolerance.

    Args:
        metric: class name.
        along: swept parameter.
        curves: the places that tell the curves; each must rise.
        falls: it gets worse along the axis instead.
        tolerance: by how much a step may go the wrong way, as a share of the curve's whole change.
    """

    def __init__(
        self, metric: str, along: str, curves: list[dict[str, Any]], falls: bool = False, tolerance: float = 0.05
    ) -> None:
        self.metric = metric
        self.along = along
        self.curves = curves
        self.falls = falls
        self.tolerance = tolerance

    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Give the whole change of each curve and its worst step as a share of it."""
        evidence.named(self.metric)
        sign = evidence.sign(self.metric) * (-1 if self.falls else 1)
        change = "fall" if self.falls else "rise"
        for at in self.curves:
            label, said = evidence.label(self.metric), said_of(at)
            whole = f"{label}, {change} along {axis_in_words(self.along)}: {said}"
            try:
                ends = evidence.along(self.along, at)
            except Missing as missing:
                yield Part(whole, None, 0.0, missing=str(missing))
                continue
            pairs = [(self.metric, n) for n in ends]
            yield part_of(
                whole,
                lambda pairs=pairs: evidence.interval(pairs, lambda m: sign * (m[..., -1] - m[..., 0])),
                0.0,
            )
            means = np.nanmean(np.where(np.isfinite(v := evidence.column(self.metric)[ends]), v, np.nan), axis=(1, 2))
            worst = int(np.argmin(sign * np.diff(means)))
            place = [evidence.points[ends[worst + n]][self.along] for n in (0, 1)]
            yield part_of(
                f"its worst step, {place[0]:g} to {place[1]:g}, as a share of that: {said}",
                lambda pairs=pairs, worst=worst: evidence.interval(
                    pairs, lambda m: sign * (m[..., worst + 1] - m[..., worst]) / abs(m[..., -1] - m[..., 0])
                ),
                -self.tolerance,
            )


class Concentrated(Check):
    """Most of what a metric changes along an axis, it changes in one part of it, and more so than others do.

    Args:
        metric: class name.
        along: swept parameter.
        curve: the place that tells the curve.
        upto: the part from the axis's beginning to here, or
        beyond: from here to its end.
        above: the share of the whole change that the claim has in that part; none says nothing of it.
        more_than: metrics whose share the claim has below this one's.
    """

    def __init__(
        self,
        metric: str,
        along: str,
        curve: dict[str, Any],
        upto: float | None = None,
        beyond: float | None = None,
        above: float | None = None,
        more_than: Sequence[str] = (),
    ) -> None:
        self.metric = metric
        self.along = along
        self.curve = curve
        self.upto = upto
        self.beyond = beyond
        self.above = above
        self.more_than = more_than

    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Give the share of the metric, and its excess over that of each other."""
        evidence.named(self.metric)
        ends = evidence.along(self.along, self.curve)
        turn = evidence.one({**self.curve, self.along: self.beyond if self.upto is None else self.upto})
        first, last = (ends[0], turn) if self.upto is not None else (turn, ends[-1])
        turning = in_words(self.along, evidence.points[turn][self.along])
        part = f"{'up to' if self.upto is not None else 'from'} {turning}"

        def of(metric: str) -> list[tuple[str, int]]:
            evidence.named(metric)
            return [(metric, n) for n in (first, last, ends[0], ends[-1])]

        def share(m: np.ndarray) -> np.ndarray:
            return (m[..., 1] - m[..., 0]) / (m[..., 3] - m[..., 2])

        label = evidence.label(self.metric)
        if self.above is not None:
            yield part_of(
                f"{label}, share of its change {part}",
                lambda: evidence.interval(of(self.metric), share),
                self.above,
            )
        for other in self.more_than:
            yield part_of(
                f"that share of {label} less that of {evidence.label(other)}",
                lambda other=other: evidence.interval(
                    of(self.metric) + of(other), lambda m: share(m[..., :4]) - share(m[..., 4:])
                ),
                0.0,
            )


class Reverses(Check):
    """Somewhere along an axis a metric goes the wrong way: it gets worse while all else gets better.

    One step is enough; the intervals of all steps together keep their confidence (Bonferroni).

    Args:
        metric: class name.
        along: swept parameter.
        curves: the places that tell the curves.
    """

    enough = "one"

    def __init__(self, metric: str, along: str, curves: list[dict[str, Any]]) -> None:
        self.metric = metric
        self.along = along
        self.curves = curves

    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Give the loss at every step."""
        evidence.named(self.metric)
        sign, found = evidence.sign(self.metric), [(at, evidence.along(self.along, at)) for at in self.curves]
        steps = [(at, a, b) for at, ends in found for a, b in pairwise(ends)]
        confidence = 1 - (1 - CONFIDENCE) / len(steps)
        for at, a, b in steps:
            places = [evidence.points[n][self.along] for n in (a, b)]
            yield part_of(
                f"{evidence.label(self.metric)}, loss from {places[0]:g} to {places[1]:g}: {said_of(at)}",
                lambda a=a, b=b: evidence.interval(
                    [(self.metric, a), (self.metric, b)], lambda m: sign * (m[..., 0] - m[..., 1]), confidence
                ),
                0.0,
            )


class Ranks(Check):
    """Some metrics put one place above another, and others do not.

    Args:
        first: a place.
        second: another one.
        above: metrics that, in the claim, find the first better.
        below: metrics that, in the claim, find the second better.
        level: metrics that, in the claim, find them alike to within `margin`.
        margin: for `level`.
    """

    def __init__(
        self,
        first: dict[str, Any],
        second: dict[str, Any],
        above: Sequence[str] = (),
        below: Sequence[str] = (),
        level: Sequence[str] = (),
        margin: float = 0.02,
    ) -> None:
        self.first = first
        self.second = second
        self.above = above
        self.below = below
        self.level = level
        self.margin = margin

    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Give each metric's difference, positive where it finds the first better."""
        bounds = [(self.above, 0.0, inf), (self.below, -inf, 0.0), (self.level, -self.margin, self.margin)]
        for metrics, above, below in bounds:
            for metric in metrics:
                yield part_of(
                    f"{evidence.label(metric)}: {said_of(self.first)} over {said_of(self.second)}",
                    lambda metric=metric: _difference(evidence, metric, self.first, self.second),
                    above,
                    below,
                )


class Widens(Check):
    """The gain of one transceiver over another grows from one place to the next.

    Args:
        metric: class name.
        first: transceiver whose gain it is.
        second: transceiver over which.
        start: where the gain is small.
        end: where it is larger.
        from_the_start: the claim has a gain at the start already.
    """

    def __init__(
        self,
        metric: str,
        first: str,
        second: str,
        start: dict[str, Any],
        end: dict[str, Any],
        from_the_start: bool = False,
    ) -> None:
        self.metric = metric
        self.first = first
        self.second = second
        self.start = start
        self.end = end
        self.from_the_start = from_the_start

    def parts(self, evidence: Evidence) -> Iterator[Part]:
        """Give the growth of the gain and, where the claim has one, the gain at the start."""
        evidence.named(self.metric)
        sign, label = evidence.sign(self.metric), evidence.label(self.metric)
        places = [
            (self.metric, evidence.one({"transceiver": link, **at}))
            for at in (self.start, self.end)
            for link in (self.first, self.second)
        ]
        yield part_of(
            f"{label}: growth of {self.first} over {self.second} from {said_of(self.start)} to {said_of(self.end)}",
            lambda: evidence.interval(places, lambda m: sign * (m[..., 2] - m[..., 3] - m[..., 0] + m[..., 1])),
            0.0,
        )
        if self.from_the_start:
            yield part_of(
                f"{label}: {self.first} over {self.second} at {said_of(self.start)}",
                lambda: evidence.interval(places, lambda m: sign * (m[..., 0] - m[..., 1])),
                0.0,
            )
