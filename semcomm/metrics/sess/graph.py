"""Scene graphs as SeSS compares them, and the constants of the comparison."""

import json
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Literal, Self

import numpy as np

from semcomm.errors import MetricError
from semcomm.files import write_whole
from semcomm.parsing import parse_json

MOST_ITERATIONS = 1000
"""Similarities have settled long before."""


@dataclass(frozen=True)
class SceneGraph:
    """The objects of an image and the relations between them.

    Attributes:
        embeddings: one row per object, `float64` [n, d], finite; only directions matter.
        relation: index of the predicate from row to column, `int64` [n, n]; -1 where there is none.
        relation_score: confidence of the relation, `float64` [n, n].
        centre: centroid of each object as (row, column) in [0, 1], `float64` [n, 2].
        importance: share of each object in the image's meaning, `float64` [n], non-negative, sum 1.
    """

    embeddings: np.ndarray
    relation: np.ndarray
    relation_score: np.ndarray
    centre: np.ndarray
    importance: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.embeddings)
        if n and self.embeddings.ndim != 2:
            raise MetricError(f"a graph's embeddings are [n, d], not {list(self.embeddings.shape)}")
        shapes = {"relation": (n, n), "relation_score": (n, n), "centre": (n, 2), "importance": (n,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise MetricError(
                    f"a graph of {n} objects has {name} of shape {shape}, not {getattr(self, name).shape}"
                )
        if self.relation.dtype.kind not in "iu":
            raise MetricError(f"a graph's relations are numbers of predicates, not {self.relation.dtype}")
        numbers = (self.embeddings, self.relation_score, self.centre, self.importance)
        if not all(np.isfinite(values).all() for values in numbers) or (self.importance < 0).any():
            raise MetricError(
                "a graph's embeddings, scores, centres and importance are finite, its importance not negative"
            )
        if ((self.centre < 0) | (self.centre > 1)).any():
            raise MetricError("a graph's centres lie from 0 to 1")
        if n and abs(self.importance.sum() - 1) > 1e-6:
            raise MetricError(f"a graph's importance sums to {self.importance.sum():g}, not to 1")

    def __len__(self) -> int:
        return len(self.embeddings)

    def renumbered(self, order: np.ndarray) -> "SceneGraph":
        """Return the same graph with object `order[i]` as object i."""
        return SceneGraph(
            self.embeddings[order],
            self.relation[np.ix_(order, order)],
            self.relation_score[np.ix_(order, order)],
            self.centre[order],
            self.importance[order],
        )


@dataclass(frozen=True)
class Parameters:
    """The constants of SeSS. `paper()` and `authors()` are the two published sets, `embedded()` one of ours.

    Attributes:
        relation_weight: of the relation's similarity beside the node's, when neighbours are compared (equation 20).
        update_rate: by how much an iteration moves the similarities (beta of equation 22).
        iterations: how many, at most 1,000.
        image_weight: of the similarity of the whole images in the score (gamma of equation 23).
        position_weight: of the closeness of centroids in the initial similarity; 0 in the paper.
        saliency_root: importance is the sum of the saliency in a mask to the power of 1 / this (k of Table II).
        relation_importance: weight of the importance that comes from relations; 0 in the paper (equations 24, 25).
        relation_root: root that is taken of it.
        crop: what of an object is embedded: its `mask` (equation 19), the rest grey, or its bounding `box`.
        in_place: whether an update sees those before it in the same iteration, from the second on, as the authors'
            code has it. The result then depends on the order of the objects.
    """

    relation_weight: float = 0.25
    update_rate: float = 0.05
    iterations: int = 7
    image_weight: float = 0.10
    position_weight: float = 0.0
    saliency_root: float = 2.25
    relation_importance: float = 0.0
    relation_root: float = 3.0
    crop: Literal["mask", "box"] = "mask"
    in_place: bool = False

    def __post_init__(self) -> None:
        for name in ("relation_weight", "update_rate", "image_weight", "position_weight", "relation_importance"):
            if not 0 <= getattr(self, name) <= 1:
                raise MetricError(f"SeSS: {name} is {getattr(self, name)}; it is a weight from 0 to 1")
        if not isinstance(self.iterations, int) or not 0 <= self.iterations <= MOST_ITERATIONS:
            raise MetricError(f"SeSS: iterations is {self.iterations}; it is a whole number, 0 to {MOST_ITERATIONS:,}")
        for name in ("saliency_root", "relation_root"):
            if not 0 < getattr(self, name) < inf:
                raise MetricError(f"SeSS: {name} is {getattr(self, name)}; it is above 0")
        if self.crop not in ("mask", "box") or not isinstance(self.in_place, bool):
            raise MetricError("SeSS: crop is 'mask' or 'box', in_place true or false")

    @classmethod
    def paper(cls) -> Self:
        """Table II, with saliency alone in the importance, crops by mask and the whole matrix updated at once.

        Equation 20 read literally gives 0.25 to the nodes. The text of the paper finds that people look at the objects
        more than at their relations, and the authors' code gives 0.25 to the relations: so does this preset. For the
        literal reading, `replace(Parameters.paper(), relation_weight=0.75)`.
        """
        return cls()

    @classmethod
    def authors(cls) -> Self:
        """The constants of the authors' published code."""
        return cls(
            image_weight=0.05,
            position_weight=0.2,
            saliency_root=2.5,
            relation_importance=0.2,
            crop="box",
            in_place=True,
        )

    @classmethod
    def embedded(cls) -> Self:
        """Table II but for the weight of the whole images, chosen for scenes by `Embedded` (see the documentation)."""
        return cls(image_weight=0.5)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read parameters that `save` wrote.

        Raises:
            MetricError: when the file holds no parameters of SeSS.
        """
        try:
            return cls(**parse_json(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise MetricError(
                f"{path}: cannot be read as parameters of SeSS ({error}); name a preset, 'paper', 'authors' or "
                "'embedded', or a file that `semcomm sess tune` wrote"
            ) from None

    def save(self, path: Path) -> None:
        """Write the parameters as JSON."""
        write_whole(path, json.dumps(asdict(self), indent=1).encode())

    def changed(self, **changes: float | int | str | bool) -> "Parameters":
        """Return these parameters with some changed."""
        return replace(self, **changes)
