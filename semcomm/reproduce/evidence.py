"""Evidence of a figure's run in the shape that checks ask of it: values by point, image and realisation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semcomm.analysis.statistics import CONFIDENCE, FEWEST, Estimate, Statistic, estimate_of

if TYPE_CHECKING:
    from semcomm.runs.results import Results

STAND_INS = {"CLIPScore": "EmbeddedScore", "FID": "EmbeddedFID"}
"""Metric of the papers -> the one of ours that is taken where the former's models are absent."""


class Missing(Exception):  # noqa: N818
    """The evidence lacks something that a check asks for; the message says what. Nothing went wrong."""


@dataclass(frozen=True)
class Evidence:
    """The results of one figure.

    Attributes:
        points: what was set at each point: `transceiver`, `channel` and every swept parameter.
        values: column -> [points, images, realisations], NaN where there is none.
        metrics: class name of a metric -> its column.
        higher_is_better: class name of a metric -> whether it is.
        sets: class name of a metric of sets -> [points, realisations].
        facts: what a figure's extra found, as plain data.
        stands_in: whether the models are stand-ins of ours for those of the papers.
        absent: transceiver or class of a metric -> what is missing for it.
    """

    points: list[dict[str, Any]]
    values: dict[str, np.ndarray]
    metrics: dict[str, str]
    higher_is_better: dict[str, bool]
    sets: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    stands_in: bool = False
    absent: dict[str, str] = field(default_factory=dict)

    def named(self, metric: str) -> str:
        """Return the class name of the metric that is there for `metric`: itself or its stand-in.

        Raises:
            Missing: when there is neither.
        """
        for name in (metric, STAND_INS.get(metric)):
            if name in self.metrics or name in self.sets:
                return name
        raise Missing(self.absent.get(metric, f"{metric} is not measured in this setting"))

    def column(self, metric: str) -> np.ndarray:
        """Return [points, images, realisations] of a metric by its class name, or of any other column."""
        if metric in self.values and metric not in self.metrics:
            return self.values[metric]
        return self.values[self.metrics[self.named(metric)]]

    def label(self, metric: str) -> str:
        """Return what a metric's column is called, or the name of any other column."""
        try:
            return self.metrics.get(self.named(metric), self.named(metric))
        except Missing:
            return metric

    def sign(self, metric: str) -> float:
        """Return 1 where more of a metric is better, -1 where less is."""
        return 1.0 if self.higher_is_better.get(self.named(metric), True) else -1.0

    def where(self, at: Mapping[str, Any]) -> list[int]:
        """Return the numbers of the points at which everything in `at` is as said; numbers agree to 1e-9.

        Raises:
            Missing: when there is none; a transceiver that was left out is named with the reason.
        """
        found = [n for n, point in enumerate(self.points) if all(_same(point.get(k), v) for k, v in at.items())]
        if not found:
            said = ", ".join(f"{key} {value}" for key, value in at.items())
            name = at.get("transceiver")
            if name is not None and all(point["transceiver"] != name for point in self.points):
                raise Missing(self.absent.get(name, f"{name} is not in this setting"))
            raise Missing(f"there is no point with {said}")
        return found

    def one(self, at: Mapping[str, Any]) -> int:
        """Return the number of the only point at which everything is as said.

        Raises:
            Missing: when there is none or several.
        """
        found = self.where(at)
        if len(found) > 1:
            raise Missing(f"{len(found)} points have {', '.join(f'{key} {value}' for key, value in at.items())}")
        return found[0]

    def along(self, axis: str, at: Mapping[str, Any]) -> list[int]:
        """Return the points of one curve in the order of `axis`.

        Raises:
            Missing: for fewer than two, or for several at one place.
        """
        found = [n for n in self.where(at) if isinstance(self.points[n].get(axis), int | float)]
        found.sort(key=lambda n: self.points[n][axis])
        places = [self.points[n][axis] for n in found]
        if len(set(places)) < 2 or len(set(places)) < len(places):
            raise Missing(f"there is no single curve along {axis}")
        return found

    def interval(
        self, quantities: list[tuple[str, int]], statistic: Statistic, confidence: float = CONFIDENCE
    ) -> Estimate:
        """Return the `Estimate` of a statistic of the means of (metric, point) pairs.

        The pairs are of the same images and realisations, so that what they have in common cancels.

        Raises:
            Missing: for too few images, or values that are not there.
        """
        values = [self.column(metric)[point] for metric, point in quantities]
        return stated(estimate_of(statistic, values, confidence=confidence))


def stated(found: Estimate) -> Estimate:
    """Return an estimate that has a value and an interval.

    Raises:
        Missing: when it has none, or when it is of too few images to decide anything.
    """
    if np.isnan(found.mean):
        raise Missing("a value is not there, infinite for every image, or divided by 0")
    if found.images < FEWEST:
        raise Missing(f"{found.images} image{'s' * (found.images != 1)} decide nothing; it takes {FEWEST}")
    return found


def evidence_of(
    results: "Results", absent: Mapping[str, str], facts: Mapping[str, Any], stands_in: bool = False
) -> Evidence:
    """Return the evidence in the results of a finished run.

    Args:
        results: of the run.
        absent: transceiver or class of a metric -> what was missing for it.
        facts: of the figure's extra.
        stands_in: whether the models are stand-ins.
    """
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    experiment, table = results.experiment, results.table
    shape = len(experiment.points), len(results.images), experiment.realisations
    if len(table) != np.prod(shape):
        raise Missing(f"the run is not finished: {len(table)} of {np.prod(shape)} rows are there")
    # Rows stand in the order of the plan. Columns cannot tell the points apart: a swept bpp has that of the ledger.
    values = {
        name: table[name].to_numpy(dtype=float, na_value=np.nan).reshape(shape)
        for name in table
        if is_numeric_dtype(table[name]) or is_bool_dtype(table[name])
    }
    from semcomm.runs.results import label

    points = [
        {"transceiver": p.transceiver, "channel": p.channel, **{k: label(v) for k, v in p.parameters.items()}}
        for p in experiment.points
    ]
    sets = {}
    for metric in experiment.set_metrics:
        if len(results.sets) == shape[0] * shape[2]:
            column = results.sets[metric.name].to_numpy(dtype=float)
            sets[type(metric).__name__] = column.reshape(shape[0], shape[2])
    return Evidence(
        points,
        values,
        {type(m).__name__: m.name for m in experiment.image_metrics},
        {type(m).__name__: m.higher_is_better for m in experiment.metrics},
        sets,
        dict(facts),
        stands_in,
        dict(absent),
    )


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(found, int | float) and isinstance(wanted, int | float):
        return abs(found - wanted) < 1e-9
    return found == wanted
