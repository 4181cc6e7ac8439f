"""One legend for all panels of a figure, placed where it covers no data."""

from typing import TYPE_CHECKING

from semcomm.experiment.figure import FigureStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


def draw_legend(figure: "Figure", panels: "list[Axes]", style: FigureStyle) -> None:
    """Name the curves of all panels once, and make the figure as much higher or the panels as much narrower."""
    named = {name: line for axes in panels for line, name in zip(*axes.get_legend_handles_labels())}
    if not named or style.legend == "none":
        return
    if style.legend == "inside":
        panels[0].legend(named.values(), named.keys(), frameon=False)
        return
    groups = _grouped(named)
    if style.legend == "right":
        handles, texts = zip(*(entry for group in groups for entry in group))
        figure.legend(handles, texts, loc="outside right center", frameon=False, handlelength=2.6)
        return
    longest = max(len(text) for group in groups for _, text in group)
    room = style.width * 72 / (0.55 * (style.font_size - 1))  # characters
    columns = max(1, min(sum(map(len, groups)), int(room / (longest + 8)), 4))
    if len(groups) == columns:  # a column for each
        groups = _level(groups)
    handles, texts = zip(*(entry for group in groups for entry in group))
    rows = -(-len(texts) // columns)
    figure.set_figheight(figure.get_figheight() + rows * 0.02 * style.font_size)
    where = {"loc": "outside lower center", "ncols": columns, "frameon": False, "handlelength": 2.6}
    figure.legend(handles, texts, **where)


def _grouped(named: "dict[str, Line2D]") -> "list[list[tuple[Line2D, str]]]":
    """Return a legend's groups: the curves or, where all transceivers have the same others, transceivers and these."""
    from matplotlib.lines import Line2D

    pairs = {name: name.partition(", ")[::2] for name in named}
    kinds: dict[str, list[str]] = {}
    for transceiver, telling in pairs.values():
        kinds.setdefault(transceiver, []).append(telling)
    shared = next(iter(kinds.values()))
    lines = list(named.values())
    by_transceiver = len({line.get_color() for line in lines}) <= len(kinds)
    if len(kinds) == 1 or len(shared) == 1 or any(other != shared for other in kinds.values()) or not by_transceiver:
        return [[(line, name) for name, line in named.items()]]
    solid = "-" if lines[0].get_linestyle() != "None" else ""
    transceivers, tellings = [], []
    for line, name in zip(lines[:: len(shared)], kinds):
        colour, marker = line.get_color(), line.get_marker()
        transceivers.append((Line2D([], [], color=colour, marker=marker, linestyle=solid), name))
    for line, telling in zip(lines, shared):
        hollow = line.get_markerfacecolor() == "white"
        marker = {"marker": "o", "markerfacecolor": "white" if hollow else None} if hollow or not solid else {}
        tellings.append((Line2D([], [], color="#444444", linestyle=line.get_linestyle(), **marker), telling))
    return [transceivers, tellings]


def _level(groups: "list[list[tuple[Line2D, str]]]") -> "list[list[tuple[Line2D, str]]]":
    from matplotlib.lines import Line2D

    rows, blank = max(map(len, groups)), (Line2D([], [], linestyle=""), "")
    return [[*group, *[blank] * (rows - len(group))] for group in groups]
