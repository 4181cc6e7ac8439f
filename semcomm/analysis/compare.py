"""Comparison of every curve with those of one transceiver, image by image."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from semcomm.analysis.curves import RATIOS, Curve, curves_of
from semcomm.analysis.deltas import bd_quality, bd_rate, x_at
from semcomm.analysis.statistics import estimate_of, interval
from semcomm.configuration import unknown_key
from semcomm.errors import ConfigurationError
from semcomm.runs.results import Results

if TYPE_CHECKING:
    import pandas as pd

RATES = ("bpp", "total_bpp", "cbr", "channel_uses_per_pixel")
LEVELS = 9
"""At how many qualities, evenly within the range that two curves share, they are compared horizontally."""
BY_RATE = ("bd_rate", "bd_quality")
ALONG = ("gain", "x_difference")

Points = tuple[np.ndarray, np.ndarray]


def compare(results: Results, reference: str, x: str, y: str, each: bool = False) -> "pd.DataFrame":
    """Compare every curve with the curves of `reference` on the same channel, at equal other parameters.

    Differences are of the curve less the reference, of the same images: what images have in common cancels. Each has
    its 95 % interval over images, as `<name>_low` and `<name>_high`; NaN where a single image or a curve that breaks
    without one of the images gives none.

    Args:
        results: of a run, or of several.
        reference: name of a transceiver.
        x: a rate (`bpp`, `total_bpp`, `cbr`, `channel_uses_per_pixel`) or another column, such as `snr_db`.
        y: a metric, `bler` or `ber`.
        each: give a row for every x that both curves have, with the `gain` there.

    Returns:
        One row per pair: `channel`, `curve`, `reference` (a curve), and

        - over a rate, `bd_rate`, the rate that the curve needs more at equal quality in per cent (negative is better),
          and `bd_quality`, its mean gain in y at equal rate: Bjøntegaard's deltas;
        - over another x, `gain`, its mean gain in y over the `points` that both have, and `x_difference`, how much
          more x it needs for the same y (negative is better where more x helps): the mean over levels of y.

        `images` says how many images both have. What cannot be said is NaN, and `reason` says why.

    Raises:
        ConfigurationError: for an unknown transceiver or column, or an x that holds no numbers.
    """
    import pandas as pd

    experiment = results.experiment
    if reference not in experiment.transceivers:
        raise ConfigurationError(f"there is no transceiver {unknown_key(reference, list(experiment.transceivers))}")
    found = sorted(curves_of(results, x, y), key=lambda curve: list(experiment.channels).index(curve.channel))
    if any(isinstance(place, str) for curve in found for place in curve.places):
        raise ConfigurationError(f"{x!r} holds no numbers, so there is nothing to compare along it")
    pairs = [
        (curve, other)
        for curve in found
        for other in found
        if curve.transceiver != reference == other.transceiver and curve.channel == other.channel
        if all(curve.fixed[axis] == other.fixed[axis] for axis in curve.fixed.keys() & other.fixed.keys())
    ]
    rows = []
    for curve, other in pairs:
        named = {"channel": curve.channel, "curve": curve.name, "reference": other.name}
        if each:
            rows += [{**named, **row} for row in _gains(curve, other, x)]
        else:
            rows.append({**named, **_Pair(curve, other, x, y).row()})
    if each:
        return pd.DataFrame(rows, columns=["channel", "curve", "reference", x, *_ends("gain"), "images"])
    numbers = [name for quantity in (BY_RATE if x in RATES else ALONG) for name in _ends(quantity)]
    points = [] if x in RATES else ["points"]
    return pd.DataFrame(rows, columns=["channel", "curve", "reference", *numbers, *points, "images", "reason"])


def _ends(quantity: str) -> list[str]:
    return [quantity, f"{quantity}_low", f"{quantity}_high"]


class _Pair:
    """Two curves, as what their points are without any one image."""

    def __init__(self, curve: Curve, other: Curve, x: str, y: str) -> None:
        self.curves, self.x, self.y = (curve, other), x, y
        there = [np.isfinite(one.values).any((0, 2)) for one in self.curves]
        self.images = np.nonzero(there[0] & there[1])[0]

    def row(self) -> dict[str, Any]:
        """Return the numbers of the pair, and why what is not there is not."""
        judges = {"bd_rate": self._bd(bd_rate), "bd_quality": self._bd(bd_quality)}
        if self.x not in RATES:
            judges = {"gain": self._gain, "x_difference": self._x_difference}
        found: dict[str, Any] = {} if self.x in RATES else {"points": len(self._common())}
        reasons: dict[str, list[str]] = {}
        for name, judge in judges.items():
            try:
                numbers = self._estimated(judge)
            except ConfigurationError as error:
                numbers = (np.nan, np.nan, np.nan)
                reasons.setdefault(str(error), []).append(name)
            found |= zip(_ends(name), numbers)
        reason = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
        return {**found, "images": len(self.images), "reason": reason}

    def _estimated(self, judge: Callable[[np.ndarray], float]) -> tuple[float, float, float]:
        """Return a number with the ends of its interval."""
        whole = judge(self.images)
        without = []
        for image in self.images if len(self.images) > 1 else []:
            try:
                without.append(judge(self.images[self.images != image]))
            except ConfigurationError:
                without.append(np.nan)
        return whole, *interval(whole, without)

    def _points(self, curve: Curve, images: np.ndarray) -> Points:
        """Return the finite points of a curve for these images in the order of x; of several at one x, their mean."""
        y = _means(curve.values[:, images], None if curve.weights is None else curve.weights[:, images])
        x = np.array(curve.places, dtype=float) if curve.along is None else _means(curve.along[:, images], None)
        good = np.isfinite(x) & np.isfinite(y)
        places, at = np.unique(x[good], return_inverse=True)
        return places, np.bincount(at, weights=y[good]) / np.maximum(1, np.bincount(at))

    def _bd(self, delta: Callable[..., float]) -> Callable[[np.ndarray], float]:
        def judge(images: np.ndarray) -> float:
            pair = [self._points(curve, images) for curve in self.curves]
            sent = [(rate[rate > 0], quality[rate > 0]) for rate, quality in pair]  # no rate, no logarithm
            return delta(*sent[0], *sent[1])

        return judge

    def _common(self) -> list[tuple[int, int]]:
        return common_points(*self.curves)

    def _gain(self, images: np.ndarray) -> float:
        """Return the mean difference in y over the x that both have, of images and realisations that both have."""
        differences = []
        for n, m in self._common():
            usable = np.isfinite(self.curves[0].values[n][images]) & np.isfinite(self.curves[1].values[m][images])
            means = []
            for curve, at in zip(self.curves, (n, m)):
                weights = np.ones(usable.shape) if curve.weights is None else curve.weights[at][images]
                below = np.where(usable, weights, 0).sum()
                means.append(np.where(usable, curve.values[at][images], 0).sum() / below if below else np.nan)
            differences.append(means[0] - means[1])
        differences = [value for value in differences if np.isfinite(value)]
        if not differences:
            raise ConfigurationError(f"the two curves share no {self.x}")
        return float(np.mean(differences))

    def _x_difference(self, images: np.ndarray) -> float:
        pair = [self._points(curve, images) for curve in self.curves]
        return x_difference(*pair, logarithmic=self.y in RATIOS)


def _means(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return the mean of each point [points, images, realisations]; NaN where there is no value."""
    usable = np.isfinite(values)
    below = np.where(usable, 1.0 if weights is None else weights, 0.0).sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, np.where(usable, values, 0.0).sum((1, 2)) / below, np.nan)


def common_points(curve: Curve, other: Curve) -> list[tuple[int, int]]:
    """Return which points of two curves stand at the same x, in the order of x."""
    places = {place: m for m, place in enumerate(other.places)}
    pairs = [(n, places[place]) for n, place in enumerate(curve.places) if place in places]
    return sorted(pairs, key=lambda pair: curve.places[pair[0]])


def _gains(curve: Curve, other: Curve, x: str) -> list[dict[str, Any]]:
    """Return the paired difference at each x that both curves have."""
    rows = []
    for n, m in common_points(curve, other):
        values = [curve.values[n], other.values[m]]
        usable = np.isfinite(values).all(0)
        pair = [np.where(usable, one, np.nan) for one in values]
        weights = None if curve.weights is None else [curve.weights[n], other.weights[m]]
        e = estimate_of(lambda means: means[..., 0] - means[..., 1], pair, weights)
        rows.append({x: curve.places[n], "gain": e.mean, "gain_low": e.low, "gain_high": e.high, "images": e.images})
    return rows


def x_difference(one: Points, other: Points, logarithmic: bool) -> float:
    """Return how much more x the first curve needs for the same y: the mean over levels that both reach by rising.

    A falling pair of curves, of error rates for instance, is compared upside down. Error rates are interpolated in
    their logarithm.

    Raises:
        ConfigurationError: when there is no such level.
    """
    pair = []
    for x, y in (one, other):
        if logarithmic:
            x, y = x[y > 0], np.log10(y[y > 0])
        if len(x) < 2:
            raise ConfigurationError("a curve has fewer than two finite points")
        pair.append((x, y))
    if sum(y[-1] - y[0] for _, y in pair) < 0:
        pair = [(x, -y) for x, y in pair]
    low = max(y[0] for _, y in pair)
    high = min(y.max() for _, y in pair)
    if not low < high:
        raise ConfigurationError("the two curves share no range of y")
    levels = np.linspace(low, high, LEVELS + 2)[1:-1]  # the ends are often plateaus, which say nothing about x
    (x, y), (to_x, to_y) = pair
    return float(np.mean([x_at(x, y, level) - x_at(to_x, to_y, level) for level in levels]))
