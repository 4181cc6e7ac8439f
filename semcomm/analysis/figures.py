"""Figures of a run's results for a paper, one column wide, and the words and colours that the report shares.

Colour and marker tell transceivers apart, line style and hollow markers their other swept parameters. Nothing is
dropped in silence: points without a place on the axes stand at their edge or are counted under the figure.
"""

import itertools
import math
import re
import textwrap
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from semcomm.analysis.statistics import BUDGETS, RATIOS, curves
from semcomm.errors import ConfigurationError
from semcomm.experiment.experiment import Experiment, FigureSpec
from semcomm.files import write_whole
from semcomm.runs.results import Results, label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

PALETTE = ("#4477AA", "#EE6677", "#228833", "#BB5599", "#CCA333", "#44AACC", "#7F7F7F")
"""After Paul Tol's "bright", which is safe for the colour-blind, adjusted to be read on white and on near black. From
the eighth transceiver on colours come again, with other markers."""

LABELS = {
    "snr_db": "SNR (dB)",
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
SHORT = {"snr_db": "SNR/dB", "channel_uses_per_pixel": "uses/pixel", "code.rate": "rate"}

WIDTH, HEIGHT = 3.5, 2.4
_LINES = ("-", "--", ":", "-.")
_MARKERS = "osD^vPX<>*"
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "axes.formatter.limits": (-3, 5),
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}


def label_of(column: str, experiment: Experiment) -> str:
    """Return what a column of the results is called on an axis, with its unit."""
    for metric in experiment.image_metrics:
        if metric.name == column:
            return f"{metric.name} ({metric.unit})" if metric.unit else metric.name
    words = re.sub(r"[._]+", " ", column).strip()
    return LABELS.get(column) or words[:1].upper() + words[1:] or column


def colours_of(experiment: Experiment) -> dict[str, str]:
    """Return the colour of each transceiver, by their order in the experiment."""
    return {name: PALETTE[n % len(PALETTE)] for n, name in enumerate(experiment.transceivers)}


def main_axis(experiment: Experiment) -> str:
    """Return what results run along: `snr_db` where it is swept, else the longest axis, else `transceiver`."""
    swept = {axis: len(values) for axis, values in experiment.axes.items() if len(values) > 1}
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

    That is the main axis. Where transceivers are swept along different ones, it is the rate if all of these are budgets
    or layers, and otherwise each in turn.
    """
    main = main_axis(experiment)
    if main == "transceiver" or main in experiment.channel_axes:
        return [main]
    swept = []
    for name in experiment.transceivers:
        settings = [point.parameters for point in experiment.points if point.transceiver == name]
        counts = {axis: len({str(s[axis]) for s in settings if axis in s}) for axis in experiment.axes}
        axis = max(counts, key=counts.get)
        swept += [axis] if counts[axis] > 1 else []
    swept = list(dict.fromkeys(swept))
    return swept if len(swept) < 2 or not set(swept) <= BUDGETS else ["bpp"]


def default_figures(results: Results) -> list[FigureSpec]:
    """Return the figures of an experiment that names none."""
    drawn = [y for y in quantities(results) if y not in RATIOS or is_logarithmic(results, y)]
    axes = default_axes(results.experiment)
    return [FigureSpec(x, y, log_y=is_logarithmic(results, y)) for x in axes for y in drawn]


class CurveName(NamedTuple):
    """What a legend calls a curve: its transceiver, what tells it from that one's others, its number among them."""

    transceiver: str
    telling: str
    number: int


def curve_names(frame: "pd.DataFrame", experiment: Experiment) -> dict[str, CurveName]:
    """Return the name of each curve of `statistics.curves`."""
    found: dict[str, CurveName] = {}
    seen: dict[str, int] = {}
    for curve, transceiver in zip(frame["curve"], frame["transceiver"]):
        if curve not in found:
            telling = curve.removeprefix(transceiver)
            for axis in experiment.axes:
                telling = telling.replace(f", {axis} ", f", {SHORT.get(axis, axis.replace('_', ' '))} ")
            found[curve] = CurveName(transceiver, telling.removeprefix(", "), seen.get(transceiver, 0))
            seen[transceiver] = seen.get(transceiver, 0) + 1
    return found


def positions(values: "pd.Series", axis: str, experiment: Experiment) -> tuple[np.ndarray, list[str] | None]:
    """Return where values stand on an axis and, where they are no numbers, the names of its places 0, 1, 2, ..."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if is_numeric_dtype(values) and not is_bool_dtype(values):
        return values.to_numpy(dtype=float), None
    known = list(experiment.transceivers) if axis == "transceiver" else map(label, experiment.axes.get(axis, []))
    places = {value: at for at, value in enumerate(dict.fromkeys([*known, *values.dropna()]))}
    return values.map(places).to_numpy(dtype=float), [str(value) for value in places]


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw the experiment's figures, or the default ones, as PNG and PDF: one of each for every channel.

    Args:
        results: of a run.
        folder: for the files, made if need be. Their names are made of the columns' and the channel's letters and
            digits alone.

    Returns:
        The files.

    Raises:
        ConfigurationError: when a figure names a column that is not there.
        RunError: when the folder cannot be written.
    """
    import matplotlib

    written, used = [], set()
    for spec in results.experiment.figures or default_figures(results):
        frame = _restricted(curves(results, spec.x, spec.y), spec)
        channels = list(frame["channel"].unique())
        for channel in channels:
            several = channel if len(channels) > 1 else ""
            with matplotlib.rc_context(_STYLE):
                figure = _figure(frame[frame["channel"] == channel], spec, results.experiment, several)
                written += _save(figure, folder, _free_name(f"{spec.y} over {spec.x} {several}", used))
    return written


def _sum(results: Results, column: str) -> float:
    return float(results.table[column].astype("float64").sum()) if column in results.table else 0.0


def _free_name(text: str, used: set[str]) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80] or "figure"
    names = (slug if n == 1 else f"{slug}-{n}" for n in range(1, len(used) + 2))
    name = next(name for name in names if name not in used)
    used.add(name)
    return name


def _save(figure: "Figure", folder: Path, name: str) -> Iterator[Path]:
    for suffix, metadata in ((".png", {}), (".pdf", {"CreationDate": None})):
        buffer = BytesIO()
        figure.savefig(buffer, format=suffix[1:], metadata=metadata)
        path = Path(folder) / f"{name}{suffix}"

        write_whole(path, buffer.getvalue())
        yield path


def _restricted(frame: "pd.DataFrame", spec: FigureSpec) -> "pd.DataFrame":
    """Return the points at which the swept parameters have the figure's values, or which do not have them at all."""
    for axis, value in spec.where.items():
        if axis not in frame or not (frame[axis] == value).any():
            raise ConfigurationError(f"figures: no point has {axis} = {value!r}, so there is nothing to draw")
        frame = frame[(frame[axis] == value) | frame[axis].isna()]
    return frame


def _figure(frame: "pd.DataFrame", spec: FigureSpec, experiment: Experiment, title: str) -> "Figure":
    from matplotlib.figure import Figure

    names = curve_names(frame, experiment)
    there = frame["curve"].isin(frame["curve"][frame["mean"].notna() | (frame["infinite"] > 0)])
    nowhere, frame = list(frame["transceiver"][~there].unique()), frame[there]
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    at, places = positions(frame[spec.x], spec.x, experiment)
    frame = frame.assign(at=np.where(at > 0, at, np.nan) if spec.log_x else at)
    names = {curve: names[curve] for curve in frame["curve"][frame["at"].notna()].unique()}
    axes.set_xlabel(_text(label_of(spec.x, experiment)))
    axes.set_ylabel(_text(label_of(spec.y, experiment)))
    axes.set_title(_text(title))
    if places:
        axes.set_xticks(range(len(places)), [_text(place, 16) for place in places])
        axes.set_xlim(-0.5, len(places) - 0.5)
    elif spec.x in experiment.axes and not spec.log_x and _apart(ticks := sorted(frame["at"].dropna().unique())):
        axes.set_xticks(ticks)
    _scale(axes, frame, spec)
    look = {"alpha": 0.15 if len(names) <= 4 else 0.08, "lines": not places}
    handles = [_curve(axes, frame[frame["curve"] == c], experiment, spec, names[c].number, **look) for c in names]
    notes = _notes(frame, spec, experiment)
    if nowhere:
        notes.append(f"{label_of(spec.y, experiment)}: none of {', '.join(nowhere)}.")
    if notes:
        text = "\n".join(line for note in notes for line in textwrap.wrap(_text(note, 400), 66))
        where = {"xycoords": "axes fraction", "textcoords": "offset points"}
        axes.annotate(text, (0, 0), (-20, -27), **where, va="top", fontsize=6, color="#555555")
    if handles:
        _legend(figure, _entries(handles, list(names.values())))
    return figure


def _apart(places: list[float]) -> bool:
    """Say whether there are few enough places, far enough apart, to have a tick each."""
    return len(places) <= 8 and all(b - a >= 0.07 * (places[-1] - places[0]) for a, b in itertools.pairwise(places))


Entries = list[tuple["Line2D", str]]


def _entries(handles: list["Line2D"], names: list[CurveName]) -> list[Entries]:
    """Return a legend's groups: the curves or, where all transceivers have the same kinds, transceivers and kinds."""
    from matplotlib.lines import Line2D

    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(name.transceiver, []).append(name.telling)
    shared = next(iter(kinds.values()))
    if len(kinds) == 1 or len(shared) == 1 or any(others != shared for others in kinds.values()):
        return [[(handle, ", ".join(filter(None, name[:2]))) for handle, name in zip(handles, names)]]
    solid = "-" if handles[0].get_linestyle() != "None" else ""
    transceivers, tellings = [], []
    for handle, name in zip(handles[:: len(shared)], kinds):
        colour, marker = handle.get_color(), handle.get_marker()
        transceivers.append((Line2D([], [], color=colour, marker=marker, linestyle=solid), name))
    for handle, telling in zip(handles, shared):
        hollow = handle.get_markerfacecolor() == "white"
        marker = {"marker": "o", "markerfacecolor": "white" if hollow else None} if hollow or not solid else {}
        line = Line2D([], [], color="#444444", linestyle=handle.get_linestyle(), **marker)
        tellings.append((line, telling))
    return [transceivers, tellings]


def _legend(figure: "Figure", groups: list[Entries]) -> None:
    """Place the legend below the axes, where it covers no data, and make the figure as much higher."""
    from matplotlib.lines import Line2D

    texts = [text for group in groups for _, text in group]
    columns = 2 if len(texts) > 1 and max(map(len, texts)) <= 24 else 1
    if len(groups) == columns:  # a column for each
        blank = Line2D([], [], linestyle=""), ""
        rows = max(map(len, groups))
        groups = [[*group, *[blank] * (rows - len(group))] for group in groups]
    handles, texts = zip(*(entry for group in groups for entry in group))
    figure.set_figheight(HEIGHT + 0.16 * -(-len(texts) // columns))
    where = {"loc": "outside lower center", "ncols": columns, "frameon": False, "handlelength": 2.6}
    figure.legend(handles, [_text(text) for text in texts], **where)


def _scale(axes: "Axes", frame: "pd.DataFrame", spec: FigureSpec) -> None:
    if spec.log_x and frame["at"].notna().any():
        axes.set_xscale("log")
    if spec.log_y and (frame["mean"] > 0).any():
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter("")
        top, bottom = frame["mean"].max(), frame["mean"][frame["mean"] > 0].min()
        axes.set_ylim(10 ** math.floor(math.log10(bottom) - 0.2), 10 ** math.ceil(math.log10(top)) * 1.3)


def _curve(
    axes: "Axes", rows: "pd.DataFrame", experiment: Experiment, spec: FigureSpec, number: int, alpha: float, lines: bool
) -> Any:
    """Draw one curve and return what stands for it in the legend."""
    rows = rows[rows["at"].notna()].sort_values("at")
    transceiver = list(experiment.transceivers).index(rows["transceiver"].iloc[0]) if len(rows) else 0
    style = {
        "color": PALETTE[transceiver % len(PALETTE)],
        "marker": _MARKERS[transceiver % len(_MARKERS)],
        "linestyle": _LINES[number % len(_LINES)] if lines else "",
        "markerfacecolor": None if number // len(_LINES) % 2 == 0 else "white",
    }
    mean = rows["mean"].where(rows["mean"] > 0) if spec.log_y else rows["mean"]
    low = rows["low"].clip(lower=axes.get_ylim()[0]) if spec.log_y else rows["low"]
    (line,) = axes.plot(rows["at"], mean, **style)
    if lines and mean.notna().sum() > 1:
        axes.fill_between(rows["at"], low, rows["high"], where=mean.notna(), color=style["color"], alpha=alpha, lw=0)
    else:
        axes.vlines(rows["at"], low, rows["high"], color=style["color"], alpha=0.5, lw=1.2)
    edges = {"transform": axes.get_xaxis_transform(), "linestyle": "", "color": style["color"], "clip_on": False}
    for which, y, marker in ((_endless(rows), 1.0, "^"), (_at_zero(rows, spec), 0.0, "v")):
        if which.any():  # a line without points has no extent, which the layout cannot bear
            axes.plot(rows["at"][which], np.full(which.sum(), y), marker=marker, markersize=5, **edges)
    return line


def _endless(rows: "pd.DataFrame") -> "pd.Series":
    """Points whose every value is infinite."""
    return rows["mean"].isna() & (rows["infinite"] > 0)


def _at_zero(rows: "pd.DataFrame", spec: FigureSpec) -> "pd.Series":
    """Points that a logarithmic axis has no place for."""
    return spec.log_y & (rows["mean"] <= 0)


def _notes(frame: "pd.DataFrame", spec: FigureSpec, experiment: Experiment) -> list[str]:
    """Return what has to be said of points that the curves do not show, or not in full."""
    notes = []
    shown = frame[frame["at"].notna()]
    if _endless(shown).any():
        notes.append(f"▲ {spec.y} is infinite for every image.")
    if partly := int(shown["infinite"][~_endless(shown)].sum()):
        notes.append(f"{partly} infinite values are left out of the means.")
    if _at_zero(shown, spec).any():
        notes.append(f"▼ {label_of(spec.y, experiment)} is 0.")
    if empty := int((shown["mean"].isna() & (shown["infinite"] == 0)).sum()):
        notes.append(f"{empty} points have no {label_of(spec.y, experiment)}.")
    if away := list(frame["transceiver"][frame["at"].isna()].unique()):
        notes.append(f"Points without a place on the horizontal axis: {', '.join(away)}.")
    return notes


def _text(text: str, longest: int = 44) -> str:
    """Return a text as matplotlib should show it: one line, not too long, no formulas."""
    text = " ".join(str(text).split())
    return (text if len(text) <= longest else text[: longest - 1] + "…").replace("$", r"\$")
