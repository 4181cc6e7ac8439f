"""Tables for papers and programs: LaTeX of a comparison or of curves, CSV and JSON."""

import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from semcomm.analysis.curves import curves_of, limits_of
from semcomm.analysis.defaults import label_of
from semcomm.runs.results import Results

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("table", "csv", "json", "latex")
_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def merged(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a comparison with each number and its interval in one column of text: `-3.2 [-4.1, -2.3]`."""
    shown = table.copy()
    for name in table:
        ends = [f"{name}_low", f"{name}_high"]
        if set(ends) <= set(table):
            shown[name] = [with_interval(*row) for row in table[[name, *ends]].itertuples(index=False)]
            shown = shown.drop(columns=ends)
    return shown


def with_interval(mean: float, low: float, high: float) -> str:
    """Return a number with its interval, to as many digits as the interval is wide."""
    if mean is None or math.isnan(mean):
        return "–"
    digits = _digits(high - low if low == low and high > low else abs(mean) / 20)
    ends = f" [{low:.{digits}f}, {high:.{digits}f}]" if low == low else ""
    return f"{mean:.{digits}f}{ends}"


def as_csv(table: "pd.DataFrame") -> str:
    """Return a table as CSV, what is missing as nothing."""
    return table.to_csv(index=False, lineterminator="\n")


def as_json(table: "pd.DataFrame") -> str:
    """Return a table as JSON, an object per row, what is missing as null."""
    rows = [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in table.astype(object).to_dict("records")
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False, default=lambda value: value.item())


def as_latex(head: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    """Return a table as LaTeX with the lines of the package booktabs; texts are escaped.

    Args:
        head: names of the columns.
        rows: their texts; a column whose every text is a number, or a number with an interval, stands to the right.
        caption: above the table, as a comment.
    """
    rows = [[str(cell) for cell in row] for row in rows]
    right = [all(_is_number(row[n]) for row in rows) for n in range(len(head))]
    lines = [f"% {' '.join(caption.split())}"] if caption else []
    lines.append(rf"\begin{{tabular}}{{{''.join('r' if at else 'l' for at in right)}}}")
    lines += [r"\toprule", " & ".join(map(_escaped, head)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(_escaped, row)) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex_table(results: Results, x: str, y: str, channel: str) -> str:
    """Return the means of y with half the width of their intervals, a row per x and a column per curve, as LaTeX.

    Args:
        results: of a run, or of several.
        x: column.
        y: column.
        channel: whose curves.

    Raises:
        ConfigurationError: for a column that is not there or holds no numbers.
    """
    found = [curve for curve in curves_of(results, x, y) if curve.channel == channel]
    cells, images = {}, 0
    for curve in found:
        for place, e in zip(curve.places, curve.estimates(limits_of(results, y))):
            if place == place:
                key = f"{place:.4g}" if isinstance(place, float) else str(place)
                cells[curve.name, key] = "" if math.isnan(e.mean) else _plus_minus(e.mean, e.low, e.high)
                images = max(images, e.images)
    rows = list(dict.fromkeys(key for _, key in cells))
    if all(isinstance(place, int | float) for curve in found for place in curve.places):
        rows.sort(key=float)
    names = [", ".join(filter(None, [curve.transceiver, curve.telling])) for curve in found]
    body = [[row, *(cells.get((curve.name, row), "") for curve in found)] for row in rows]
    experiment = results.experiment
    caption = (
        f"{label_of(y, experiment)} over {label_of(x, experiment)}, {channel}: mean and half of the 95 % interval over "
        f"{images} images"
    )
    return as_latex([label_of(x, experiment), *names], body, caption)


def _plus_minus(mean: float, low: float, high: float) -> str:
    if not high > low:
        return f"{mean:.{_digits(abs(mean) / 20)}f}"
    digits = _digits((high - low) / 2)
    return f"{mean:.{digits}f} ± {(high - low) / 2:.{digits}f}"


def _digits(size: float) -> int:
    """Return how many decimals show two digits of a size."""
    return 2 if not size > 0 else max(1, min(6, 1 - math.floor(math.log10(size))))


def _is_number(text: str) -> bool:
    return all(character in "0123456789.+-–±e[], " or text in ("nan", "inf") for character in text)


def _escaped(text: str) -> str:
    safe = "".join(_SPECIAL.get(character, character) for character in " ".join(text.split()))
    return (
        safe.replace("±", r"$\pm$").replace("−", "$-$")
        if not _is_number(text) or "±" in text
        else safe.replace("-", "$-$")
    )
