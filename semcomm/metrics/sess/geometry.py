"""Relations that the geometry of masks can tell: above, beside, within."""

import numpy as np
from torch import Tensor

from semcomm.metrics.sess.relations import RelationModel, Relations
from semcomm.models.segmenters import Segments

PREDICATES = ("over", "beside", "on", "in", "enclosing", "in front of", "attached to")
"""Those of PSG's 56 predicates that geometry can tell."""
KINDS = (("over", "on"), ("beside", "in front of", "attached to"), ("in", "enclosing"))
"""Predicates of one kind are half alike, others a quarter: being above, beside or within."""
SAME_KIND, OTHER_KIND = 0.5, 0.25
REACH = 1 / 64
"""Width of a mask's outline, as a share of the longer side; a position at least."""
TOUCHING = 0.05
"""Two objects touch when this share of the smaller one's outline lies on the other."""


class GeometricRelations(RelationModel):
    """A predicate for each ordered pair of masks, by where they lie."""

    predicates = PREDICATES

    def relate(self, image: Tensor, segments: Segments) -> Relations:
        """Return the relations; every mask is a node."""
        relation, score = relations(segments.masks)
        return Relations(relation, score, np.arange(len(segments.masks)))

    def predicate_similarity(self) -> np.ndarray:
        """Return [7, 7]: 1 for the same predicate, a half within a kind, a quarter between kinds."""
        kind = [next(n for n, names in enumerate(KINDS) if name in names) for name in PREDICATES]
        same = np.equal.outer(kind, kind)
        return np.where(np.eye(len(PREDICATES), dtype=bool), 1.0, np.where(same, SAME_KIND, OTHER_KIND))


def relations(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return predicate [n, n] and score [n, n] of each ordered pair, -1 where there is none.

    Within a bounding box (nine tenths of the object): `in`, and `enclosing` the other way. Else touching objects: `on`
    the larger one below, `over` the smaller one below, `attached to` where most of the outline is shared, `in front of`
    a larger one whose foot is higher, `beside` otherwise. Apart but one above the other: `over`. The score is the share
    that decided it.
    """
    n = len(masks)
    relation, score = np.full((n, n), -1, np.int64), np.full((n, n), -1.0)
    boxes = [_box(mask) for mask in masks]
    areas = masks.sum((1, 2)) if n else np.zeros(0)
    outlines = [_outline(mask) for mask in masks]
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            found = _relation(masks, boxes, areas, outlines, i, j)
            if found:
                relation[i, j], score[i, j] = PREDICATES.index(found[0]), found[1]
    return relation, score


def _relation(masks, boxes, areas, outlines, i, j) -> tuple[str, float] | None:
    (top, bottom, left, right), (top2, bottom2, left2, right2) = boxes[i], boxes[j]
    within = masks[i, top2:bottom2, left2:right2].sum() / areas[i]
    around = masks[j, top:bottom, left:right].sum() / areas[j]
    if within >= 0.9 and areas[i] < areas[j]:
        return "in", float(within)
    if around >= 0.9 and areas[j] < areas[i]:
        return "enclosing", float(around)
    shared = outlines[i] & masks[j]
    contact = shared.sum() / max(1, min(outlines[i].sum(), outlines[j].sum()))
    overlap = max(0, min(right, right2) - max(left, left2)) / max(1, min(right - left, right2 - left2))
    if contact < TOUCHING:
        return ("over", float(overlap)) if bottom <= (top2 + bottom2) / 2 and overlap > 0.5 else None
    below = (np.nonzero(shared)[0] > np.nonzero(masks[i])[0].mean()).mean()
    if below > 0.7 and overlap > 0.3:
        return ("on" if areas[i] < areas[j] else "over"), float(below)
    if contact > 0.6:
        return "attached to", float(min(1.0, contact))
    if bottom > bottom2 and areas[i] < areas[j]:
        return "in front of", float(min(1.0, 0.5 + contact))
    return "beside", float(min(1.0, 0.5 + contact))


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def _outline(mask: np.ndarray) -> np.ndarray:
    """Return the positions just outside a mask, a few deep: regions do not end exactly where objects do."""
    from scipy.ndimage import binary_dilation

    return binary_dilation(mask, iterations=max(1, round(REACH * max(mask.shape)))) & ~mask
