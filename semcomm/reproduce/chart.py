"""Line charts as SVG that takes its colours from the page, so that it is right on light and dark ground."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

WIDTH, HEIGHT = 340, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 26, 38
MARKS = ("circle", "square", "triangle", "diamond")


@dataclass(frozen=True)
class Curve:
    """One curve.

    Attributes:
        name: for the legend.
        x: where its points are.
        y: their means.
        low: lower ends of their intervals; empty for a published curve, which is drawn thin.
        high: upper ends.
        colour: number of its colour.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = field(default_factory=tuple)
    high: Sequence[float] = field(default_factory=tuple)
    colour: int = 0


def svg(curves: Sequence[Curve], title: str, x_label: str, log_x: bool = False) -> str:
    """Return a chart of curves as an SVG element; what is not finite is left out, with its line broken there."""
    ours = [curve for curve in curves if len(curve.low)]
    xs = [x for c in curves for x in c.x if np.isfinite(x) and (x > 0 or not log_x)]
    ys = [y for c in ours for ends in (c.y, c.low, c.high) for y in ends if np.isfinite(y)]
    if not xs or not ys:
        return ""
    own = [x for c in ours for x in c.x if np.isfinite(x) and (x > 0 or not log_x)]
    across = _Axis(min(own), max(own), LEFT, WIDTH - RIGHT, log_x)
    up = _Axis(min(ys), max(ys), HEIGHT - BOTTOM, TOP)
    parts = [f'<text class="title" x="{LEFT}" y="15">{html.escape(title)}</text>']
    for value in up.ticks(5):
        y = up(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{_text(value)}</text>')
    for value in across.ticks(5):
        x = across(value)
        parts.append(f'<line class="grid" y1="{TOP}" y2="{HEIGHT - BOTTOM}" x1="{x:.1f}" x2="{x:.1f}"/>')
        at = f'x="{x:.1f}" y="{HEIGHT - BOTTOM + 14}"'
        parts.append(f'<text class="tick" {at} text-anchor="middle">{_text(value)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(x_label)}</text>')
    for curve in sorted(curves, key=lambda c: len(c.low) > 0):
        parts += _drawn(curve, across, up, log_x)
    label = html.escape(f"{title} over {x_label}: {', '.join(dict.fromkeys(c.name for c in curves))}", quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def key(curve: Curve) -> str:
    """Return the sign of a curve in the legend."""
    if not len(curve.low):
        return f'<svg class="key published c{curve.colour}" viewBox="0 0 24 12"><path d="M1 6H23"/></svg>'
    mark = _mark(12, 6, curve.colour)
    return f'<svg class="key c{curve.colour}" viewBox="0 0 24 12"><path class="line" d="M1 6H23"/>{mark}</svg>'


class _Axis:
    def __init__(self, low: float, high: float, start: float, end: float, log: bool = False) -> None:
        self.log = log
        low, high = (math.log2(v) if log else v for v in (low, high))
        margin = 0.04 * (high - low) or 0.5
        self.low, self.high, self.start, self.end = low - margin, high + margin, start, end

    def __call__(self, value: float) -> float:
        at = math.log2(value) if self.log else value
        return self.start + (at - self.low) / (self.high - self.low) * (self.end - self.start)

    def inside(self, value: float) -> bool:
        return min(self.start, self.end) - 1 <= self(value) <= max(self.start, self.end) + 1

    def ticks(self, count: int) -> list[float]:
        if self.log:
            powers = range(math.ceil(self.low), math.floor(self.high) + 1)
            step = -(-len(powers) // count) or 1
            return [2.0**n for n in powers if n % step == 0]
        rough = (self.high - self.low) / count
        step = 10 ** math.floor(math.log10(rough))
        step *= next(f for f in (1, 2, 5, 10) if f * step >= rough)
        return [n * step for n in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def _drawn(curve: Curve, across: _Axis, up: _Axis, log_x: bool) -> list[str]:
    order = np.argsort(np.asarray(curve.x, dtype=float))
    points = [(curve.x[n], curve.y[n], n) for n in order]
    usable = [np.isfinite(x) and np.isfinite(y) and (x > 0 or not log_x) for x, y, _ in points]
    shown = [point for point, there in zip(points, usable) if there]
    if not len(curve.low):
        inside = [(x, y) for x, y, _ in shown if across.inside(x) and up.inside(y)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in inside)
        return [f'<polyline class="published c{curve.colour}" points="{path}"/>'] if len(inside) > 1 else []
    band = [(x, curve.high[n]) for x, _, n in shown] + [(x, curve.low[n]) for x, _, n in reversed(shown)]
    area = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in band if np.isfinite(y))
    path, pen = "", "M"
    for (x, y, _), there in zip(points, usable):
        path += f"{pen}{across(x):.1f} {up(y):.1f}" if there else ""
        pen = "L" if there else "M"
    marks = [_mark(across(x), up(y), curve.colour) for x, y, _ in shown]
    inner = f'<polygon class="band" points="{area}"/><path class="line" d="{path}"/>{"".join(marks)}'
    return [f'<g class="c{curve.colour}">{inner}</g>']


def _mark(x: float, y: float, number: int) -> str:
    shape = MARKS[number % len(MARKS)]
    if shape == "circle":
        return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>'
    if shape == "square":
        return f'<rect class="mark" x="{x - 2.4:.1f}" y="{y - 2.4:.1f}" width="4.8" height="4.8"/>'
    if shape == "triangle":
        return f'<path class="mark" d="M{x:.1f} {y - 3.2:.1f}l3.1 5.6h-6.2z"/>'
    return f'<path class="mark" d="M{x:.1f} {y - 3.5:.1f}l3.2 3.5l-3.2 3.5l-3.2-3.5z"/>'


def _text(value: float) -> str:
    return f"{value:.4g}" if abs(value) > 1e-12 else "0"
