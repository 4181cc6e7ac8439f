"""An image as SeSS sees it: its objects, their relations, the whole; and what describes images so."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

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
"""What an object's crop shows where the mask is not."""


@dataclass(frozen=True)
class Scene:
    """What is kept of an image: everything that costs time, and nothing that a tuned parameter changes but `crop`.

    Attributes:
        embedding: of the whole image, `float64` [d].
        embeddings: of the objects, `float64` [n, d].
        masks: of the objects, `bool` [n, h, w], at the size at which they were found.
        saliency_sum: saliency inside each mask, `float64` [n].
        relation: as in `SceneGraph`.
        relation_score: as in `SceneGraph`.
    """

    embedding: np.ndarray
    embeddings: np.ndarray
    masks: np.ndarray
    saliency_sum: np.ndarray
    relation: np.ndarray
    relation_score: np.ndarray

    def graph(self, parameters: Parameters) -> SceneGraph:
        """Return the graph that is matched."""
        weights = importance(self.saliency_sum, self.relation, self.relation_score, parameters)
        return SceneGraph(self.embeddings, self.relation, self.relation_score, centres(self.masks), weights)

    def to_bytes(self) -> bytes:
        """Return the scene as safetensors."""
        arrays = {name: np.ascontiguousarray(value) for name, value in vars(self).items()}
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
