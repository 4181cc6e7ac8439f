"""The drawing of an explanation: names of relations that can be read, colours that can be read on white."""

from types import SimpleNamespace

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from semcomm.metrics.sess.explain import COLOURS, UNMATCHED, _image

PREDICATES = ("standing on", "in front of", "beside", "above")


def crowded() -> Figure:
    """Five objects in a small space, every one related to every other."""
    masks = np.zeros((5, 90, 120), bool)
    for n, (y, x) in enumerate([(20, 20), (25, 55), (45, 40), (70, 30), (60, 80)]):
        masks[n, y - 8 : y + 8, x - 8 : x + 8] = True
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    relations = [{"subject": i, "object": j, "predicate": PREDICATES[(i + j) % 4]} for i, j in pairs]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3, width_ratios=(4, 4, 2.4))
    _image(axes[0], torch.full((3, 90, 120), 0.7), SimpleNamespace(masks=masks), relations, list(COLOURS[:5]))
    return figure


def test_names_of_relations_do_not_overlap():
    figure = crowded()
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    boxes = [t.get_window_extent(renderer) for t in figure.axes[0].texts if t.get_text() in PREDICATES]
    assert len(boxes) >= 6
    for n, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[n + 1 :])


def test_colours_can_be_read_on_white():
    """By the contrast of WCAG 2.2, which asks for 3 to 1 for graphics and 4.5 to 1 for small text: between the two."""
    for colour in (*COLOURS, UNMATCHED):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
        assert 1.05 / (luminance + 0.05) >= 4.0, colour
