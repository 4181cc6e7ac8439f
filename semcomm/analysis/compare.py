"""How every curve of a run compares with those of one transceiver."""

from typing import TYPE_CHECKING

import numpy as np

from semcomm.analysis.curves import RATIOS, curves
from semcomm.analysis.deltas import bd_quality, bd_rate, x_at
from semcomm.configuration import unknown_key
from semcomm.errors import ConfigurationError
from semcomm.runs.results import Results

if TYPE_CHECKING:
    import pandas as pd

RATES = ("bpp", "total_bpp", "cbr", "channel_uses_per_pixel")
LEVELS = 9
"""At how many qualities, evenly within the range that two curves share, they are compared horizontally."""


def compare(results: Results, reference: str, x: str, y: str) -> "pd.DataFrame":
    """Compare every curve with the curves of `reference` on the same channel, at equal other parameters.

    Args:
        results: of a run.
        reference: name of a transceiver.
        x: a rate (`bpp`, `total_bpp`, `cbr`, `channel_uses_per_pixel`) or another column, such as `snr_db`.
        y: a metric, `bler` or `ber`.

    Returns:
        One row per pair: `channel`, `curve`, `reference` (a curve), and

        - over a rate, `bd_rate`, the rate that the curve needs more at equal quality in per cent (negative is better),
          and `bd_quality`, its mean gain in y at equal rate: Bjøntegaard's deltas;
        - over another x, `gain`, its mean gain in y over the `points` that both have, and `x_difference`, how much
          more x it needs for the same y (negative is better where more x helps): the mean over levels of y.

        What cannot be said is NaN, and `reason` says why.

    Raises:
        ConfigurationError: for an unknown transceiver or column, or an x that holds no numbers.
    """
    import pandas as pd
    from pandas.api.types import is_numeric_dtype

    experiment = results.experiment
    if reference not in experiment.transceivers:
        raise ConfigurationError(f"there is no transceiver {unknown_key(reference, list(experiment.transceivers))}")
    frame = curves(results, x, y)
    if len(frame) and not is_numeric_dtype(frame[x]):
        raise ConfigurationError(f"{x!r} holds no numbers, so there is nothing to compare along it")
    judge = _by_rate if x in RATES else _along
    numbers = ["bd_rate", "bd_quality"] if x in RATES else ["gain", "points", "x_difference"]
    fixed = [axis for axis in experiment.axes if axis != x and _tells_apart(frame, axis)]
    rows = []
    for channel, on_channel in frame.groupby("channel", sort=False):
        theirs = on_channel[on_channel["transceiver"] == reference]
        for curve, one in on_channel[on_channel["transceiver"] != reference].groupby("curve", sort=False):
            for other_name, other in theirs.groupby("curve", sort=False):
                if _comparable(one, other, fixed):
                    found = judge(_points(one, x), _points(other, x), x, y)
                    rows.append({"channel": channel, "curve": curve, "reference": other_name, **found})
    return pd.DataFrame(rows, columns=["channel", "curve", "reference", *numbers, "reason"])


def _tells_apart(frame: "pd.DataFrame", axis: str) -> bool:
    """Say whether a swept parameter has one value along each curve."""
    return bool((frame.groupby(["channel", "curve"], sort=False)[axis].nunique() <= 1).all())


def _comparable(one: "pd.DataFrame", other: "pd.DataFrame", fixed: list[str]) -> bool:
    """Say whether two curves agree in the parameters that both have."""
    pairs = [(one[axis].dropna().unique(), other[axis].dropna().unique()) for axis in fixed]
    return all(not len(a) or not len(b) or a[0] == b[0] for a, b in pairs)


def _points(curve: "pd.DataFrame", x: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the finite points of a curve in the order of x; of several at one x, their mean."""
    points = curve[np.isfinite(curve[x].astype(float)) & np.isfinite(curve["mean"])].groupby(x)["mean"].mean()
    return points.index.to_numpy(dtype=float), points.to_numpy(dtype=float)


Curve = tuple[np.ndarray, np.ndarray]


def _by_rate(one: Curve, other: Curve, x: str, y: str) -> dict:
    """Compare at equal quality and at equal rate; points where nothing was sent have a rate without logarithm."""
    one, other = ((rate[rate > 0], quality[rate > 0]) for rate, quality in (one, other))
    found, reasons = {}, {}
    for name, delta in (("bd_rate", bd_rate), ("bd_quality", bd_quality)):
        try:
            found[name] = delta(*one, *other)
        except ConfigurationError as error:
            found[name] = np.nan
            reasons.setdefault(str(error), []).append(name)
    return {**found, "reason": "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())}


def _along(one: Curve, other: Curve, x: str, y: str) -> dict:
    """Compare at equal x and at equal y."""
    _, mine, theirs = np.intersect1d(one[0], other[0], return_indices=True)
    gain = float((one[1][mine] - other[1][theirs]).mean()) if len(mine) else np.nan
    reasons = [] if len(mine) else [f"gain: the two curves share no {x}"]
    try:
        difference = _x_difference(one, other, logarithmic=y in RATIOS)
    except ConfigurationError as error:
        difference = np.nan
        reasons.append(f"x_difference: {error}")
    return {"gain": gain, "points": len(mine), "x_difference": difference, "reason": "; ".join(reasons)}


def _x_difference(one: Curve, other: Curve, logarithmic: bool) -> float:
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
