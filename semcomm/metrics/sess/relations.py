"""From scores of relations to the edges of a scene graph; and scores by CLIP alone, for those who have no head."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from semcomm.caches import cached
from semcomm.component import Component
from semcomm.errors import MetricError
from semcomm.models.clip import CLIP
from semcomm.models.component import UsesWeights
from semcomm.models.loading import Precision, device_of, shared, weights_of
from semcomm.models.relation_head import RelationHead
from semcomm.models.segmenters import Segments

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


class RelationModel(Component):
    """Finds the relations between the objects of an image. Write one of your own as a subclass.

    Attributes:
        predicates: names of what it can find.
    """

    predicates: tuple[str, ...]

    @abstractmethod
    def relate(self, image: Tensor, segments: Segments) -> "Relations":
        """Return the relations of the objects in an image [3, H, W]."""

    @abstractmethod
    def predicate_similarity(self) -> np.ndarray:
        """Return the similarity of each predicate to each [p, p], 1 on the diagonal."""


class NoRelations(RelationModel):
    """Objects alone."""

    predicates = ("none",)

    def relate(self, image: Tensor, segments: Segments) -> "Relations":
        """Return every object without relations."""
        n = len(segments.masks)
        return Relations(np.full((n, n), -1), np.full((n, n), -1.0), np.arange(n))

    def predicate_similarity(self) -> np.ndarray:
        """Return [1, 1]."""
        return np.ones((1, 1))


class CLIPRelations(UsesWeights, RelationModel):
    """Zero-shot relations: CLIP compares the crop that holds two objects with the predicates of the PSG dataset.

    Args:
        clip: short name, hub id or folder of a CLIP.
        precision: of weights and arithmetic.
        trust_pickle: read weights that are a pickle.
        device: `auto`, or as PyTorch names it.
    """

    excluded_from_recipe = frozenset({"device", "clip", "head", "trust_pickle"})  # `weights` says which they are

    def __init__(
        self,
        clip: str = "clip-vit-h-14",
        precision: Precision = "fp32",
        trust_pickle: bool = False,
        device: str = "auto",
    ) -> None:
        self.clip = CLIP(clip, precision, device, trust_pickle)
        self.trust_pickle = trust_pickle
        self.device = device
        self.predicates = predicates()

    def weights(self) -> str:
        """Return the hash of CLIP."""
        return self.clip.weights()

    def relate(self, image: Tensor, segments: Segments) -> "Relations":
        """Return the graph that the best triplets make."""
        return relations(self.scores(image, segments))

    def scores(self, image: Tensor, segments: Segments) -> Tensor:
        """Return the probability of each predicate [predicates, n, n]."""
        boxes = segments.boxes(*image.shape[1:])
        return clip_scores(image, boxes, self.clip.embed_images, self.clip.embed_texts)

    def predicate_similarity(self) -> np.ndarray:
        """Return the cosine of CLIP's embeddings of the predicates [56, 56] (equation 21)."""
        return self._predicate_similarity

    @cached_property
    def _predicate_similarity(self) -> np.ndarray:
        texts = self.clip.embed_texts(list(self.predicates)).double().numpy()
        return texts @ texts.T


class HeadRelations(CLIPRelations):
    """Relations by a trained head in the Relate-Anything layout, from the tokens of SAM's masks.

    Args:
        head: its checkpoint.
        clip: short name, hub id or folder of the CLIP that compares predicates.
        precision: of CLIP's weights and arithmetic.
        trust_pickle: read weights that are a pickle (the authors' head is).
        device: `auto`, or as PyTorch names it.
    """

    def __init__(
        self,
        head: str,
        clip: str = "clip-vit-h-14",
        precision: Precision = "fp32",
        trust_pickle: bool = False,
        device: str = "auto",
    ) -> None:
        super().__init__(clip, precision, trust_pickle, device)
        self.head = head

    def weights(self) -> str:
        """Return the hashes of CLIP and the head, as one."""
        return hashlib.sha256(f"{super().weights()} {weights_of(self.head, self.trust_pickle)}".encode()).hexdigest()

    def scores(self, image: Tensor, segments: Segments) -> Tensor:
        """Return the score of each predicate [predicates, n, n].

        Raises:
            MetricError: when the masks have no tokens: the head reads SAM's.
        """
        if segments.tokens is None:
            raise MetricError("a relation head needs the tokens of SAM's masks: take SAMMasks as segmenter")
        return self._network().scores(segments.tokens)

    def _network(self) -> RelationHead:
        def load() -> RelationHead:
            return RelationHead.load(self.head, trust_pickle=self.trust_pickle).to(device_of(self.device)).eval()

        return shared(("relation head", self.head, self.device), load)


@cached()
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
