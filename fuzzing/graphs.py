"""Targets that a backend of one's own reaches: the scenes and graphs that SeSS compares."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from fuzzing.target import Target
from semcomm.metrics.sess import Match, Parameters, Scene, SceneGraph, match
from semcomm.metrics.sess.scene import image_similarity

PREDICATES = 3
SIMILARITY = 0.3 + 0.7 * np.eye(PREDICATES)


class Taken:
    """Arrays from the beginning of some bytes, one after the other; where they end there are zeros."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __call__(self, kind: Any, *shape: int) -> np.ndarray:
        """Take the next array."""
        size = prod(shape) * np.dtype(kind).itemsize
        taken, self.data = self.data[:size].ljust(size, b"\0"), self.data[size:]
        return np.frombuffer(taken, kind).reshape(shape).copy()

    def sizes(self, count: int) -> list[int]:
        """Take some numbers from 0 to 7."""
        return (self(np.uint8, count) % 8).tolist()


def _bytes(*arrays: Any) -> bytes:
    return b"".join(np.asarray(array).tobytes() for array in arrays)


def _graph(taken: Taken) -> SceneGraph:
    n, width, rows, columns, centres, weights = taken.sizes(6)
    return SceneGraph(
        embeddings=taken(float, n, width),
        relation=taken(np.int16, rows, columns),
        relation_score=taken(float, rows, columns),
        centre=taken(float, centres, 2),
        importance=taken(float, weights),
    )


def _a_graph(n: int, width: int, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    return _bytes(
        np.array([n, width, n, n, n, n], np.uint8),
        rng.normal(size=(n, width)),
        rng.integers(-1, PREDICATES, (n, n)).astype(np.int16),
        rng.random((n, n)),
        rng.random((n, 2)),
        np.full(n, 1 / max(n, 1)),
    )


def _graphs(data: bytes) -> None:
    """Parameters, two graphs, the similarity of the images and of predicates."""
    taken = Taken(data)
    preset, rows, columns = taken.sizes(3)
    first, second = _graph(taken), _graph(taken)
    image_score = float(taken(float))
    _agrees(first, second, image_score, taken(float, rows, columns), _parameters(preset))


def _pairs_of_graphs() -> Sequence[bytes]:
    sizes = [(5, 7), (7, 2), (1, 1), (0, 3), (0, 0)]
    head, rest = np.array([PREDICATES] * 2, np.uint8), _bytes(np.float64(0.5), SIMILARITY)
    return [
        bytes([k]) + head.tobytes() + _a_graph(n, 4, k) + _a_graph(m, 4, 9) + rest for k, (n, m) in enumerate(sizes)
    ]


def _parameters(number: int) -> Parameters:
    return Parameters.authors() if number % 2 else Parameters.paper()


def _agrees(
    first: SceneGraph, second: SceneGraph, image_score: float, predicates: np.ndarray, parameters: Parameters
) -> None:
    found: Match = match(first, second, image_score, predicates, parameters)
    assert abs(found.score) <= max(1, abs(image_score)) + 1e-6
    if len(first) and len(second):
        assert len(found.pairs) >= min(len(first), len(second))
        shares = sum(pair.share for pair in found.pairs) + parameters.image_weight * image_score
        assert abs(shares - found.score) <= 1e-6 * max(1, abs(image_score))


def compare_small_graphs(parameters: Parameters) -> None:
    """Compare two good graphs by these parameters."""
    first, second = (_graph(Taken(_a_graph(n, 4, n))) for n in (3, 5))
    _agrees(first, second, 0.5, SIMILARITY, parameters)


def _scene(taken: Taken) -> Scene:
    whole, n, width, rows, columns, sums, masks, high, wide = taken.sizes(9)
    return Scene(
        embedding=taken(float, whole),
        embeddings=taken(float, n, width),
        masks=taken(np.uint8, masks, high, wide) % 2 == 1,
        saliency_sum=taken(float, sums),
        relation=taken(np.int16, rows, columns),
        relation_score=taken(float, rows, columns),
    )


def _a_scene(n: int, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, 2, (n, 3, 4)).astype(np.uint8)
    masks[:, 0, 0] = 1
    return _bytes(
        np.array([4, n, 4, n, n, n, n, 3, 4], np.uint8),
        rng.normal(size=4),
        rng.normal(size=(n, 4)),
        masks,
        rng.random(n),
        rng.integers(-1, PREDICATES, (n, n)).astype(np.int16),
        rng.random((n, n)),
    )


def _scenes(data: bytes) -> None:
    """Parameters and two scenes, as the metric compares them."""
    taken = Taken(data)
    parameters = _parameters(taken.sizes(1)[0])
    first, second = _scene(taken), _scene(taken)
    graphs = first.graph(parameters), second.graph(parameters)
    _agrees(*graphs, image_similarity(first, second), SIMILARITY, parameters)
    assert Scene.from_bytes(first.to_bytes()).masks.shape == first.masks.shape


def _pairs_of_scenes() -> Sequence[bytes]:
    sizes = [(5, 7), (7, 2), (1, 1), (0, 3), (0, 0)]
    return [bytes([k]) + _a_scene(n, k) + _a_scene(m, 9) for k, (n, m) in enumerate(sizes)]


DOUBLES = [np.float64(v).tobytes() for v in (np.nan, np.inf, -np.inf, 0, 1, -1, 1e-300, 5e-324, 1e200, 1.7e308)]

GRAPHS = [
    Target("graphs", _pairs_of_graphs, _graphs, DOUBLES),
    Target("scenes", _pairs_of_scenes, _scenes, DOUBLES),
]
