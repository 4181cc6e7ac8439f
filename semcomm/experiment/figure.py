"""Figures as experiment files and style files describe them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from semcomm.configuration import as_data, build, read_yaml
from semcomm.errors import ConfigurationError


@dataclass(frozen=True)
class FigureStyle:
    """The look of figures; the defaults suit one column of a two-column paper.

    Args:
        width: of the whole figure in inches.
        height: of each panel in inches; the legend comes on top.
        font: family; none takes matplotlib's. A further one is added for characters that it lacks.
        font_size: in points.
        colours: in the place of the palette, in the order of the transceivers.
        curves: which are drawn, in the order of the legend: transceivers or curves by name; none draws all.
        names: name of a transceiver or a curve -> its name in the legend.
        lines: name of a transceiver or a curve -> its line style.
        markers: draw markers.
        intervals: how confidence intervals are drawn.
        legend: where it stands; `inside` lets matplotlib find a place in the first panel.
        x_limits: of the horizontal axes.
        y_limits: column -> limits of its vertical axis.
        columns: how many panels stand side by side.
        formats: of the files.
        dpi: dots per inch of PNG files.
    """

    width: float = 3.5
    height: float = 2.4
    font: str = ""
    font_size: float = 8
    colours: list[str] = field(default_factory=list)
    curves: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    lines: dict[str, Literal["solid", "dash", "dot", "dashdot"]] = field(default_factory=dict)
    markers: bool = True
    intervals: Literal["bands", "bars", "none"] = "bands"
    legend: Literal["below", "right", "inside", "none"] = "below"
    x_limits: list[float] | None = None
    y_limits: dict[str, list[float]] = field(default_factory=dict)
    columns: int = 2
    formats: list[Literal["png", "pdf", "svg"]] = field(default_factory=lambda: ["png", "pdf"])
    dpi: int = 200

    def __post_init__(self) -> None:
        for name in ("width", "height", "font_size", "columns", "dpi"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be above 0")
        of_panels = {f"y_limits.{column}": limits for column, limits in self.y_limits.items()}
        for name, limits in {"x_limits": self.x_limits, **of_panels}.items():
            if limits is not None and (len(limits) != 2 or not limits[0] < limits[1]):
                raise ConfigurationError(f"{name} is {limits}; expected the lower and the upper end")


@dataclass(frozen=True)
class FigureSpec:
    """A figure of the results.

    Args:
        x: column on the horizontal axis: a swept parameter, `snr_db`, `bpp`, `cbr`, ...
        y: column on the vertical axis: a metric, `bler`, `ber`, ...; several make a panel each.
        log_x: logarithmic horizontal axis.
        log_y: logarithmic vertical axis.
        where: swept parameter -> the value that it has in this figure; without it every value is drawn.
        style: arguments of `FigureStyle`.
    """

    x: str
    y: str | list[str]
    log_x: bool = False
    log_y: bool = False
    where: dict[str, Any] = field(default_factory=dict)
    style: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("where", "style"):
            object.__setattr__(self, name, as_data(getattr(self, name)))
        if not self.y:
            raise ConfigurationError("a figure needs a y")
        self.styled()

    @property
    def panels(self) -> list[str]:
        """The columns of the vertical axes."""
        return [self.y] if isinstance(self.y, str) else self.y

    def styled(self, style: Mapping[str, Any] | None = None) -> FigureStyle:
        """Return the figure's style: its own keys over those of `style`."""
        return build(FigureStyle, {**(style or {}), **self.style}, "figures.style")


def read_style(path: str | Path) -> tuple[dict[str, Any], list[FigureSpec]]:
    """Read a style file: arguments of `FigureStyle` and, as `figures`, those in the place of the experiment's.

    Returns:
        The arguments and the figures.

    Raises:
        ConfigurationError: one line that says what is wrong with it.
    """
    data = read_yaml(Path(path))
    figures = data.pop("figures", None) or []
    build(FigureStyle, data, str(path))
    return data, build(list[FigureSpec], figures, f"{path}: figures")
