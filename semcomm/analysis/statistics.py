"""Means over images with confidence intervals that hold their level for few images too.

The images are the sample; the realisations of an image are averaged before, so that an interval is about other images
sent over other realisations of the channel. With a single image it is about other realisations alone.
`benchmarks/intervals.py` measures how often the intervals cover.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from semcomm.caches import cached

CONFIDENCE = 0.95
FEWEST = 5
"""Images from which on an interval is bootstrapped, and below which no claim is decided."""
MANY = 500
"""Images beyond which Student's t covers as well, so that nothing is bootstrapped."""
RESAMPLES = 2000

Statistic = Callable[[np.ndarray], np.ndarray]
"""From the means of k quantities [..., k] to one number each [...]."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its confidence interval.

    Attributes:
        mean: over images and realisations.
        low: lower end of the 95 % interval; NaN where there is only one value.
        high: upper end.
        count: how many values went into it.
        infinite: how many infinite ones were left out.
        images: how many images went into it.
    """

    mean: float
    low: float
    high: float
    count: int
    infinite: int
    images: int


def estimate(values: np.ndarray, weights: np.ndarray | None = None, confidence: float = CONFIDENCE) -> Estimate:
    """Return the mean of `values` [images, realisations] with its interval (a fixed seed).

    Args:
        values: NaN where there is none; infinite ones (the PSNR of identical images) are left out and counted.
        weights: denominators, alike; the estimate is then sum(values) / sum(weights).
        confidence: of the interval.
    """
    return estimate_of(lambda means: means[..., 0], [values], None if weights is None else [weights], confidence)


def estimate_of(
    statistic: Statistic,
    values: Sequence[np.ndarray],
    weights: Sequence[np.ndarray] | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return a statistic of the means of k quantities with its interval.

    Images stand at the same places in all quantities and are left out of all together, so that what quantities have in
    common cancels in a difference: it is a paired one.

    Args:
        statistic: of the k means.
        values: of each quantity [images, realisations], as for `estimate`.
        weights: denominators, alike.
        confidence: of the interval.

    Returns:
        The estimate; its mean is NaN where a quantity has no value or the statistic none.
    """
    above, below, count, infinite = _sums(np.stack(values), None if weights is None else np.stack(weights))
    there = below.any(0)
    above, below, images = above[:, there], below[:, there], int(there.sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = float(statistic(above.sum(1) / below.sum(1)))
        without = statistic(((above.sum(1, keepdims=True) - above) / (below.sum(1, keepdims=True) - below)).T)
    if not np.isfinite(whole):
        return Estimate(np.nan, np.nan, np.nan, 0, infinite, 0)
    low, high = interval(whole, without, confidence)
    return Estimate(whole, low, high, count, infinite, 1 if np.shape(values[0])[0] == 1 else images)


def _sums(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return numerators and denominators [k, images], and how many values were used and how many are infinite.

    A single image gives way to its realisations.
    """
    usable = np.isfinite(values) if weights is None else np.isfinite(values) & np.isfinite(weights)
    above = np.where(usable, values, 0.0)
    below = usable.astype(float) if weights is None else np.where(usable, weights, 0.0)
    if values.shape[1] > 1:
        above, below = above.sum(2), below.sum(2)
    else:
        above, below = above[:, 0], below[:, 0]
    return above, below, int(usable.sum()), int(np.isinf(values).sum())


def interval(whole: float, without: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the interval of a statistic of images from its value on all of them and those without each in turn.

    Tukey's jackknife makes of them one value per image, whose mean stands for the statistic, and their mean is
    bootstrapped with its own standard error (bootstrap-t; Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
    12.5), which follows the skewness of the values. Each side is at least as long as that of Student's t, which the
    bootstrap undercuts where it knows no better, and at most twice as long, which it exceeds where nearly all values
    are alike.

    Args:
        whole: the statistic of all images.
        without: of all images but one, for each.
        confidence: of the interval.

    Returns:
        Its ends; NaN for a single image, or where the statistic has no value without one of them.
    """
    from scipy.special import stdtrit

    without = np.asarray(without, dtype=float)
    n = len(without)
    if n < 2 or not np.isfinite(without).all():
        return np.nan, np.nan
    values = n * whole - (n - 1) * without
    deviations = values - values.mean()
    error = float(np.sqrt((deviations**2).sum() / (n - 1) / n))
    student = float(stdtrit(n - 1, (1 + confidence) / 2))
    if error <= 1e-12 * max(1.0, abs(whole)) or not FEWEST <= n <= MANY:
        return whole - student * error, whole + student * error
    counts = _resamples(n)
    means, squares = counts @ deviations / n, counts @ deviations**2 / n
    errors = np.sqrt(np.maximum(squares - means**2, 0.0) / (n - 1))
    ratios = means / np.maximum(errors, 1e-9 * error)
    below, above = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    down, up = (float(np.clip(side, student, 2 * student)) for side in (above, -below))
    return whole - down * error, whole + up * error


@cached(most=4)
def _resamples(n: int) -> np.ndarray:
    """Return how often each of n images is drawn in each resample [RESAMPLES, n]."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)
