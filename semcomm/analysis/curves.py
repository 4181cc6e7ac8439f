"""Curves: which points of a run make one, at which places they stand, and what their names are.

This is the only definition of a curve: figures, report, comparisons, the terminal and the page of a reproduction draw
from it.
"""

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from semcomm.analysis.statistics import Estimate, estimate
from semcomm.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas as pd

    from semcomm.experiment.experiment import Experiment
    from semcomm.runs.results import Results

RATIOS = {"bler": ("block_errors", "blocks"), "ber": ("bit_errors", "bits")}
"""Quantities that are a ratio of sums rather than a mean."""
BUDGETS = {"bpp", "channel_uses_per_pixel", "layers"}
"""Parameters that give a transceiver more to send."""
WORDS = {
    "snr_db": "SNR {} dB",
    "eb_n0_db": "Eb/N0 {} dB",
    "channel_uses_per_pixel": "{} uses per pixel",
    "code.rate": "code rate {}",
    "bpp": "{} bpp",
}
"""A parameter with its value as legends and pages have it; others by their name."""
AXES = {
    "snr_db": "the SNR",
    "eb_n0_db": "Eb/N0",
    "channel_uses_per_pixel": "the channel uses",
    "code.rate": "the code rate",
    "bpp": "the rate",
}


@dataclass(frozen=True)
class Curve:
    """The points of one transceiver on one channel that differ only in what they run along.

    Attributes:
        name: `LSCI, layers 2`: the transceiver, and the swept parameters that tell the curve from its others.
        transceiver: its name.
        channel: its name.
        telling: those parameters as a legend has them; empty for none.
        number: of the curve among those of its transceiver on its channel, from 0.
        fixed: those parameters and the values that they have in this curve.
        points: numbers of the points in the experiment, in its order.
        places: where each stands: a swept value, or the mean of what was measured; NaN or None for nowhere.
        along: x of each image where it was measured [points, images, realisations], else None.
        values: y alike; numerators where y is a ratio of sums.
        weights: the denominators of such a ratio, else None.
        sets: y is one number for all images: then `values` is [points, 1, realisations].
    """

    name: str
    transceiver: str
    channel: str
    telling: str
    number: int
    fixed: dict[str, Any]
    points: list[int] = field(default_factory=list)
    places: list[Any] = field(default_factory=list)
    along: np.ndarray | None = None
    values: np.ndarray | None = None
    weights: np.ndarray | None = None
    sets: bool = False

    def estimates(self, limits: tuple[float, float] = (-np.inf, np.inf)) -> list[Estimate]:
        """Return the mean of y with its interval at each point.

        Args:
            limits: between which y lies by definition, where intervals end.
        """
        weights = [None] * len(self.points) if self.weights is None else self.weights
        found = [estimate(values, below) for values, below in zip(self.values, weights)]
        if self.sets:  # realisations alone, of the same images: no interval about other images follows
            found = [Estimate(e.mean, e.mean, e.mean, e.count, e.infinite, 0) for e in found]
        return [
            Estimate(e.mean, *(float(np.clip(end, *limits)) for end in (e.low, e.high)), e.count, e.infinite, e.images)
            for e in found
        ]


def telling_axes(experiment: "Experiment", x: str) -> list[str]:
    """Return the swept parameters that tell curves over x apart.

    A curve runs along x where that was swept. Where it was measured (`bpp`), it runs along whatever the transceiver was
    swept over; so too where a budget of that name was swept, since what was reached is another number, and along one
    budget transceivers that were swept over another have curves as well. All other swept parameters tell curves apart.
    """
    along = {x} if x in experiment.axes else set(experiment.axes) - experiment.channel_axes
    along |= BUDGETS if x in BUDGETS else set()
    return [axis for axis, values in experiment.axes.items() if axis not in along and len(values) > 1]


def curves_of(results: "Results", x: str, y: str) -> list[Curve]:
    """Return every curve of y over x, in the order of the experiment.

    Args:
        results: of a run.
        x: a column.
        y: a column, `bler`, `ber`, or a metric of sets.

    Raises:
        ConfigurationError: for a column that is not there or holds no numbers.
    """
    from semcomm.runs.results import RATES, label

    experiment, table = results.experiment, results.table
    of_sets = y not in table and y in results.sets
    above, below = RATIOS.get(y, (y, None))
    _check(results, x, *([] if of_sets else filter(None, (above, below))))
    read = _Columns(results)
    measured = x in RATES or (x not in experiment.axes and x in table and table[x].dtype.kind in "iuf")
    values = read.sets(y) if of_sets else read.cube(above)
    weights = read.cube(below) if below else None
    along = read.cube(x) if measured else None
    axes, grouped = telling_axes(experiment, x), {}
    for number in read.points:
        point = experiment.points[number]
        fixed = {a: label(point.parameters[a]) for a in axes if point.parameters.get(a) is not None}
        name = ", ".join([point.transceiver, *(f"{axis} {_text(value)}" for axis, value in fixed.items())])
        grouped.setdefault((point.channel, name), (point.transceiver, fixed, []))[2].append(number)
    found, counted = [], {}
    for (channel, name), (transceiver, fixed, numbers) in grouped.items():
        at = counted.setdefault((channel, transceiver), 0)
        counted[channel, transceiver] += 1
        telling = ", ".join(in_words(axis, value) for axis, value in fixed.items())
        where = None if along is None else along[numbers]
        places = [_place(results, n, x) for n in numbers] if where is None else [_mean(one) for one in where]
        below_here = None if weights is None else weights[numbers]
        found.append(
            Curve(
                name,
                transceiver,
                channel,
                telling,
                at,
                fixed,
                numbers,
                places,
                where,
                values[numbers],
                below_here,
                of_sets,
            )
        )
    return found


def curves(results: "Results", x: str, y: str) -> "pd.DataFrame":
    """Return one row per point: `curve`, `x`, `Estimate`'s fields, `transceiver`, `channel`, `point` and the swept
    parameters.

    `telling_axes` says what one curve is.

    Args:
        results: of a run.
        x: a column.
        y: a column, `bler`, `ber`, or a metric of sets.

    Raises:
        ConfigurationError: for a column that is not there or holds no numbers.
    """
    import pandas as pd

    from semcomm.runs.results import label

    axes, rows = list(results.experiment.axes), []
    for curve in curves_of(results, x, y):
        for number, place, found in zip(curve.points, curve.places, curve.estimates(limits_of(results, y))):
            swept = {a: label(results.experiment.points[number].parameters.get(a)) for a in axes}
            where = {"transceiver": curve.transceiver, "channel": curve.channel, "point": number}
            rows.append({"curve": curve.name, **vars(found), **where, **swept} | {x: place})
    first = ["curve", x, *(f.name for f in fields(Estimate)), "transceiver", "channel", "point"]
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys([*first, *axes])))
    return _printed(frame.sort_values("point", kind="stable", ignore_index=True))


def axis_in_words(axis: str) -> str:
    """Return a parameter as a sentence has it: `the SNR`."""
    return AXES.get(axis, re.sub("[._]+", " ", axis))


def in_words(axis: str, value: Any) -> str:
    """Return a parameter with its value as a reader would say it: `SNR 10 dB`."""
    from semcomm.runs.results import label

    return WORDS.get(axis, re.sub("[._]+", " ", axis) + " {}").format(_text(label(value)))


def limits_of(results: "Results", y: str) -> tuple[float, float]:
    """Return between which values y lies by definition."""
    if y in RATIOS:
        return 0.0, 1.0
    ranges = {metric.name: metric.range for metric in results.experiment.image_metrics}
    return ranges.get(y, (-np.inf, np.inf))


def _printed(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return a frame that prints the columns that matter, so that they fit a screen."""
    import pandas as pd

    class Curves(pd.DataFrame):
        """Points of curves; what is made of it is an ordinary frame."""

        _constructor = pd.DataFrame

        def __repr__(self) -> str:
            names = ["curve", *(["channel"] if self["channel"].nunique() > 1 else []), *self.columns[1:5], "images"]
            shown = pd.DataFrame(self)[list(dict.fromkeys(names))]
            return shown.to_string(index=False, max_rows=60, max_colwidth=36, float_format="{:.4g}".format)

    return Curves(frame)


class _Columns:
    """Columns of the tables as arrays over all points of the experiment; those without rows are no `points`."""

    def __init__(self, results: "Results") -> None:
        import pandas as pd

        self.table, self.tables_of_sets = results.table, results.sets
        images, (realisations, levels) = list(results.images), pd.factorize(results.table["realisation"], sort=True)
        known = list(dict.fromkeys([*images, *results.table["image"]]))  # an image without rows keeps its place
        image = pd.Categorical(results.table["image"], categories=known).codes
        self.points = sorted(results.table["point"].unique())
        self.at = results.table["point"].to_numpy(dtype=int), image, realisations
        self.shape = len(results.experiment.points), max(1, len(known)), max(1, len(levels))

    def cube(self, column: str) -> np.ndarray:
        """Return a column as [points, images, realisations], NaN where there is none."""
        values = np.full(self.shape, np.nan)
        values[self.at] = self.table[column].to_numpy(dtype="float64", na_value=np.nan)
        return values

    def sets(self, column: str) -> np.ndarray:
        """Return a metric of sets as [points, 1, realisations], where all of them are there."""
        found = self.tables_of_sets[column].to_numpy(dtype="float64", na_value=np.nan)
        if found.size != self.shape[0] * self.shape[2]:
            return np.full((self.shape[0], 1, self.shape[2]), np.nan)
        return found.reshape(self.shape[0], 1, self.shape[2])


def _check(results: "Results", x: str, *ys: str) -> None:
    import pandas as pd

    table, axes = results.table, list(results.experiment.axes)
    for column in [x, *ys]:
        if column not in table:
            known = ", ".join([*table.columns, *(m.name for m in results.experiment.set_metrics)])
            raise ConfigurationError(f"there is no column {column!r}; the results have {known}")
        texts = len(table) and not pd.api.types.is_numeric_dtype(table[column].infer_objects())
        if texts and column not in ["transceiver", "channel", *axes] and table[column].notna().any():
            raise ConfigurationError(f"the column {column!r} holds no numbers, so there is nothing to draw")


def _place(results: "Results", number: int, x: str) -> Any:
    """Return where a point stands on an axis that was set."""
    from semcomm.runs.results import label

    point = results.experiment.points[number]
    if x in ("transceiver", "channel"):
        return getattr(point, x)
    value = label(point.parameters.get(x))
    return np.nan if value is None else value


def _mean(values: np.ndarray) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else np.nan


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
