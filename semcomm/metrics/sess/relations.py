"""From scores of relations to the edges of a scene graph; and scores by CLIP alone, for those who have no head."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from semcomm.errors import MetricError

KEEP = 100
"""So many (subject, object, predicate) triplets at most make the graph (the SeSS authors' code)."""
SURE = 20
"""The best so many of them are kept whatever their score."""
THRESHOLD = 0.05
"""The others down to this score."""
PROMPT = "a photo of something {predicate} something"
"""The sentence that CLIP compares the crop of a pair with."""
TEMPERATURE = 100.0
"""CLIP's: what a cosine is multiplied by before the softmax. Its training ends at this value."""


@cache
def predicates() -> tuple[str, ...]:
    """Return the 56 predicates of the PSG dataset, in its order.

    J. Yang et al., "Panoptic Scene Graph Generation", ECCV 2022: `predicate_classes` of its `psg.json`.
    """
    return tuple(files("semcomm.metrics.sess").joinpath("predicates.txt").read_text("utf-8").split("\n")[:-1])


class Relations(NamedTuple):
    """The edges of a scene graph, and which masks are its nodes.

    Attributes:
        relation: predicate from row to column, `int64` [m, m]; -1 where there is none.
        relation_score: its score, `float64` [m, m]; -1 where there is none.
        nodes: the mask of each node, `int64` [m], ascending.
    """

    relation: np.ndarray
    relation_score: np.ndarray
    nodes: np.ndarray


def relations(
    scores: Tensor | np.ndarray, keep: int = KEEP, sure: int = SURE, threshold: float = THRESHOLD
) -> Relations:
    """Return the graph that the best triplets make: one relation per ordered pair, the best-scoring.

    Args:
        scores: of each predicate from subject (row) to object (column), [predicates, n, n]. The diagonal is ignored.
        keep: so many triplets at most; of equal scores the first in the order of the array.
        sure: so many of them whatever their score.
        threshold: the others down to this score.

    Returns:
        The graph. Its nodes are the masks in a triplet that was kept; a single mask is a node without relations.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 3 or scores.shape[1] != scores.shape[2]:
        raise MetricError(f"scores of relations are [predicates, n, n], not {list(scores.shape)}")
    if not np.isfinite(scores).all():
        raise MetricError("scores of relations are finite numbers")
    n = scores.shape[1]
    if n < 2:
        return Relations(np.full((n, n), -1), np.full((n, n), -1.0), np.arange(n))
    subject, object_ = np.nonzero(~np.eye(n, dtype=bool))
    candidates = scores[:, subject, object_]
    best = np.argsort(-candidates, axis=None, kind="stable")[:keep]
    predicate, pair = np.unravel_index(best, candidates.shape)
    score = candidates[predicate, pair]
    kept = (np.arange(len(best)) < sure) | (score >= threshold)
    relation, relation_score = np.full((n, n), -1), np.full((n, n), -1.0)
    for k in np.flatnonzero(kept)[::-1]:  # the best of a pair is written last
        at = subject[pair[k]], object_[pair[k]]
        relation[at], relation_score[at] = predicate[k], score[k]
    related = relation >= 0
    nodes = np.flatnonzero(related.any(axis=0) | related.any(axis=1))
    chosen = np.ix_(nodes, nodes)
    return Relations(relation[chosen], relation_score[chosen], nodes)


def clip_scores(
    image: Tensor,
    boxes: Tensor,
    embed_images: Callable[[list[Tensor]], Tensor],
    embed_texts: Callable[[list[str]], Tensor],
    pairs: int = KEEP,
) -> Tensor:
    """Return zero-shot scores of relations: what CLIP finds likely for the crop that holds two objects.

    CLIP sees both objects and not which is the subject, so both directions of a pair score alike: with these scores a
    graph says that objects are related and how, not which way round. Only the pairs nearest to each other are asked
    about, and the others score 0, since a graph keeps no more than 100 triplets.

    Args:
        image: [3, H, W] in [0, 1].
        boxes: of the objects, in pixels, `int64` [n, 4]: left, top, and right and bottom just outside.
        embed_images: embeddings [m, d] of m crops, each [3, h, w]; called once.
        embed_texts: embeddings [m, d] of m texts, in the same space; called once.
        pairs: how many pairs are asked about.

    Returns:
        Probabilities among the predicates, `float32` [predicates, n, n], on the CPU; 0 on the diagonal.
    """
    names = predicates()
    scores = torch.zeros(len(names), len(boxes), len(boxes))
    nearest = _nearest_pairs(boxes.cpu(), pairs)
    if not len(nearest):
        return scores
    crops = [_union_crop(image, boxes[i], boxes[j]) for i, j in nearest]
    texts = _unit(embed_texts([PROMPT.format(predicate=name) for name in names]))
    likely = (TEMPERATURE * _unit(embed_images(crops)) @ texts.T).softmax(dim=1)
    first, second = nearest.T
    scores[:, first, second] = likely.T
    scores[:, second, first] = likely.T
    return scores


def _nearest_pairs(boxes: Tensor, count: int) -> Tensor:
    """Return [m, 2], i < j: the pairs with the smallest gap between their boxes; of equals those of smaller union."""
    first, second = torch.triu_indices(len(boxes), len(boxes), offset=1)
    low, high = torch.maximum(boxes[first, :2], boxes[second, :2]), torch.minimum(boxes[first, 2:], boxes[second, 2:])
    gap = (low - high).clamp(min=0).square().sum(1)
    span = torch.maximum(boxes[first, 2:], boxes[second, 2:]) - torch.minimum(boxes[first, :2], boxes[second, :2])
    order = np.lexsort((span.prod(1).numpy(), gap.numpy()))[:count]
    return torch.stack([first, second], dim=1)[torch.from_numpy(order)]


def _union_crop(image: Tensor, first: Tensor, second: Tensor) -> Tensor:
    left, top = torch.minimum(first[:2], second[:2]).tolist()
    right, bottom = torch.maximum(first[2:], second[2:]).tolist()
    return image[:, top:bottom, left:right]


def _unit(embeddings: Tensor) -> Tensor:
    return torch.nn.functional.normalize(embeddings.float().cpu(), dim=1)
