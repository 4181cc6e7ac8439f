"""The matching of SeSS written down plainly, loop by loop, after the description of the method: slow, easy to check.

Assignments are by scipy, everything else is plain Python.
"""

from math import sqrt

from scipy.optimize import linear_sum_assignment


def largest_assignment(profit):
    """The largest sum of entries of which no two share a row or a column, as many as fit."""
    rows, columns = linear_sum_assignment(profit, maximize=True)
    return sum(profit[i][j] for i, j in zip(rows, columns))


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b))
    return dot / sqrt(sum(x * x for x in a)) / sqrt(sum(y * y for y in b))


def sess(g1, g2, image_score, predicates, parameters):
    """Return the score and the final similarity of two non-empty graphs."""
    n1, n2 = len(g1.embeddings), len(g2.embeddings)
    similarity = [[0.0] * n2 for _ in range(n1)]
    for i in range(n1):
        for j in range(n2):
            distance = sum((a - b) ** 2 for a, b in zip(g1.centre[i], g2.centre[j]))
            similarity[i][j] = (1 - parameters.position_weight) * cosine(g1.embeddings[i], g2.embeddings[j])
            similarity[i][j] += parameters.position_weight * (1 - distance / 2)
    for iteration in range(parameters.iterations):
        old = [row[:] for row in similarity]
        seen = similarity if parameters.in_place and iteration > 0 else old
        for u in range(n1):
            for v in range(n2):
                near1 = [k for k in range(n1) if g1.relation[u][k] >= 0]
                near2 = [m for m in range(n2) if g2.relation[v][m] >= 0]
                value = neighbours_match(g1, g2, u, v, near1, near2, seen, predicates, parameters.relation_weight)
                similarity[u][v] = (1 - parameters.update_rate) * seen[u][v] + parameters.update_rate * value
    by1 = largest_assignment([[g1.importance[i] * similarity[i][j] for j in range(n2)] for i in range(n1)])
    by2 = largest_assignment([[g2.importance[j] * similarity[i][j] for j in range(n2)] for i in range(n1)])
    graph = (by1 * n1 + by2 * n2) / (n1 + n2)
    return (1 - parameters.image_weight) * graph + parameters.image_weight * image_score, similarity


def neighbours_match(g1, g2, u, v, near1, near2, similarity, predicates, relation_weight):
    if not near1 and not near2:
        return 1.0
    if not near1 or not near2:
        return 0.0
    total1, total2 = sum(g1.importance[k] for k in near1), sum(g2.importance[m] for m in near2)
    by1, by2 = [], []
    for k in near1:
        row = [
            (1 - relation_weight) * similarity[k][m]
            + relation_weight * predicates[g1.relation[u][k]][g2.relation[v][m]]
            for m in near2
        ]
        by1.append([g1.importance[k] / total1 * value for value in row])
        by2.append([g2.importance[m] / total2 * value for m, value in zip(near2, row)])
    share1, share2 = g1.importance[u], g2.importance[v]
    return (largest_assignment(by1) * share1 + largest_assignment(by2) * share2) / (share1 + share2)
