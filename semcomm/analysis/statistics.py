"""Curves with confidence intervals, and how two curves compare.

Means are over images and realisations. Confidence intervals are bootstrapped in two levels: images are
resampled, then realisations within each of them. Values that are infinite (the PSNR of identical images) or missing are
left out of the mean and counted apart.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from semcomm.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas as pd

    from semcomm.runs.results import Results

RESAMPLES = 1000
CONFIDENCE = 0.95
BLOCK = 4_000_000
"""How many values are resampled at once."""
RATIOS = {"bler": ("block_errors", "blocks"), "ber": ("bit_errors", "bits")}
"""Quantities that are a ratio of sums rather than a mean."""
BUDGETS = {"bpp", "channel_uses_per_pixel", "layers"}
"""Parameters that give a transceiver more to send."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its confidence interval.

    Attributes:
        mean: over images and realisations.
        low: lower end of the 95 % interval.
        high: upper end.
        count: how many values went into it.
        infinite: how many infinite ones were left out.
    """

    mean: float
    low: float
    high: float
    count: int
    infinite: int


def estimate(values: np.ndarray, weights: np.ndarray | None = None, resamples: int = RESAMPLES) -> Estimate:
    """Return the mean of `values` [images, realisations] with its bootstrap interval (percentiles; a fixed seed).

    Args:
        values: NaN where there is none. With `weights`, the numerators of a ratio of sums.
        weights: denominators, alike; the estimate is then sum(values) / sum(weights).
        resamples: how many.
    """
    return estimates([values], None if weights is None else [weights], resamples)[0]


def estimates(
    values: Sequence[np.ndarray], weights: Sequence[np.ndarray] | None = None, resamples: int = RESAMPLES
) -> list[Estimate]:
    """Return the estimates of many points; those of one shape are resampled alike, and together."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for at, value in enumerate(values):
        by_shape.setdefault(value.shape, []).append(at)
    found: dict[int, Estimate] = {}
    for shape, places in by_shape.items():
        above = np.stack([values[at] for at in places])
        below = np.ones_like(above) if weights is None else np.stack([weights[at] for at in places])
        found |= zip(places, _estimates(above, below, _resampled(*shape, resamples)))
    return [found[at] for at in range(len(values))]


def _estimates(above: np.ndarray, below: np.ndarray, drawn: Iterable[np.ndarray]) -> Iterator[Estimate]:
    """Give the estimate of each point from numerators and denominators [points, images, realisations]."""
    infinite = np.isinf(above).sum((1, 2))
    usable = np.isfinite(above) & np.isfinite(below)
    above, below = (np.where(usable, x, 0.0).reshape(len(x), -1).T for x in (above, below))
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a point without any value has no quantiles
        means = np.concatenate([(counts @ above) / (counts @ below) for counts in drawn])
        low, high = np.nanquantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
        mean = above.sum(0) / below.sum(0)
    for n, count in enumerate(usable.sum((1, 2))):
        if below[:, n].any():
            yield Estimate(float(mean[n]), float(low[n]), float(high[n]), int(count), int(infinite[n]))
        else:
            yield Estimate(np.nan, np.nan, np.nan, 0, int(infinite[n]))


def _resampled(images: int, realisations: int, resamples: int) -> Iterable[np.ndarray]:
    """Give, in blocks, how often each value is drawn in each resample: [resamples, images * realisations].

    They are the same for every point of one shape, so small ones are kept.
    """
    if resamples * images * realisations <= BLOCK:
        return _kept_blocks(images, realisations, resamples)
    return _blocks(images, realisations, resamples)


@lru_cache(maxsize=2)
def _kept_blocks(*shape: int) -> list[np.ndarray]:
    return list(_blocks(*shape))


def _blocks(images: int, realisations: int, resamples: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    rows = rng.integers(images, size=(resamples, images, 1))
    values = images * realisations
    for some in np.array_split(rows, -(-resamples * values // BLOCK)):
        drawn = some * realisations + rng.integers(realisations, size=(len(some), images, realisations))
        drawn += values * np.arange(len(some))[:, None, None]
        yield np.bincount(drawn.ravel(), minlength=len(some) * values).reshape(-1, values).astype(float)


def curves(results: "Results", x: str, y: str) -> "pd.DataFrame":
    """Return one row per point: `curve`, `transceiver`, `channel`, its number `point`, the swept parameters, `x`, and
    then `Estimate`'s fields.

    A curve runs along `x` where that was swept. Where it was measured (`bpp`), it runs along whatever the transceiver
    was swept over and each point stands at its mean; so too where a budget of that name was swept, since what was
    reached is another number. Along one budget, transceivers that were swept over another have curves as well. Other
    swept parameters tell curves apart, and are in their names.

    Args:
        results: of a run.
        x: a column.
        y: a column, or `bler` or `ber`.

    Raises:
        ConfigurationError: for a column that is not there or holds no numbers.
    """
    import pandas as pd

    from semcomm.runs.results import RATES, label

    table, axes = results.table, list(results.experiment.axes)
    above, below = RATIOS.get(y, (y, None))
    for column in [x, above, *([below] if below else [])]:
        if column not in table:
            raise ConfigurationError(f"there is no column {column!r}; the results have {', '.join(table.columns)}")
        texts = len(table) and not pd.api.types.is_numeric_dtype(table[column].infer_objects())
        if texts and column not in ["transceiver", "channel", *axes] and table[column].notna().any():
            raise ConfigurationError(f"the column {column!r} holds no numbers, so there is nothing to draw")
    along = {x} if x in axes else set(axes) - results.experiment.channel_axes
    along |= BUDGETS if x in BUDGETS else set()
    fixed = [axis for axis in axes if axis not in along]
    rows, values, weights = [], [], []
    used = dict.fromkeys(["point", "image", "realisation", x, above, *([below] if below else [])])
    table = table[list(used)].assign(**{name: pd.factorize(table[name])[0] for name in ("image", "realisation")})
    for number, group in table.groupby("point", sort=True):
        point = results.experiment.points[number]
        values.append(_matrix(group, above))
        weights.append(_matrix(group, below) if below else None)
        named = {axis: label(point.parameters.get(axis)) for axis in axes}
        telling = [
            f"{axis} {named[axis]:g}" if isinstance(named[axis], float) else f"{axis} {named[axis]}"
            for axis in fixed
            if len(results.experiment.axes[axis]) > 1 and axis != x and named[axis] is not None
        ]
        at = named[x] if x in named and x not in RATES else _at(group[x])
        name = ", ".join([point.transceiver, *telling])
        where = {"curve": name, "transceiver": point.transceiver, "channel": point.channel, "point": number}
        rows.append({**where, **named, x: at})
    for row, found in zip(rows, estimates(values, weights if below else None)):
        row |= vars(found)
    first = ["curve", "transceiver", "channel", "point"]
    columns = list(dict.fromkeys([*first, *axes, x, *(f.name for f in fields(Estimate))]))
    return pd.DataFrame(rows, columns=columns)


def _at(column: "pd.Series") -> Any:
    """Return where a point stands on a measured axis: the mean, or the name that all its rows have."""
    return column.mean() if column.dtype.kind in "iuf" else column.iloc[0]


def _matrix(group: "pd.DataFrame", column: str) -> np.ndarray:
    """Return the values of a column as [images, realisations], NaN where there is none."""
    images, realisations = (_numbered(group[name]) for name in ("image", "realisation"))
    values = np.full((images.max() + 1, realisations.max() + 1), np.nan)
    values[images, realisations] = group[column].to_numpy(dtype="float64", na_value=np.nan)
    return values


def _numbered(names: "pd.Series") -> np.ndarray:
    return np.unique(names.to_numpy(), return_inverse=True)[1]


def bd_rate(
    rate: Sequence[float], quality: Sequence[float], to_rate: Sequence[float], to_quality: Sequence[float]
) -> float:
    """Return how many per cent more rate the first curve needs than the second at equal quality (Bjøntegaard delta).

    Mean difference of log rate over the shared range of quality, by piecewise cubic interpolation (PCHIP; VCEG-M33 and
    VCEG-AI11). Negative is better.

    Raises:
        ConfigurationError: when the curves share no range of quality or a curve is not monotonic.
    """
    area = _mean_gap(quality, np.log(rate), to_quality, np.log(to_rate))
    return float(100 * np.expm1(area))


def bd_quality(
    rate: Sequence[float], quality: Sequence[float], to_rate: Sequence[float], to_quality: Sequence[float]
) -> float:
    """Return the mean over log rate of the first curve's quality less the second's at equal rate (BD-PSNR).

    Raises:
        ConfigurationError: when the curves share no range of rate.
    """
    return _mean_gap(np.log(rate), quality, np.log(to_rate), to_quality)


def _mean_gap(x: Sequence[float], y: Sequence[float], to_x: Sequence[float], to_y: Sequence[float]) -> float:
    """Return the mean of y - to_y over the range of x that both have."""
    from scipy.interpolate import PchipInterpolator

    pieces, low, high = [], -np.inf, np.inf
    for xs, ys in ((x, y), (to_x, to_y)):
        order = np.argsort(xs)
        xs, ys = np.asarray(xs, dtype=float)[order], np.asarray(ys, dtype=float)[order]
        if len(xs) < 2 or not (np.diff(xs) > 0).all() or not (np.isfinite(xs) & np.isfinite(ys)).all():
            raise ConfigurationError(
                "a Bjøntegaard delta needs two finite points or more that differ in rate and quality"
            )
        pieces.append(PchipInterpolator(xs, ys))
        low, high = max(low, xs[0]), min(high, xs[-1])
    if low >= high:
        raise ConfigurationError("the two curves share no range, so there is nothing to compare")
    first, second = (piece.integrate(low, high) for piece in pieces)
    return float((first - second) / (high - low))


def x_at(x: Sequence[float], y: Sequence[float], level: float) -> float:
    """Return the smallest x at which the curve reaches `level`, linearly between points; NaN where it never does.

    With x = `snr_db` and a quality as y it gives the SNR at equal quality.
    """
    order = np.argsort(x)
    x, y = np.asarray(x, dtype=float)[order], np.asarray(y, dtype=float)[order]
    reached = np.nonzero(y >= level)[0]
    if not len(reached):
        return float("nan")
    at = reached[0]
    if at == 0:
        return float(x[0])
    share = (level - y[at - 1]) / (y[at] - y[at - 1])
    return float(x[at - 1] + share * (x[at] - x[at - 1]))
