"""Charts of a figure's curves as SVG in the page, which gives text and grid its colours, on light and dark ground."""

import hashlib
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any

from semcomm.analysis.figures import draw_panel
from semcomm.analysis.styles import LINES, style
from semcomm.experiment.figure import FigureSpec
from semcomm.runs.results import Results

_PAGE_COLOURS = {"#010203": "var(--soft)", "#040506": "var(--grid)", "#070809": "var(--surface)"}
"""Colour that matplotlib draws with -> the page's colour in its place."""
_SETTINGS = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), "#010203"),
    "grid.color": "#040506",
    "svg.fonttype": "none",
    "svg.hashsalt": "semcomm",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
}


@dataclass(frozen=True)
class PublishedCurve:
    """A curve that others have published, drawn thin.

    Attributes:
        name: for the legend.
        x: places of its points.
        y: their values.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]


def chart(
    results: Results, spec: FigureSpec, channel: str, published: Sequence[PublishedCurve] = ()
) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return a channel's curves as an SVG element, and their legend: name -> style as plain data.

    Both are empty where there is nothing to draw. Published curves are cut at the ends of the run's.

    Args:
        results: of a run.
        spec: what to draw.
        channel: whose curves.
        published: further curves.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(4.2, 2.8), layout="constrained")
        axes = figure.add_subplot()
        curves = draw_panel(axes, results, spec, spec.styled(), channel).curves
        if not curves:
            return "", {}
        legend, limits = {name: look.plain() for name, look in curves.items()}, (axes.get_xlim(), axes.get_ylim())
        for number, curve in enumerate(published, len(results.experiment.transceivers)):
            look = replace(style(number), line=list(LINES)[1 + number % 3])
            axes.plot(curve.x, curve.y, color=look.colour, linestyle=LINES[look.line][0], linewidth=0.9, zorder=1)
            legend[curve.name] = {**look.plain(), "outline": ""}
        axes.set(xlim=limits[0], ylim=limits[1])
        buffer = StringIO()
        without = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=without)
    return _inline(buffer.getvalue(), f"{spec.y} over {spec.x}: {', '.join(legend)}"), legend


def _inline(svg: str, label: str) -> str:
    """Return a file of matplotlib's as an element of a page: named, without a size, in the page's colours."""
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg[svg.index("<svg") :])
    svg = re.sub(r"<style.*?</style>|<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
    prefix = hashlib.sha256(svg.encode()).hexdigest()[:8]  # ids of several charts in one page
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{prefix}-", svg)
    for drawn, colour in _PAGE_COLOURS.items():
        svg = svg.replace(drawn, colour)
    named = f'<svg role="img" aria-label="{html.escape(label, quote=True)}"'
    return re.sub('<svg width="[^"]*" height="[^"]*"', lambda _: named, svg, count=1)
