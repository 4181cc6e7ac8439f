"""Figures of a run's results for a paper.

Nothing is dropped in silence: points without a place on the axes stand at their edge or are counted under the figure.
"""

import itertools
import json
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from semcomm.analysis.curves import Curve, curves_of, limits_of
from semcomm.analysis.defaults import default_figures, is_logarithmic, label_of
from semcomm.analysis.fonts import families, unreadable
from semcomm.analysis.legends import draw_legend
from semcomm.analysis.styles import Style, styles_of
from semcomm.analysis.tables import latex_table
from semcomm.configuration import unknown_key
from semcomm.errors import ConfigurationError
from semcomm.experiment.experiment import Experiment
from semcomm.experiment.figure import FigureSpec, FigureStyle
from semcomm.files import write_whole
from semcomm.runs.results import Results, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN = "drawn.json"
"""Beside the figures: the names of those that were drawn, so that the next drawing takes away what it does not draw."""
_FIXED = {
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "axes.formatter.limits": (-3, 5),
    "pdf.fonttype": 42,
    "svg.hashsalt": "semcomm",
}


def draw(
    results: Results,
    folder: str | Path,
    style: Mapping[str, Any] | None = None,
    figures: Sequence[FigureSpec] = (),
    on_note: Callable[[str], None] = lambda note: None,
) -> list[Path]:
    """Draw the experiment's figures, or the default ones: one of each for every channel that has its axis.

    The numbers of each stand beside it as a table for LaTeX, of all its curves and points. Figures that
    were drawn into the folder before and are not drawn now are removed; other files there are left alone.

    Args:
        results: of a run.
        folder: for the files, made if need be. Their names are made of the columns' and the channel's letters and
            digits alone.
        style: arguments of `FigureStyle`, under those of each figure.
        figures: in the place of the experiment's; none takes those.
        on_note: is given what the user should know, such as characters that no font has.

    Returns:
        The files.

    Raises:
        ConfigurationError: when a figure names a column, a curve or a value that is not there.
        RunError: when the folder cannot be written.
    """
    folder, written, used = Path(folder), [], set()
    if missing := unreadable((style or {}).get("font", ""), _names(results)):
        on_note(f"no font on this machine has {missing[:12]}: figures show boxes instead. Noto Sans CJK may have it")
    for spec in figures or results.experiment.figures or default_figures(results):
        styled = spec.styled(style)
        channels = channels_of(results, spec)
        for channel in channels:
            drawn = figure(results, spec, style, channel, channel if len(channels) > 1 else "")
            name = _free_name(f"{' and '.join(spec.panels)} over {spec.x} {channel if len(channels) > 1 else ''}", used)
            written += _save(drawn, folder, name, styled)
            path = folder / f"{name}.tex"
            write_whole(path, "\n".join(latex_table(results, spec.x, y, channel) for y in spec.panels).encode())
            written.append(path)
    _tidy(folder, written)
    return written


def figure(
    results: Results,
    spec: FigureSpec,
    style: Mapping[str, Any] | None = None,
    channel: str | None = None,
    title: str = "",
) -> "Figure":
    """Return a figure: a panel for each quantity, one legend, and notes on what the curves do not show.

    Args:
        results: of a run.
        spec: what to draw.
        style: arguments of `FigureStyle`, under those of `spec`.
        channel: whose curves; none takes the first that has the axis.
        title: above the panels.

    Raises:
        ConfigurationError: when the figure names a column, a curve or a value that is not there.
    """
    import matplotlib
    from matplotlib.figure import Figure

    styled = spec.styled(style)
    channel = channel or next(iter(channels_of(results, spec)), next(iter(results.experiment.channels)))
    with matplotlib.rc_context(_settings(styled, results)):
        columns = min(styled.columns, len(spec.panels))
        rows = -(-len(spec.panels) // columns)
        drawn = Figure(figsize=(styled.width, styled.height * rows), layout="constrained")
        panels = drawn.subplots(rows, columns, squeeze=False).ravel()
        for axes, y in zip(panels, spec.panels):
            one = replace(spec, y=y, log_y=spec.log_y or (len(spec.panels) > 1 and is_logarithmic(results, y)))
            _write_notes(axes, draw_panel(axes, results, one, styled, channel).notes, styled)
        for axes in panels[len(spec.panels) :]:
            axes.remove()
        if title:
            drawn.suptitle(_text(title), fontsize=styled.font_size)
        draw_legend(drawn, list(panels[: len(spec.panels)]), styled)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # `draw` says it once, in words
            drawn.draw_without_rendering()  # with these settings, whoever saves it
    return drawn


def plot(
    results: Results,
    x: str,
    y: str,
    axes: "Axes | None" = None,
    channel: str | None = None,
    log_x: bool = False,
    log_y: bool = False,
    where: Mapping[str, Any] | None = None,
    style: Mapping[str, Any] | None = None,
) -> "Axes":
    """Draw the curves of y over x into matplotlib axes and return these; fonts and sizes stay as they are set.

    Args:
        results: of a run, or of several.
        x: column on the horizontal axis.
        y: column on the vertical axis.
        axes: to draw into; none makes a figure with one panel.
        channel: whose curves; none takes the first that has the axis.
        log_x: logarithmic horizontal axis.
        log_y: logarithmic vertical axis.
        where: swept parameter -> its value.
        style: arguments of `FigureStyle`; what concerns whole figures has no effect.

    Returns:
        The axes, with labels; `axes.legend()` names the curves.

    Raises:
        ConfigurationError: when a column, a curve or a value is not there.
    """
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.subplots(layout="constrained")[1]
    spec = FigureSpec(x, y, log_x, log_y, dict(where or {}), dict(style or {}))
    channel = channel or next(iter(channels_of(results, spec)), next(iter(results.experiment.channels)))
    if channel not in results.experiment.channels:
        raise ConfigurationError(f"there is no channel {unknown_key(channel, list(results.experiment.channels))}")
    draw_panel(axes, results, spec, spec.styled(), channel)
    return axes


def _settings(style: FigureStyle, results: Results) -> dict[str, Any]:
    size = style.font_size
    return {
        **_FIXED,
        "font.family": families(style.font, _names(results) + "".join(style.names.values())),
        "font.size": size,
        "axes.labelsize": size,
        "axes.titlesize": size,
        "xtick.labelsize": size - 1,
        "ytick.labelsize": size - 1,
        "legend.fontsize": size - 1,
        "lines.markersize": 0.45 * size,
        "savefig.dpi": style.dpi,
    }


def _names(results: Results) -> str:
    experiment = results.experiment
    return "".join(map(str, [*experiment.transceivers, *experiment.channels, *results.table.columns]))


def channels_of(results: Results, spec: FigureSpec) -> list[str]:
    """Return the channels on which some curve has a place on the horizontal axis; where none has, all with results."""
    found = curves_of(results, spec.x, spec.panels[0])
    there = {curve.channel for curve in found if any(place is not None and place == place for place in curve.places)}
    known = list(dict.fromkeys(curve.channel for curve in found))
    return [channel for channel in known if channel in there] or known


def _chosen(results: Results, spec: FigureSpec, style: FigureStyle, channel: str) -> list[tuple[Curve, Style]]:
    """Return the curves to draw with their styles, in the order of the legend."""
    every = curves_of(results, spec.x, spec.y)
    colours = {"colours": tuple(style.colours)} if style.colours else {}
    styles = styles_of(every, results.experiment, **colours)
    pairs = [(curve, look) for curve, look in zip(every, styles) if curve.channel == channel]
    known = list(dict.fromkeys(name for curve in every for name in (curve.transceiver, curve.name)))
    for name in (*style.curves, *style.names, *style.lines):
        if name not in known:
            raise ConfigurationError(f"figures: there is no transceiver or curve {unknown_key(name, known)}")
    if style.curves:
        pairs = [pair for name in style.curves for pair in pairs if name in (pair[0].transceiver, pair[0].name)]
    return [(curve, replace(look, line=_of(style.lines, curve, look.line))) for curve, look in pairs]


def _of(given: Mapping[str, str], curve: Curve, default: str) -> str:
    """Return what a style says of a curve, by its name or that of its transceiver."""
    return given.get(curve.name, given.get(curve.transceiver, default))


def _restricted(curve: Curve, results: Results, where: Mapping[str, Any]) -> Curve | None:
    """Return a curve with the points at which the swept parameters have these values or which do not have them."""
    points = [results.experiment.points[n].parameters for n in curve.points]
    kept = [n for n, at in enumerate(points) if all(at.get(axis, value) == value for axis, value in where.items())]
    if not kept:
        return None
    arrays = {name: getattr(curve, name) for name in ("along", "values", "weights")}
    cut = {name: None if array is None else array[kept] for name, array in arrays.items()}
    return replace(curve, points=[curve.points[n] for n in kept], places=[curve.places[n] for n in kept], **cut)


class Panel(NamedTuple):
    """The curves of one panel, legend's name -> style, and what has to be said about those that it does not show."""

    curves: dict[str, Style]
    notes: list[str]


def draw_panel(axes: "Axes", results: Results, spec: FigureSpec, style: FigureStyle, channel: str) -> Panel:
    """Draw the curves of one quantity on one channel into axes.

    Raises:
        ConfigurationError: when the figure names a column, a curve or a value that is not there.
    """
    experiment = results.experiment
    for axis, value in spec.where.items():
        if all(point.parameters.get(axis) != value for point in experiment.points):
            raise ConfigurationError(f"figures: no point has {axis} = {value!r}, so there is nothing to draw")
    drawn = []
    for curve, look in _chosen(results, spec, style, channel):
        if (one := _restricted(curve, results, spec.where)) is not None:
            drawn.append((one, look, _Points(one, results, spec)))
    there = [one for one in drawn if one[2].anywhere]
    nowhere = dict.fromkeys(curve.transceiver for curve, _, points in drawn if not points.anywhere)
    axes.set_xlabel(_text(label_of(spec.x, experiment)))
    axes.set_ylabel(_text(label_of(spec.y, experiment)))
    places = places_of(spec.x, experiment)
    if places:
        axes.set_xticks(range(len(places)), [_text(place, 16) for place in places])
        axes.set_xlim(-0.5, len(places) - 0.5)
    elif spec.x in experiment.axes and not spec.log_x:
        ticks = sorted({x for _, _, points in there for x in points.x if np.isfinite(x)})
        if _apart(ticks):
            axes.set_xticks(ticks)
    shown = [one for one in there if np.isfinite(one[2].x).any()]
    alike = len({curve.telling for curve, _, _ in shown}) <= 1
    _scale(axes, [points for _, _, points in shown], spec, style)
    named = {}
    for curve, look, points in shown:
        full = ", ".join(filter(None, [curve.transceiver, "" if alike else curve.telling]))
        name = _text(_of(style.names, curve, full) if alike or curve.name in style.names else full)
        line = _curve(axes, points, look, style, 0.15 if len(shown) <= 4 else 0.08, lines=not places)
        line.set_label(name)
        named[name] = look
    _limit(axes, [points for _, _, points in shown], spec, style)
    notes = _notes([one[2] for one in shown], label_of(spec.y, experiment), spec.y)
    if away := dict.fromkeys(curve.transceiver for curve, _, points in there if not np.isfinite(points.x).all()):
        notes.append(f"Points without a place on the horizontal axis: {', '.join(away)}.")
    if nowhere:
        notes.append(f"{label_of(spec.y, experiment)}: none of {', '.join(nowhere)}.")
    return Panel(named, notes)


def places_of(axis: str, experiment: Experiment) -> list[str] | None:
    """Return the names of an axis's places 0, 1, 2, ...; None for an axis of numbers."""
    values = experiment.axes.get(axis, [])
    if axis in ("transceiver", "channel"):
        values = getattr(experiment, f"{axis}s")
    elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return None
    return [str(label(value)) for value in values]


class _Points:
    """A curve as a panel has it: places as numbers, means and intervals, and what has no place."""

    def __init__(self, curve: Curve, results: Results, spec: FigureSpec) -> None:
        found = curve.estimates(limits_of(results, spec.y))
        x = _positions(curve.places, spec.x, results.experiment)
        order = np.argsort(x, kind="stable")
        self.x = np.where(x > 0, x, np.nan)[order] if spec.log_x else x[order]
        self.mean, self.low, self.high = (
            np.array([getattr(e, name) for e in found])[order] for name in ("mean", "low", "high")
        )
        self.infinite = np.array([e.infinite for e in found])[order]
        self.endless = np.isnan(self.mean) & (self.infinite > 0)
        self.at_zero = spec.log_y & (self.mean <= 0)
        self.anywhere = bool((~np.isnan(self.mean) | self.endless).any())


def _positions(places: list[Any], axis: str, experiment: Experiment) -> np.ndarray:
    names = places_of(axis, experiment)
    if names is None:
        return np.array(places, dtype=float)
    return np.array([names.index(str(place)) if str(place) in names else np.nan for place in places])


def _apart(places: list[float]) -> bool:
    """Say whether there are few enough places, far enough apart, to have a tick each."""
    return 0 < len(places) <= 8 and all(b - a >= 0.07 * (places[-1] - places[0]) for a, b in itertools.pairwise(places))


def _scale(axes: "Axes", curves: list[_Points], spec: FigureSpec, style: FigureStyle) -> None:
    if spec.log_x and any(np.isfinite(points.x).any() for points in curves):
        axes.set_xscale("log")
    means = np.concatenate([points.mean for points in curves]) if curves else np.array([])
    if spec.log_y and (means > 0).any():
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter("")
        top, bottom = np.nanmax(means), means[means > 0].min()
        axes.set_ylim(10 ** math.floor(math.log10(bottom) - 0.2), 10 ** math.ceil(math.log10(top)) * 1.3)


def _limit(axes: "Axes", curves: list[_Points], spec: FigureSpec, style: FigureStyle) -> None:
    """Set the limits that were asked for; without them, wide intervals of few images do not squeeze the curves."""
    means = np.concatenate([points.mean for points in curves]) if curves else np.array([])
    if style.x_limits:
        axes.set_xlim(style.x_limits)
    if spec.y in style.y_limits:
        axes.set_ylim(style.y_limits[spec.y])
    elif axes.get_yscale() == "linear" and np.isfinite(means).any() and np.nanmax(means) > np.nanmin(means):
        low, high = np.nanmin(means), np.nanmax(means)
        (bottom, top), room = axes.get_ylim(), 0.5 * (high - low)
        axes.set_ylim(max(bottom, low - room), min(top, high + room))


def _curve(axes: "Axes", points: _Points, look: Style, style: FigureStyle, alpha: float, lines: bool) -> Any:
    """Draw one curve and return its line."""
    logarithmic = axes.get_yscale() == "log"
    mean = np.where(points.mean > 0, points.mean, np.nan) if logarithmic else points.mean
    low = np.maximum(points.low, axes.get_ylim()[0]) if logarithmic else points.low
    pen = (
        look.matplotlib()
        | ({} if lines else {"linestyle": ""})
        | ({} if style.markers or not lines else {"marker": ""})
    )
    (line,) = axes.plot(points.x, mean, **pen)
    known = np.isfinite(mean) & np.isfinite(low)
    if style.intervals == "bands" and lines and known.sum() > 1:
        axes.fill_between(points.x, low, points.high, where=known, color=look.colour, alpha=alpha, lw=0)
    elif style.intervals != "none" and known.any():
        axes.vlines(points.x[known], low[known], points.high[known], color=look.colour, alpha=0.5, lw=1.2)
    edges = {"transform": axes.get_xaxis_transform(), "linestyle": "", "color": look.colour, "clip_on": False}
    for which, y, marker in ((points.endless, 1.0, "^"), (points.at_zero, 0.0, "v")):
        if which.any():  # a line without points has no extent, which the layout cannot bear
            axes.plot(points.x[which], np.full(which.sum(), y), marker=marker, markersize=5, **edges)
    return line


def _notes(curves: list[_Points], name: str, column: str) -> list[str]:
    """Return what has to be said of points that the curves do not show, or not in full."""
    placed = [(points, np.isfinite(points.x)) for points in curves]
    notes = []
    if any(points.endless[at].any() for points, at in placed):
        notes.append(f"▲ {column} is infinite for every image.")
    if partly := sum(int(points.infinite[at & ~points.endless].sum()) for points, at in placed):
        notes.append(f"{partly} infinite values are left out of the means.")
    if any(points.at_zero[at].any() for points, at in placed):
        notes.append(f"▼ {name} is 0.")
    if empty := sum(int((np.isnan(points.mean) & (points.infinite == 0) & at).sum()) for points, at in placed):
        notes.append(f"{empty} points have no {name}.")
    return notes


def _write_notes(axes: "Axes", notes: list[str], style: FigureStyle) -> None:
    if notes:
        width = int(66 * style.width / 3.5 / min(style.columns, len(axes.figure.axes)))
        text = "\n".join(line for note in notes for line in textwrap.wrap(_text(note, 400), max(20, width)))
        where = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
        axes.annotate(text, (0, 0), (-20, -27), **where, fontsize=0.75 * style.font_size, color="#555555")


def _save(figure: "Figure", folder: Path, name: str, style: FigureStyle) -> Iterator[Path]:
    import matplotlib

    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    for kind in style.formats:
        buffer = BytesIO()
        with matplotlib.rc_context(_FIXED), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")
            figure.savefig(buffer, format=kind, dpi=style.dpi, metadata=metadata.get(kind, {}))
        path = folder / f"{name}.{kind}"
        write_whole(path, buffer.getvalue())
        yield path


def _tidy(folder: Path, written: list[Path]) -> None:
    """Remove what was drawn before and is no longer, and note what is there now."""
    names, listing = [path.name for path in written], folder / DRAWN
    before = json.loads(listing.read_text(encoding="utf-8")) if listing.exists() else []
    for name in set(before) - set(names):
        if name == Path(name).name:
            (folder / name).unlink(missing_ok=True)
    write_whole(listing, json.dumps(names).encode())


def _free_name(text: str, used: set[str]) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80] or "figure"
    names = (slug if n == 1 else f"{slug}-{n}" for n in range(1, len(used) + 2))
    name = next(name for name in names if name not in used)
    used.add(name)
    return name


def _text(text: str, longest: int = 44) -> str:
    """Return a text as matplotlib should show it: one line, not too long, no formulas."""
    text = " ".join(str(text).split())
    return (text if len(text) <= longest else text[: longest - 1] + "…").replace("$", r"\$")
