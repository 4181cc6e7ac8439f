"""Explanation of a score: both images with their objects, what was matched with what, and its share."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from semcomm.images import to_bytes
from semcomm.metrics.sess.graph import SceneGraph
from semcomm.metrics.sess.matching import Match
from semcomm.metrics.sess.metric import SeSS
from semcomm.metrics.sess.scene import Scene, image_similarity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#33669c", "#d1495b", "#1f7a34", "#8a6d00", "#7b4ad9", "#8a2f6b", "#b85c00", "#00786f", "#a3271b", "#2a7fa3")
"""Dark enough for white numbers on them and for text of their own on white (4 to 1 and more)."""
UNMATCHED = "#6b6b6b"
EDGES = 12
"""Relations drawn in an image, the surest first; all of them are in the data."""
PLACES = (0.32, 0.44, 0.24, 0.56, 0.68, 0.76)
"""Places of a relation's name on its arrow: the first that is free is taken; without one it is left out."""
Box = tuple[float, float, float, float]


def explain(metric: SeSS, reference: Tensor, reconstruction: Tensor) -> tuple[dict, tuple[Scene, Scene], Match]:
    """Return the matching of two images [3, H, W] as plain data, with the scenes and the match it was made from."""
    described = (metric.backend.scene(image, metric.parameters.crop) for image in (reference, reconstruction))
    found, scenes = metric.match_views(*described)
    graphs = [scene.graph(metric.parameters) for scene in scenes]
    matched = [{pair.first for pair in found.pairs}, {pair.second for pair in found.pairs}]
    data = {
        "metric": metric.name,
        "score": found.score,
        "graph_score": found.graph_score,
        "image_score": image_similarity(*scenes),
        "image_share": metric.parameters.image_weight * image_similarity(*scenes),
        "pairs": [pair._asdict() for pair in found.pairs],
        "objects": [_objects(graph, matched[n]) for n, graph in enumerate(graphs)],
        "relations": [_relations(graph, metric.backend.predicates) for graph in graphs],
    }
    return data, scenes, found


def _objects(graph: SceneGraph, matched: set[int]) -> list[dict]:
    return [
        {"centre": graph.centre[i].tolist(), "importance": float(graph.importance[i]), "matched": i in matched}
        for i in range(len(graph))
    ]


def _relations(graph: SceneGraph, predicates: tuple[str, ...]) -> list[dict]:
    pairs = np.argwhere(graph.relation >= 0).tolist()
    pairs.sort(key=lambda pair: -graph.relation_score[tuple(pair)])
    return [
        {
            "subject": i,
            "predicate": predicates[graph.relation[i, j]],
            "object": j,
            "score": float(graph.relation_score[i, j]),
        }
        for i, j in pairs
    ]


def draw_match(data: dict, scenes: tuple[Scene, Scene], images: tuple[Tensor, Tensor], path: Path) -> None:
    """Draw both images with objects and relations, matched objects in one colour, and their shares beside them."""
    import matplotlib
    from matplotlib.figure import Figure

    colours = _colours(data, scenes)
    with matplotlib.rc_context({"font.size": 8, "pdf.fonttype": 42}):
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        left, right, table = figure.subplots(1, 3, width_ratios=(4, 4, 2.4))
        for n, (axes, title) in enumerate(((left, "reference"), (right, "reconstruction"))):
            _image(axes, images[n], scenes[n], data["relations"][n], colours[n])
            axes.set_title(title)
        _shares(table, data, colours[0])
        figure.suptitle(f"{data['metric']} = {data['score']:.4f}", fontsize=11)
        figure.savefig(path, dpi=160)


def _colours(data: dict, scenes: tuple[Scene, Scene]) -> list[list[str]]:
    found = [[UNMATCHED] * len(scene.masks) for scene in scenes]
    for number, pair in enumerate(reversed(data["pairs"])):  # so that the largest share has the last word
        colour = COLOURS[(len(data["pairs"]) - 1 - number) % len(COLOURS)]
        found[0][pair["first"]] = found[1][pair["second"]] = colour
    return found


def _image(axes: "Axes", image: Tensor, scene: Scene, relations: list[dict], colours: list[str]) -> None:
    height, width = image.shape[1:]
    grey = image.mean(0, keepdim=True).expand(3, -1, -1)
    axes.imshow(to_bytes(0.5 * image + 0.5 * grey))
    extent = (0, width, height, 0)
    for mask, colour in zip(scene.masks, colours):
        plane = torch.from_numpy(mask).float().numpy()
        axes.contourf(plane, levels=[0.5, 1.5], colors=[colour], alpha=0.35, extent=extent, origin="upper")
        axes.contour(plane, levels=[0.5], colors=[colour], linewidths=1, extent=extent, origin="upper")
    centre = [_inside(mask) * (height, width) for mask in scene.masks]
    taken = [(x, y, 0.05 * width, 0.05 * width) for y, x in centre]
    for relation in relations[:EDGES]:
        (y, x), (y2, x2) = centre[relation["subject"]], centre[relation["object"]]
        arrow = {"arrowstyle": "-|>", "color": "black", "lw": 0.8, "alpha": 0.7, "shrinkA": 6, "shrinkB": 6}
        axes.annotate("", (x2, y2), (x, y), arrowprops=arrow)
        box = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.6}
        text = relation["predicate"]
        size = 0.0105 * width * (len(text) + 1), 0.032 * width
        # nearer to the subject, so that the two directions of a pair do not write over each other
        places = [((1 - at) * x + at * x2, (1 - at) * y + at * y2) for at in PLACES]
        place = next((p for p in places if not any(_overlap((*p, *size), other) for other in taken)), None)
        if place:
            taken.append((*place, *size))
            axes.text(*place, text, fontsize=5.5, ha="center", va="center", bbox=box)
    for number, (y, x) in enumerate(centre):
        axes.text(
            x,
            y,
            str(number),
            color="white",
            ha="center",
            va="center",
            fontsize=7,
            weight="bold",
            bbox={"boxstyle": "circle,pad=0.2", "fc": colours[number], "ec": "white"},
        )
    axes.set_axis_off()


def _overlap(one: Box, other: Box) -> bool:
    """Say whether two boxes, centre and size, have anything in common."""
    return all(abs(one[n] - other[n]) < (one[n + 2] + other[n + 2]) / 2 for n in (0, 1))


def _inside(mask: np.ndarray) -> np.ndarray:
    """Return a point within a mask, (row, column) in [0, 1]: the one farthest from its outline."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return (np.array(np.unravel_index(depth.argmax(), mask.shape)) + 0.5) / mask.shape


def _shares(axes: "Axes", data: dict, colours: list[str]) -> None:
    """List the pairs with similarity and share, and what the whole images add."""
    axes.set_axis_off()
    lines = [("pair", "similarity", "share", "black")]
    for pair in data["pairs"]:
        name = f"{pair['first']} – {pair['second']}"
        lines.append((name, f"{pair['similarity']:.3f}", f"{pair['share']:.3f}", colours[pair["first"]]))
    lines.append(("images", f"{data['image_score']:.3f}", f"{data['image_share']:.3f}", "black"))
    for n in (0, 1):
        if left := [str(i) for i, thing in enumerate(data["objects"][n]) if not thing["matched"]]:
            lines.append(
                (f"unmatched in the {('reference', 'reconstruction')[n]}: {', '.join(left)}", "", "", UNMATCHED)
            )
    for row, (*texts, colour) in enumerate(lines):
        y = 1 - (row + 1) / max(len(lines) + 1, 14)
        for x, text, align in zip((0.0, 0.62, 1.0), texts, ("left", "right", "right")):
            axes.text(x, y, text, color=colour, ha=align, transform=axes.transAxes, wrap=True)
