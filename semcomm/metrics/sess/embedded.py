"""The embedded backend of SeSS: nothing to download. For trying and testing; what it is worth is in the documentation.

Objects are regions of alike colour: superpixels merged until a few are left. They are embedded by our own small
encoder. Relations come from the geometry of the masks.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from semcomm.errors import ConfigurationError
from semcomm.metrics.perceptual.embedded import embed, embedded_weights
from semcomm.metrics.sess.importance import saliency_sums, spectral_residual
from semcomm.metrics.sess.scene import Backend, Scene, crops
from semcomm.models import UsesWeights

WORKING_SIDE = 192
"""Longer side, in pixels, at which regions are found."""
SUPERPIXELS, COMPACTNESS, SMOOTHING = 100, 30.0, 3.0
"""Chosen, with the number of objects, on training photographs: regions that coding damage moves least."""
CROP_SIDE = 128
"""Input of our encoder."""
PREDICATES = ("over", "beside", "on", "in", "enclosing", "in front of", "attached to")
"""Those of PSG's 56 predicates that geometry can tell."""
KINDS = (("over", "on"), ("beside", "in front of", "attached to"), ("in", "enclosing"))
"""Predicates of one kind are half alike, others a quarter: being above, beside or within."""
SAME_KIND, OTHER_KIND = 0.5, 0.25
REACH = 3
TOUCHING = 0.05
"""Two objects touch when this share of the smaller one's outline lies on the other."""


class Embedded(UsesWeights, Backend):
    """Regions by colour, our small encoder, geometric relations.

    Args:
        objects: at most so many regions in an image.
        smallest: share of the image below which a region is no object.
    """

    name = "embedded"
    predicates = PREDICATES

    def __init__(self, objects: int = 6, smallest: float = 0.005) -> None:
        if objects < 1 or not 0 < smallest < 1:
            raise ConfigurationError("Embedded takes at least 1 object, and a smallest share between 0 and 1")
        self.objects = objects
        self.smallest = smallest

    def weights(self) -> str:
        """Return the hash of the encoder."""
        return embedded_weights()

    def describe(self, image: Tensor, crop: str) -> Scene:
        """Find the scene of one image [3, H, W] in [0, 1], its objects cut out by `mask` or `box`."""
        masks = self.regions(image)
        whole = _scaled_to(image, CROP_SIDE, CROP_SIDE)[None]
        rows = embed(torch.cat([whole, crops(image, masks, crop, CROP_SIDE)])).double().numpy()
        relation, score = relations(masks)
        saliency = spectral_residual(_scaled_to(image, *masks.shape[1:]))
        sums = saliency_sums(saliency, torch.from_numpy(masks))
        return Scene(rows[0], rows[1:], masks, sums, relation, score)

    def regions(self, image: Tensor) -> np.ndarray:
        """Return the masks of the objects, `bool` [n, h, w] at the working size, largest first. One colour has none."""
        from skimage.color import rgb2lab
        from skimage.segmentation import slic

        height, width = image.shape[1:]
        scale = min(1.0, WORKING_SIDE / max(height, width))
        small = _scaled_to(image, max(1, round(height * scale)), max(1, round(width * scale)))
        pixels = small.permute(1, 2, 0).double().numpy()
        if np.ptp(pixels.reshape(-1, 3), axis=0).max() < 2 / 255:
            return np.zeros((0, *pixels.shape[:2]), bool)
        labels = slic(pixels, SUPERPIXELS, COMPACTNESS, sigma=SMOOTHING, start_label=0, channel_axis=2)
        labels = _merged(labels, rgb2lab(pixels), self.objects)
        masks = [labels == label for label in np.unique(labels)]
        masks = [mask for mask in masks if mask.mean() >= self.smallest]
        masks.sort(key=lambda mask: -mask.sum())
        return np.stack(masks)

    def predicate_similarity(self) -> np.ndarray:
        """Return [7, 7]: 1 for the same predicate, a half within a kind, a quarter between kinds."""
        kind = [next(n for n, names in enumerate(KINDS) if name in names) for name in PREDICATES]
        same = np.equal.outer(kind, kind)
        return np.where(np.eye(len(PREDICATES), dtype=bool), 1.0, np.where(same, SAME_KIND, OTHER_KIND))


def _merged(labels: np.ndarray, colours: np.ndarray, most: int) -> np.ndarray:
    """Merge neighbouring regions, the least costly pair first, until `most` are left (Ward's criterion on colour)."""
    count = labels.max() + 1
    size = np.bincount(labels.ravel(), minlength=count).astype(float)
    mean = np.stack([np.bincount(labels.ravel(), c.ravel(), count) for c in np.moveaxis(colours, 2, 0)], 1)
    mean /= size[:, None]
    adjacent = np.zeros((count, count), bool)
    for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        adjacent[a[a != b], b[a != b]] = True
    adjacent |= adjacent.T
    owner = np.arange(count)
    cost = np.full((count, count), np.inf)

    def refresh(i: int) -> None:
        near = np.flatnonzero(adjacent[i])
        gap = np.square(mean[near] - mean[i]).sum(1) * size[near] * size[i] / (size[near] + size[i])
        cost[i], cost[:, i] = np.inf, np.inf
        cost[i, near] = cost[near, i] = gap

    for i in range(count):
        refresh(i)
    for _ in range(count - most):
        i, j = np.unravel_index(cost.argmin(), cost.shape)
        mean[i] = (size[i] * mean[i] + size[j] * mean[j]) / (size[i] + size[j])
        size[i] += size[j]
        owner[owner == j] = i
        adjacent[i] |= adjacent[j]
        adjacent[:, i] |= adjacent[j]
        adjacent[j] = adjacent[:, j] = False
        adjacent[i, i] = False
        cost[j], cost[:, j] = np.inf, np.inf
        refresh(i)
    return owner[labels]


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
    """Return the pixels just outside a mask, `REACH` of them deep: superpixels do not end exactly where objects do."""
    grown = mask
    for _ in range(REACH):
        wider = grown.copy()
        wider[1:] |= grown[:-1]
        wider[:-1] |= grown[1:]
        wider[:, 1:] |= grown[:, :-1]
        wider[:, :-1] |= grown[:, 1:]
        grown = wider
    return grown & ~mask


def _scaled_to(image: Tensor, height: int, width: int) -> Tensor:
    return interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0].clamp(0, 1)
