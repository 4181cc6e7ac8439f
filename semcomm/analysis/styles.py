"""The look of curves: colours, line styles and markers that tell at least 20 of them apart, in colour and in grey.

One table serves matplotlib (figures), Plotly (report) and SVG (legends, the page of a reproduction).
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semcomm.analysis.curves import Curve
    from semcomm.experiment.experiment import Experiment

COLOURS = (
    *("#4477AA", "#EE6677", "#228833", "#B8860B", "#894472"),
    *("#12A5C0", "#E0701A", "#8E6EF8", "#9C3B2E", "#7F7F7F"),
)
"""To be read on white and on near black, and told apart with the common colour vision deficiencies; the first three are
of Paul Tol's "bright"."""
LINES = {"solid": ("-", ""), "dash": ((0, (5, 2)), "6 3"), "dot": ((0, (1.2, 1.5)), "2 2.5")}
LINES["dashdot"] = ((0, (6, 1.5, 1.2, 1.5)), "7 2.5 2 2.5")
"""Plotly's name of a line style -> matplotlib's, and SVG's `stroke-dasharray`."""
KINDS = 2 * len(LINES)
"""Number of curves of one transceiver that line style and fill tell apart."""


def _outline(radii: Iterable[float], turn: float = -90.0) -> str:
    """Return an SVG path with corners at these distances from the centre, evenly around it."""
    radii = list(radii)
    angles = [math.radians(turn + 360 * n / len(radii)) for n in range(len(radii))]
    return "M" + "L".join(f"{r * math.cos(a):.2f} {r * math.sin(a):.2f}" for r, a in zip(radii, angles)) + "Z"


_PLUS = "M-.35-1H.35V-.35H1V.35H.35V1H-.35V.35H-1V-.35H-.35Z"
_CROSS = "M0-.5L.5-1L1-.5L.5 0L1 .5L.5 1L0 .5L-.5 1L-1 .5L-.5 0L-1-.5L-.5-1Z"
MARKERS = {
    "circle": ("o", "M-.9 0A.9.9 0 1 1 .9 0A.9.9 0 1 1-.9 0Z"),
    "square": ("s", "M-.85-.85H.85V.85H-.85Z"),
    "triangle-up": ("^", _outline([1.1] * 3)),
    "diamond": ("D", _outline([1.1] * 4)),
    "cross": ("P", _PLUS),
    "triangle-down": ("v", _outline([1.1] * 3, 90)),
    "x": ("X", _CROSS),
    "star": ("*", _outline([1.25, 0.5] * 5)),
    "triangle-left": ("<", _outline([1.1] * 3, 180)),
    "pentagon": ("p", _outline([1.1] * 5)),
    "triangle-right": (">", _outline([1.1] * 3, 0)),
}
"""Plotly's name of a marker -> matplotlib's, and an outline in SVG of about radius 1."""


@dataclass(frozen=True)
class Style:
    """The look of one curve.

    Attributes:
        colour: `#rrggbb`.
        line: a key of `LINES`.
        marker: a key of `MARKERS`.
        hollow: the marker is not filled.
    """

    colour: str
    line: str
    marker: str
    hollow: bool = False

    def matplotlib(self) -> dict:
        """Return the arguments of `Axes.plot`."""
        face = {"markerfacecolor": "white"} if self.hollow else {}
        return {"color": self.colour, "linestyle": LINES[self.line][0], "marker": MARKERS[self.marker][0], **face}

    def plain(self) -> dict:
        """Return it as plain data for a script: Plotly's names, and the outlines for SVG."""
        return {**asdict(self), "dashes": LINES[self.line][1], "outline": MARKERS[self.marker][1]}


def style(number: int, kind: int | None = None, colours: tuple[str, ...] = COLOURS) -> Style:
    """Return the style of a number in the table; the numbers of columns share no factor, so that few are alike.

    Args:
        number: of a transceiver or of a curve, from 0.
        kind: of a curve among those of its transceiver: then the line style and the fill are the kind's.
        colours: in the place of `COLOURS`.
    """
    lines, markers = list(LINES), list(MARKERS)
    line = lines[(number if kind is None else kind) % len(lines)]
    hollow = kind is not None and kind // len(lines) % 2 == 1
    return Style(colours[number % len(colours)], line, markers[number % len(markers)], hollow)


def styles_of(curves: list["Curve"], experiment: "Experiment", colours: tuple[str, ...] = COLOURS) -> list[Style]:
    """Return the style of each curve of a run.

    Where every transceiver has one curve on a channel, it has the style of its transceiver. Where transceivers have
    several, colour and marker are the transceiver's, line style and fill the curve's among its others. Where there is
    one transceiver alone, or one has more curves than line styles and fills tell apart, each curve has a style of its
    own.

    Args:
        curves: all of the run over one x.
        experiment: that was run; the transceivers' order in it gives their styles.
        colours: in the place of `COLOURS`.
    """
    kinds = max((curve.number for curve in curves), default=0) + 1
    order = {name: n for n, name in enumerate(experiment.transceivers)}
    if kinds == 1:
        return [style(order[curve.transceiver], colours=colours) for curve in curves]
    if kinds <= KINDS and len(order) > 1:
        return [style(order[curve.transceiver], curve.number, colours) for curve in curves]
    own = {name: n for n, name in enumerate(dict.fromkeys(curve.name for curve in curves))}
    return [style(own[curve.name], colours=colours) for curve in curves]
