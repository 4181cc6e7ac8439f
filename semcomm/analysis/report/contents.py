"""What the report says, as plain JSON data."""

import json
import math
from typing import TYPE_CHECKING, Any

import yaml

from semcomm.analysis.figures import (
    colours_of,
    curve_names,
    is_logarithmic,
    label_of,
    main_axis,
    quantities,
)
from semcomm.analysis.statistics import CONFIDENCE, curves
from semcomm.experiment.experiment import Experiment
from semcomm.runs.results import NAMES, Results, label
from semcomm.runs.run import ENVIRONMENT

if TYPE_CHECKING:
    import pandas as pd

MEASURED = ("bpp", "total_bpp", "cbr")
"""Columns that curves may run along although nothing sweeps them."""

Key = tuple[Any, ...]


def contents_of(results: Results) -> dict:
    """Return everything that the page shows, images apart."""
    experiment = results.experiment
    main = main_axis(experiment)
    along = {x: curves(results, x, "pixels") for x in _along(results, main)}
    estimates = {y: curves(results, main, y) for y in quantities(results)}
    used = {x: frame for x, frame in along.items() if x == main or _has_curves(frame, x)}
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
            {
                "key": axis,
                "label": label_of(axis, experiment),
                "values": [label(value) for value in values],
                "ofChannel": axis in experiment.channel_axes,
            }
            for axis, values in experiment.axes.items()
        ],
        "x": [{"key": x, "label": label_of(x, experiment), "swept": x not in MEASURED} for x in used],
        "y": [{"key": y, "label": label_of(y, experiment), "log": is_logarithmic(results, y)} for y in estimates],
        "measured": [{"key": x, "label": label_of(x, experiment)} for x in MEASURED if x in along],
        "colours": colours_of(experiment),
        "channels": list(experiment.channels),
        "points": _points(experiment, along, estimates),
        "experiment": yaml.safe_dump(experiment.resolved(), sort_keys=False, allow_unicode=True),
        "environment": _environment(results),
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


def _has_curves(frame: "pd.DataFrame", x: str) -> bool:
    """Say whether anything varies along x; a column of single points is no curve."""
    return len(frame) > 0 and frame.groupby(["channel", "curve"], sort=False)[x].nunique().max() > 1


def _points(
    experiment: Experiment, along: dict[str, "pd.DataFrame"], estimates: dict[str, "pd.DataFrame"]
) -> list[dict]:
    """Return one entry per point; the frames have one row for each, in the same order."""
    names = {x: curve_names(frame, experiment) for x, frame in along.items()}
    rows = {x: frame.to_dict("records") for x, frame in along.items()}
    found = {y: frame.to_dict("records") for y, frame in estimates.items()}
    points = []
    for n, row in enumerate(next(iter(rows.values()))):
        points.append(
            {
                "transceiver": row["transceiver"],
                "channel": row["channel"],
                "parameters": parameters_of(row, experiment),
                "curve": {x: names[x][rows[x][n]["curve"]] for x in along},
                "x": {x: number(rows[x][n][x]) for x in along},
                "y": {y: _estimate(found[y][n]) for y in estimates},
            }
        )
    return points


def _estimate(row: dict[str, Any]) -> list:
    return [number(row[name]) for name in ("mean", "low", "high", "count", "infinite")]


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
