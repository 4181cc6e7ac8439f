"""The graph matching of SeSS: "Semantic Similarity Score for Measuring Visual Similarity at Semantic Level", III.B."""

from typing import NamedTuple

import numpy as np
from numba import njit

from semcomm.errors import MetricError
from semcomm.metrics.sess.graph import Parameters, SceneGraph


class Pair(NamedTuple):
    """Two matched objects: their indices, their final similarity, and what they add to the score."""

    first: int
    second: int
    similarity: float
    share: float


class Match(NamedTuple):
    """The outcome of a matching.

    Attributes:
        score: SeSS.
        graph_score: the part of it from the graphs, before weighting.
        similarity: final similarity of every object of the first graph to every one of the second [n1, n2].
        pairs: matched objects, the largest share first. The shares and `image_weight * image_score` add up to `score`.
    """

    score: float
    graph_score: float
    similarity: np.ndarray
    pairs: list[Pair]


def match(
    g1: SceneGraph,
    g2: SceneGraph,
    image_score: float,
    predicate_similarity: np.ndarray,
    parameters: Parameters | None = None,
) -> Match:
    """Match two scene graphs (equations 18 to 23).

    Objects are compared by their embeddings, then, iteration by iteration, by how well their neighbours match: those
    that a relation leads to. Assignments are Hungarian, weighted by importance, once with each graph's.

    Args:
        g1: of the reference.
        g2: of the reconstruction.
        image_score: similarity of the whole images, usually the cosine of their embeddings.
        predicate_similarity: of each predicate to each, [p, p], from -1 to 1.
        parameters: `Parameters.paper()` unless given.

    Returns:
        The match. Two empty graphs have the image score alone; against an empty graph the graph score is 0.

    Raises:
        MetricError: when graphs and similarities do not belong together, or a similarity is no number.
    """
    parameters = parameters or Parameters.paper()
    predicate_similarity = np.ascontiguousarray(predicate_similarity, dtype=np.float64)
    _check(image_score, predicate_similarity)
    similarity = initial_similarity(g1, g2, parameters)
    if not len(g1) and not len(g2):
        return Match(image_score, image_score, similarity, [])
    if not len(g1) or not len(g2):
        return Match(parameters.image_weight * image_score, 0.0, similarity, [])
    largest = max(int(g1.relation.max()), int(g2.relation.max()))
    if largest >= len(predicate_similarity):
        raise MetricError(f"predicate {largest} has no row in a predicate similarity of {len(predicate_similarity)}")
    _iterate(
        similarity,
        *_neighbours(g1.relation),
        g1.importance.astype(np.float64),
        *_neighbours(g2.relation),
        g2.importance.astype(np.float64),
        predicate_similarity,
        float(parameters.relation_weight),  # of one type, or all would be compiled again
        float(parameters.update_rate),
        parameters.iterations,
        parameters.in_place,
    )
    shares: dict[tuple[int, int], float] = {}
    n1, n2 = len(g1), len(g2)
    for weights, count, side in ((g1.importance, n1, 0), (g2.importance, n2, 1)):
        weighted = similarity * (weights[:, None] if side == 0 else weights[None])
        partners = _partners(weighted)
        for first, second in partners:
            shares[first, second] = shares.get((first, second), 0.0) + weighted[first, second] * count / (n1 + n2)
    graph_score = sum(shares.values())
    graph_weight = 1 - parameters.image_weight
    pairs = [Pair(i, j, float(similarity[i, j]), float(graph_weight * share)) for (i, j), share in shares.items()]
    pairs.sort(key=lambda pair: -pair.share)
    score = graph_weight * graph_score + parameters.image_weight * image_score
    return Match(float(score), float(graph_score), similarity, pairs)


def _check(image_score: float, predicates: np.ndarray) -> None:
    """Refuse similarities that no assignment can be found with: among what is not finite there is no least cost."""
    if not np.isfinite(image_score):
        raise MetricError(f"the similarity of the whole images is {image_score}")
    if predicates.ndim != 2 or predicates.shape[0] != predicates.shape[1]:
        raise MetricError(f"similarities of predicates are [p, p], not {list(predicates.shape)}")
    if not (np.abs(predicates) <= 1 + 1e-6).all():
        raise MetricError("similarities of predicates are numbers from -1 to 1")


def initial_similarity(g1: SceneGraph, g2: SceneGraph, parameters: Parameters) -> np.ndarray:
    """Return [n1, n2]: the cosine of the embeddings (equation 19), and the closeness of the centroids if it counts."""
    if not len(g1) or not len(g2):
        return np.zeros((len(g1), len(g2)))
    if g1.embeddings.shape[1] != g2.embeddings.shape[1]:
        raise MetricError(
            f"embeddings of {g1.embeddings.shape[1]} and of {g2.embeddings.shape[1]} numbers cannot be compared"
        )
    cosine = _unit(g1.embeddings) @ _unit(g2.embeddings).T
    distance = np.square(g1.centre[:, None] - g2.centre[None]).sum(-1)
    return (1 - parameters.position_weight) * cosine + parameters.position_weight * (1 - distance / 2)


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12)


def _neighbours(relation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, of the relations row by row: where each row starts [n + 1], where they lead, which predicate."""
    rows, columns = np.nonzero(relation >= 0)
    start = np.searchsorted(rows, np.arange(len(relation) + 1))
    return start.astype(np.int64), columns.astype(np.int64), relation[rows, columns].astype(np.int64)


def _partners(profit: np.ndarray) -> list[tuple[int, int]]:
    rows, columns = profit.shape
    assigned = np.empty(min(rows, columns), np.int64)
    if rows <= columns:
        _assign(-profit, assigned)
        return [(i, int(j)) for i, j in enumerate(assigned)]
    _assign(-np.ascontiguousarray(profit.T), assigned)
    return [(int(i), j) for j, i in enumerate(assigned)]


@njit(cache=True)
def _iterate(
    similarity,
    start1,
    to1,
    kind1,
    importance1,
    start2,
    to2,
    kind2,
    importance2,
    predicates,
    weight,
    rate,
    times,
    in_place,
):
    """Update `similarity` in place, `times` times (equations 20 to 22)."""
    widest = max(np.diff(start1).max(), np.diff(start2).max())
    near, cost = np.empty((widest, widest)), np.empty((widest, widest))
    assigned = np.empty(widest, np.int64)
    share1, share2 = _shares(start1, to1, importance1), _shares(start2, to2, importance2)
    previous = similarity.copy()
    for time in range(times):
        previous[:] = similarity
        source = similarity if in_place and time > 0 else previous
        for u in range(len(start1) - 1):
            for v in range(len(start2) - 1):
                p, q = start1[u + 1] - start1[u], start2[v + 1] - start2[v]
                if p == 0 and q == 0:
                    matched = 1.0
                elif p == 0 or q == 0:
                    matched = 0.0
                else:
                    for k in range(p):
                        at1 = start1[u] + k
                        for m in range(q):
                            at2 = start2[v] + m
                            relation = predicates[kind1[at1], kind2[at2]]
                            near[k, m] = (1 - weight) * source[to1[at1], to2[at2]] + weight * relation
                    by1 = _weighted_maximum(near[:p, :q], share1[start1[u] :], cost, assigned)
                    by2 = _weighted_maximum(near[:p, :q].T, share2[start2[v] :], cost, assigned)
                    total = importance1[u] + importance2[v]
                    share = importance1[u] / total if total > 0 else 0.5
                    matched = share * by1 + (1 - share) * by2
                similarity[u, v] = (1 - rate) * source[u, v] + rate * matched


@njit(cache=True)
def _shares(start, to, importance):
    """Return the share of each neighbour in the importance of all neighbours of its object."""
    shares = np.empty(len(to))
    for u in range(len(start) - 1):
        total = 0.0
        for at in range(start[u], start[u + 1]):
            total += importance[to[at]]
        for at in range(start[u], start[u + 1]):
            shares[at] = importance[to[at]] / total if total > 0 else 1.0 / (start[u + 1] - start[u])
    return shares


@njit(cache=True)
def _weighted_maximum(near, share, cost, assigned):
    """Return the largest sum of an assignment of rows to columns, row k weighted by share[k]; `cost` is scratch."""
    rows, columns = near.shape
    if rows == 1 or columns == 1:
        best = -np.inf
        for k in range(rows):
            for m in range(columns):
                best = max(best, share[k] * near[k, m])
        return best
    short, long = min(rows, columns), max(rows, columns)
    for k in range(rows):
        for m in range(columns):
            if rows <= columns:
                cost[k, m] = -share[k] * near[k, m]
            else:
                cost[m, k] = -share[k] * near[k, m]
    _assign(cost[:short, :long], assigned)
    found = 0.0
    for k in range(short):
        found -= cost[k, assigned[k]]
    return found


@njit(cache=True)
def _assign(cost, assigned):
    """Assign every row of `cost` [n, m], n <= m, to a column of its own at least cost: shortest augmenting paths.

    Kuhn's method with potentials, O(n²·m): R. Jonker and A. Volgenant, Computing 38, 1987.
    """
    n, m = cost.shape
    row_potential, column_potential = np.zeros(n + 1), np.zeros(m + 1)
    row_of, way = np.zeros(m + 1, np.int64), np.zeros(m + 1, np.int64)
    distance, done = np.empty(m + 1), np.empty(m + 1, np.bool_)
    for row in range(1, n + 1):
        row_of[0] = row
        column = 0
        distance[:] = np.inf
        done[:] = False
        while row_of[column] != 0:
            done[column] = True
            current, nearest, least = row_of[column], 0, np.inf
            for j in range(1, m + 1):
                if not done[j]:
                    reduced = cost[current - 1, j - 1] - row_potential[current] - column_potential[j]
                    if reduced < distance[j]:
                        distance[j] = reduced
                        way[j] = column
                    if distance[j] < least:
                        least = distance[j]
                        nearest = j
            for j in range(m + 1):
                if done[j]:
                    row_potential[row_of[j]] += least
                    column_potential[j] -= least
                else:
                    distance[j] -= least
            column = nearest
        while column != 0:
            row_of[column] = row_of[way[column]]
            column = way[column]
    for j in range(1, m + 1):
        if row_of[j] != 0:
            assigned[row_of[j] - 1] = j - 1
