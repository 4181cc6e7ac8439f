"""Differences between two curves: Bjøntegaard's deltas, and the place at which a level is reached."""

from collections.abc import Sequence

import numpy as np

from semcomm.errors import ConfigurationError

Numbers = Sequence[float] | np.ndarray


def bd_rate(rate: Numbers, quality: Numbers, to_rate: Numbers, to_quality: Numbers) -> float:
    """Return how many per cent more rate the first curve needs than the second at equal quality (Bjøntegaard delta).

    The mean difference of the logarithm of the rate over the shared range of quality, by piecewise cubic interpolation
    (PCHIP; VCEG-M33 and VCEG-AI11). Negative is better.

    Args:
        rate: of the first curve, above 0.
        quality: of the first curve; more is better.
        to_rate: of the second curve.
        to_quality: of the second curve.

    Raises:
        ConfigurationError: when a curve has fewer than two points, is not strictly monotonic, or shares no range of
            quality with the other.
    """
    from bjontegaard import bd_rate as delta

    curve, to = _monotonic(rate, quality), _monotonic(to_rate, to_quality)
    for qualities in (curve[1], to[1]):
        if not (np.diff(qualities) > 0).all():
            raise ConfigurationError("a curve is not monotonic: with more rate its quality falls or stays")
    _overlap(curve[1], to[1], "quality")
    return float(delta(*to, *curve, method="pchip", require_matching_points=False, min_overlap=0))


def bd_quality(rate: Numbers, quality: Numbers, to_rate: Numbers, to_quality: Numbers) -> float:
    """Return the mean over the logarithm of the rate of the first curve's quality less the second's (BD-PSNR).

    Args:
        rate: of the first curve, above 0.
        quality: of the first curve.
        to_rate: of the second curve.
        to_quality: of the second curve.

    Raises:
        ConfigurationError: when a curve has fewer than two points or they share no range of rate.
    """
    from bjontegaard import bd_psnr as delta

    curve, to = _monotonic(rate, quality), _monotonic(to_rate, to_quality)
    _overlap(curve[0], to[0], "rate")
    return float(delta(*to, *curve, method="pchip", require_matching_points=False, min_overlap=0))


def _monotonic(rate: Numbers, quality: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """Return a curve in the order of its rates, which must differ."""
    rate, quality = np.asarray(rate, dtype=float), np.asarray(quality, dtype=float)
    order = np.argsort(rate)
    rate, quality = rate[order], quality[order]
    good = (rate > 0) & np.isfinite(rate) & np.isfinite(quality)
    if len(rate) < 2 or not good.all() or not (np.diff(rate) > 0).all():
        raise ConfigurationError("a Bjøntegaard delta needs two finite points or more, at different rates above 0")
    return rate, quality


def _overlap(first: np.ndarray, second: np.ndarray, of: str) -> None:
    if max(first.min(), second.min()) >= min(first.max(), second.max()):
        raise ConfigurationError(f"the two curves share no range of {of}, so there is nothing to compare")


def x_at(x: Numbers, y: Numbers, level: float) -> float:
    """Return the smallest x at which the curve reaches `level`, linearly between points; NaN where it never does.

    With x = `snr_db` and a quality as y it gives the SNR at equal quality.

    Args:
        x: places of the points.
        y: their values.
        level: to be reached from below.
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
