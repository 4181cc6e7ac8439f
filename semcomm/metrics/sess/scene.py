"""An image as SeSS sees it: its objects, their relations, the whole; and what describes images so."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from safetensors.numpy import load, save
from torch import Tensor
from torch.nn.functional import interpolate

from semcomm import memo
from semcomm.component import Component
from semcomm.errors import MetricError
from semcomm.images import content_hash
from semcomm.metrics.sess.graph import Parameters, SceneGraph
from semcomm.metrics.sess.importance import importance

GREY = 0.5
"""Level of an object's crop outside its mask."""


@dataclass(frozen=True)
class Scene:
    """The scene of an image as it is kept: all that costs time, nothing that a tuned parameter changes but `crop`.

    Attributes:
        embedding: of the whole image, `float64` [d].
        embeddings: of the objects, `float64` [n, d].
        masks: of the objects, `bool` [n, h, w], at the size at which they were found.
        saliency_sum: saliency inside each mask, `float64` [n].
        relation: as in `SceneGraph`.
        relation_score: as in `SceneGraph`.
        features: the map in which the objects were pooled, `float16` [c, h, w]; none where they were cut out instead.
        saliency: of each position of the map, `float32` [h, w]; none likewise.
    """

    embedding: np.ndarray
    embeddings: np.ndarray
    masks: np.ndarray
    saliency_sum: np.ndarray
    relation: np.ndarray
    relation_score: np.ndarray
    features: np.ndarray | None = None
    saliency: np.ndarray | None = None

    def graph(self, parameters: Parameters) -> SceneGraph:
        """Return the graph that is matched."""
        weights = importance(self.saliency_sum, self.relation, self.relation_score, parameters)
        return SceneGraph(self.embeddings, self.relation, self.relation_score, centres(self.masks), weights)

    def with_regions_of(self, other: "Scene") -> "Scene":
        """Return this image's scene as if its objects were where the other's are, with the other's relations.

        Both are pooled in maps of one size.
        """
        return replace(
            self,
            embeddings=pooled(self.features, other.masks),
            masks=other.masks,
            saliency_sum=summed(self.saliency, other.masks),
            relation=other.relation,
            relation_score=other.relation_score,
        )

    def to_bytes(self) -> bytes:
        """Return the scene as safetensors."""
        arrays = {name: np.ascontiguousarray(value) for name, value in vars(self).items() if value is not None}
        arrays["masks"] = np.packbits(
            self.masks.reshape(len(self.masks), self.masks.shape[1] * self.masks.shape[2]), axis=1
        )
        return save({**arrays, "mask_shape": np.array(self.masks.shape[1:], np.int64)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Scene":
        """Read what `to_bytes` wrote."""
        arrays = load(data)
        height, width = arrays.pop("mask_shape").tolist()
        masks = np.unpackbits(arrays["masks"], axis=1, count=height * width).astype(bool)
        return cls(**{**arrays, "masks": masks.reshape(len(masks), height, width)})


def pooled(features: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the mean of a map [c, h, w] inside each mask `bool` [n, h', w'], `float64` [n, c]."""
    weights = _at_size(masks, *features.shape[1:]).reshape(len(masks), features[0].size)
    weights /= weights.sum(1, keepdims=True)
    return weights @ features.reshape(len(features), features[0].size).T.astype(np.float64)


def summed(plane: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the sum of a plane [h, w] inside each mask `bool` [n, h', w'], `float64` [n]."""
    return np.einsum("nhw,hw->n", _at_size(masks, *plane.shape), plane.astype(np.float64))


def _at_size(masks: np.ndarray, height: int, width: int) -> np.ndarray:
    if masks.shape[1:] == (height, width) or not len(masks):
        return masks.reshape(len(masks), height, width).astype(np.float64)
    found = torch.from_numpy(masks).double()[None]
    return interpolate(found, (height, width), mode="bilinear", antialias=True)[0].numpy()


def image_similarity(reference: Scene, reconstruction: Scene) -> float:
    """Return the cosine of the embeddings of the whole images (equation 18)."""
    a, b = reference.embedding, reconstruction.embedding
    if a.shape != b.shape:
        raise MetricError(f"embeddings of shapes {list(a.shape)} and {list(b.shape)} cannot be compared")
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))


class Backend(Component, ABC):
    """Finds the scene of an image. Its name is part of the metric's name, so no two can be mistaken."""

    name: str
    predicates: tuple[str, ...]
    parameters: ClassVar[Parameters] = Parameters.paper()
    """The constants that go with it, where none are named."""
    both: bool = False
    """Whether the regions of each image are tried on the other as well; see `views`."""

    def views(self, reference: Scene, reconstruction: Scene) -> list[tuple[Scene, Scene]]:
        """Return the pairs of scenes of which the best match counts: as they are, and with either's regions on both."""
        pairs = [(reference, reconstruction)]
        if self.both and len(reference.masks) and len(reconstruction.masks):
            pairs.append((reference, reconstruction.with_regions_of(reference)))
            pairs.append((reference.with_regions_of(reconstruction), reconstruction))
        return pairs

    def scene(self, image: Tensor, crop: str) -> Scene:
        """Return the scene of one image [3, H, W] in [0, 1], from the memo where it was described before."""
        description = {**self.recipe(), "crop": crop, "image": content_hash(image)}
        return Scene.from_bytes(memo.current().get(description, lambda: self.describe(image, crop).to_bytes()))

    @abstractmethod
    def describe(self, image: Tensor, crop: str) -> Scene:
        """Find the scene of one image [3, H, W] in [0, 1], its objects cut out by `mask` or `box`."""

    @abstractmethod
    def predicate_similarity(self) -> np.ndarray:
        """Return the similarity of each predicate to each [p, p], 1 on the diagonal."""


def crops(image: Tensor, masks: np.ndarray, crop: str, size: int) -> Tensor:
    """Return each object's bounding box [n, 3, size, size], with what is not the object grey for crop `mask`.

    Args:
        image: [3, H, W].
        masks: `bool` [n, h, w], of any size; they are scaled to the image's.
        crop: `mask` or `box`.
        size: of the crops, in pixels.
    """
    height, width = image.shape[1:]
    found = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        top, bottom = _scaled(rows[0], rows[-1] + 1, mask.shape[0], height)
        left, right = _scaled(columns[0], columns[-1] + 1, mask.shape[1], width)
        cut = _resized(image[:, top:bottom, left:right], size)
        if crop == "mask":
            inside = torch.from_numpy(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]).float()
            share = _resized(inside[None], size).clamp(0, 1)
            cut = cut * share + GREY * (1 - share)
        found.append(cut)
    return torch.stack(found) if found else torch.zeros(0, 3, size, size)


def _scaled(first: int, last: int, of: int, to: int) -> tuple[int, int]:
    start = min(first * to // of, to - 1)
    return start, max(start + 1, -(-last * to // of))


def _resized(image: Tensor, size: int) -> Tensor:
    return interpolate(image[None], (size, size), mode="bilinear", antialias=True)[0]


def centres(masks: np.ndarray) -> np.ndarray:
    """Return the centroid of each mask as (row, column) in [0, 1], `float64` [n, 2]."""
    found = []
    for mask in masks:
        rows, columns = np.nonzero(mask)
        if not len(rows):
            raise MetricError("an object's mask has no pixel")
        found.append([(rows.mean() + 0.5) / mask.shape[0], (columns.mean() + 0.5) / mask.shape[1]])
    return np.array(found, float).reshape(len(masks), 2)
