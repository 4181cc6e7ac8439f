"""Contents of the report as plain JSON data."""

import json
import math
from typing import Any

import yaml

from semcomm.analysis.curves import Curve, curves_of, limits_of, telling_axes
from semcomm.analysis.defaults import is_logarithmic, label_of, main_axis, quantities
from semcomm.analysis.statistics import CONFIDENCE
from semcomm.analysis.styles import style, styles_of
from semcomm.experiment.experiment import Experiment
from semcomm.runs.results import NAMES, Results, label
from semcomm.runs.run import ENVIRONMENT

MEASURED = ("bpp", "total_bpp", "cbr")
"""Columns that curves may run along although nothing sweeps them."""

Key = tuple[Any, ...]


def contents_of(results: Results) -> dict:
    """Return everything that the page shows, images apart."""
    experiment = results.experiment
    main = main_axis(experiment)
    along = {x: curves_of(results, x, "pixels") for x in _along(results, main)}
    used = [x for x, found in along.items() if x == main or any(_varies(curve) for curve in found)]
    ys = quantities(results)
    return {
        "title": experiment.title or "Results",
        "counts": {
            "transceivers": len(experiment.transceivers),
            "channels": len(experiment.channels),
            "images": len(results.images),
            "realisations": experiment.realisations,
            "rows": len(results.table),
            "planned": len(experiment.points) * len(results.images) * experiment.realisations,
        },
        "confidence": round(100 * CONFIDENCE),
        "main": main,
        "axes": [
            {"key": axis, "label": label_of(axis, experiment), "values": [label(value) for value in values]}
            for axis, values in experiment.axes.items()
        ],
        "x": [_over(x, along[x], experiment) for x in used],
        "y": [{"key": y, "label": label_of(y, experiment), "log": is_logarithmic(results, y)} for y in ys],
        "measured": [{"key": x, "label": label_of(x, experiment)} for x in MEASURED if x in along],
        "transceivers": {name: style(n).plain() for n, name in enumerate(experiment.transceivers)},
        "channels": list(experiment.channels),
        "points": _points(results, along, ys),
        "remarks": results.remarks(),
        "experiment": yaml.safe_dump(experiment.resolved(), sort_keys=False, allow_unicode=True),
        "environment": _environment(results),
    }


def _over(x: str, curves: list[Curve], experiment: Experiment) -> dict:
    """Return a horizontal axis with the curves along it: names and styles, and what tells them apart."""
    styles = styles_of(curves, experiment)
    return {
        "key": x,
        "label": label_of(x, experiment),
        "swept": x not in MEASURED,
        "telling": telling_axes(experiment, x),
        "channels": list(dict.fromkeys(curve.channel for curve in curves if _is_placed(curve))),
        "curves": [
            {"transceiver": curve.transceiver, "telling": curve.telling, "style": look.plain()}
            for curve, look in zip(curves, styles)
        ],
    }


def number(value: Any) -> Any:
    """Return a number as JSON has it: null for what is missing, texts for the infinite ones."""
    if value is None or value != value:
        return None
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return value.item() if hasattr(value, "item") else value


def key_of_point(transceiver: str, channel: str, parameters: dict[str, Any]) -> Key:
    """Return what tells a point from the others, whether it comes from the plan or from a table."""
    set_ones = {axis: number(value) for axis, value in parameters.items()}
    return transceiver, channel, *sorted((axis, value) for axis, value in set_ones.items() if value is not None)


def parameters_of(row: dict[str, Any], experiment: Experiment) -> dict[str, Any]:
    """Return the swept parameters of a row's point, null for those that are another transceiver's."""
    point = experiment.points[int(row["point"])]
    return {axis: number(label(point.parameters.get(axis))) for axis in experiment.axes}


def _along(results: Results, main: str) -> list[str]:
    table = results.table
    swept = [axis for axis, values in results.experiment.axes.items() if len(values) > 1]
    measured = [x for x in MEASURED if table[x].notna().any()]
    return list(dict.fromkeys([main, *swept, *measured]))


def _varies(curve: Curve) -> bool:
    """Say whether anything varies along x; a single point is no curve."""
    return len({str(place) for place in curve.places if place == place}) > 1


def _is_placed(curve: Curve) -> bool:
    return any(place == place for place in curve.places)


def _points(results: Results, along: dict[str, list[Curve]], ys: list[str]) -> list[dict]:
    """Return one entry per point that has rows, in the order of the experiment."""
    experiment = results.experiment
    places, numbers, values = {}, {}, {}
    for x, found in along.items():
        for number_of_curve, curve in enumerate(found):
            for point, place in zip(curve.points, curve.places):
                places[x, point], numbers[x, point] = number(place), number_of_curve
    for y in ys:
        for curve in curves_of(results, next(iter(along)), y):
            for point, found in zip(curve.points, curve.estimates(limits_of(results, y))):
                ends = (found.mean, found.low, found.high, found.count, found.infinite, found.images)
                values[y, point] = [number(value) for value in ends]
    return [
        {
            "transceiver": experiment.points[n].transceiver,
            "channel": experiment.points[n].channel,
            "parameters": {axis: number(label(experiment.points[n].parameters.get(axis))) for axis in experiment.axes},
            "curve": {x: numbers[x, n] for x in along},
            "x": {x: places[x, n] for x in along},
            "y": {y: values[y, n] for y in ys},
        }
        for n in sorted(results.table["point"].unique())
    ]


def _environment(results: Results) -> dict[str, str]:
    """Return versions and machine as one list of names and values; empty where the run has not left them."""
    path = results.folder / ENVIRONMENT
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    flat = {"python": found.get("python"), **found.get("packages", {}), **found.get("machine", {})}
    return {name: str(value) for name, value in flat.items() if value is not None}


def facts_of(row: dict[str, Any], texts: list[str], experiment: Experiment) -> list[list]:
    """Return what a caption says of one reconstruction beside its scores: pairs of a name and a value.

    Args:
        row: of the table.
        texts: `texts_of` the results.
        experiment: that was run.
    """
    facts = [["SNR (dB)", number(row["snr_db"])], ["Rate (bpp)", number(row["bpp"])], ["CBR", number(row["cbr"])]]
    if number(row.get("blocks")):
        facts.append(["Lost blocks", f"{row['block_errors']:g} of {row['blocks']:g}"])
    facts += [[label_of(name, experiment), row[name]] for name in texts if number(row[name])]
    return [[name, value] for name, value in facts if value is not None]


def texts_of(results: Results) -> list[str]:
    """Return the columns in which links say something in words that is not always the same."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    table = results.table
    known = {*NAMES, *results.experiment.axes}
    words = [name for name in table if not is_numeric_dtype(table[name]) and not is_bool_dtype(table[name])]
    return [
        name
        for name in words
        if name not in known
        and table[name].map(lambda value: isinstance(value, str)).any()
        and (name == "modulation" or table[name].nunique() > 1)
    ]
