"""Quantities, axes and figures that are shown where nobody names others, and what columns are called."""

import re
from typing import TYPE_CHECKING

from semcomm.analysis.curves import BUDGETS, RATIOS
from semcomm.experiment.experiment import Experiment, FigureSpec
from semcomm.runs.results import Results, label

if TYPE_CHECKING:
    from semcomm.experiment.experiment import Point

LABELS = {
    "snr_db": "SNR (dB)",
    "eb_n0_db": "Eb/N0 (dB)",
    "bpp": "Rate (bpp)",
    "total_bpp": "Total rate (bpp)",
    "cbr": "Channel bandwidth ratio",
    "channel_uses_per_pixel": "Channel uses per pixel",
    "code_rate": "Code rate",
    "code.rate": "Code rate",
    "bler": "Block error rate",
    "ber": "Bit error rate",
    "transmit_seconds": "Time to transmit (s)",
    "score_seconds": "Time to score (s)",
}


def label_of(column: str, experiment: Experiment) -> str:
    """Return what a column of the results is called on an axis, with its unit."""
    for metric in experiment.metrics:
        if metric.name == column:
            unit = getattr(metric, "unit", "")
            return f"{metric.name} ({unit})" if unit else metric.name
    words = re.sub(r"[._]+", " ", column).strip()
    return LABELS.get(column) or words[:1].upper() + words[1:] or column


def main_axis(experiment: Experiment, channel: str | None = None) -> str:
    """Return what results run along: `snr_db` where it is swept, else the longest axis, else `transceiver`.

    Args:
        experiment: that was run.
        channel: only what its points have; none takes all.
    """
    points = [point for point in experiment.points if channel in (None, point.channel)]
    swept = {axis: count for axis in experiment.axes if (count := _count(points, axis)) > 1}
    return "snr_db" if "snr_db" in swept else max(swept, key=swept.get, default="transceiver")


def quantities(results: Results) -> list[str]:
    """Return the columns worth drawing: every metric, then the error rates of what was counted."""
    counted = [y for y, (_, below) in RATIOS.items() if below in results.table and _sum(results, below) > 0]
    return [*(metric.name for metric in results.experiment.image_metrics), *counted]


def is_logarithmic(results: Results, y: str) -> bool:
    """Say whether a quantity is an error rate that is not always 0."""
    return y in RATIOS and _sum(results, RATIOS[y][0]) > 0


def default_axes(experiment: Experiment) -> list[str]:
    """Return what the figures of an experiment that names none run along.

    That is the main axis of each channel. Where transceivers are swept along different ones, it is the rate if all of
    these are budgets or layers, and otherwise each in turn.
    """
    main = dict.fromkeys(main_axis(experiment, channel) for channel in experiment.channels)
    if "transceiver" in main or set(main) & experiment.channel_axes:
        return list(main)
    swept = []
    for name in experiment.transceivers:
        points = [point for point in experiment.points if point.transceiver == name]
        counts = {axis: _count(points, axis) for axis in experiment.axes}
        axis = max(counts, key=counts.get)
        swept += [axis] if counts[axis] > 1 else []
    swept = list(dict.fromkeys(swept))
    return swept if len(swept) < 2 or not set(swept) <= BUDGETS else ["bpp"]


def default_figures(results: Results) -> list[FigureSpec]:
    """Return the figures of an experiment that names none."""
    drawn = [y for y in quantities(results) if y not in RATIOS or is_logarithmic(results, y)]
    axes = default_axes(results.experiment)
    return [FigureSpec(x, y, log_y=is_logarithmic(results, y)) for x in axes for y in drawn]


def _count(points: "list[Point]", axis: str) -> int:
    """Return how many values an axis has at these points."""
    return len({str(label(point.parameters[axis])) for point in points if axis in point.parameters})


def _sum(results: Results, column: str) -> float:
    return float(results.table[column].astype("float64").sum()) if column in results.table else 0.0
