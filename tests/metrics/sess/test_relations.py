import numpy as np
import pytest
import torch

from semcomm.errors import MetricError
from semcomm.metrics.sess.graph import Parameters
from semcomm.metrics.sess.importance import importance
from semcomm.metrics.sess.relations import PROMPT, clip_scores, predicates, relations


def test_predicates():
    names = predicates()
    assert len(names) == len(set(names)) == 56
    assert names.index("leaning on") == 55 and names.index("in front of") == 1


def plainly(scores, keep=100, sure=20, threshold=0.05):
    """The same from the description, triplet by triplet."""
    kinds, n, _ = scores.shape
    triplets = [(scores[r, s, o], s, o, r) for s in range(n) for o in range(n) if s != o for r in range(kinds)]
    triplets.sort(reverse=True)
    edges = {}
    for place, (score, s, o, r) in enumerate(triplets[:keep]):
        if (place < sure or score >= threshold) and (s, o) not in edges:
            edges[s, o] = (r, score)
    return edges


@pytest.mark.parametrize("n", [2, 3, 6, 12])
@pytest.mark.parametrize("strength", [1.0, 0.05, 0.001])
def test_against_the_description(n, strength):
    scores = np.random.default_rng(n).random((56, n, n)) ** 8 * strength
    edges = plainly(scores)
    found = relations(torch.from_numpy(scores))
    nodes = sorted({node for edge in edges for node in edge})
    assert found.nodes.tolist() == nodes
    for i, s in enumerate(nodes):
        for j, o in enumerate(nodes):
            predicate, score = edges.get((s, o), (-1, -1.0))
            assert found.relation[i, j] == predicate and found.relation_score[i, j] == score


def test_thresholds_by_hand():
    scores = torch.zeros(2, 4, 4)
    scores[0, 0, 1], scores[1, 0, 1], scores[1, 1, 0], scores[0, 2, 3], scores[0, 2, 2] = 0.6, 0.9, 0.04, 0.05, 1.0
    sure = relations(scores, keep=4, sure=1, threshold=0.05)
    assert sure.nodes.tolist() == [0, 1, 2, 3]
    assert sure.relation.tolist() == [[-1, 1, -1, -1], [-1] * 4, [-1, -1, -1, 0], [-1] * 4]
    assert relations(scores, keep=3, sure=2, threshold=0.06).nodes.tolist() == [0, 1]
    assert relations(scores, keep=4, sure=4).relation[1, 0] == 1


def test_few_masks():
    nothing = relations(np.zeros((56, 0, 0)))
    assert nothing.nodes.shape == (0,) and nothing.relation.shape == (0, 0)
    one = relations(np.ones((56, 1, 1)))
    assert one.nodes.tolist() == [0] and one.relation.tolist() == [[-1]] and one.relation_score.tolist() == [[-1]]
    share = importance(np.array([3.0]), one.relation, one.relation_score, Parameters.authors())
    assert share.tolist() == [1.0]


def test_scores_that_cannot_be():
    for shape in ((56, 3), (56, 3, 4)):
        with pytest.raises(MetricError, match=r"\[predicates, n, n\]"):
            relations(np.zeros(shape))
    with pytest.raises(MetricError, match="finite"):
        relations(np.full((56, 2, 2), np.nan))


def test_clip_scores_by_hand():
    """An embedding that knows colours: the crop's mean; the texts' are fixed, "on" being green."""
    image = torch.zeros(3, 20, 40)
    image[1, :, :20], image[0, :, 20:] = 1, 1  # green, red
    boxes = torch.tensor([[0, 0, 5, 5], [5, 5, 18, 20], [30, 0, 40, 20]])
    asked = {}

    def embed_images(crops):
        asked["sizes"] = [tuple(crop.shape[1:]) for crop in crops]
        return torch.stack([crop.mean((1, 2)) for crop in crops])

    def embed_texts(texts):
        asked["texts"] = texts
        blue, green = torch.tensor([0.0, 0.1, 1.0]), torch.tensor([0.0, 5.0, 0.0])
        return torch.stack([green if " on " in text and "something on something" in text else blue for text in texts])

    scores = clip_scores(image, boxes, embed_images, embed_texts)
    assert asked["texts"][3] == PROMPT.format(predicate="on") == "a photo of something on something"
    assert asked["sizes"] == [(20, 18), (20, 35), (20, 40)]
    assert scores.shape == (56, 3, 3) and not scores.diagonal(dim1=1, dim2=2).any()
    np.testing.assert_allclose(scores.sum(0).numpy(), 1 - np.eye(3), atol=1e-5)
    torch.testing.assert_close(scores, scores.transpose(1, 2))
    blue = 0.1 / np.hypot(1, 0.1)
    assert scores[3, 0, 1].item() == pytest.approx(np.exp(100) / (np.exp(100) + 55 * np.exp(100 * blue)), rel=1e-4)
    assert relations(scores).relation[0, 1] == 3


def test_clip_is_asked_about_near_pairs_only():
    boxes = torch.tensor([[10 * i, 0, 10 * i + 5, 5] for i in range(30)])
    asked = []

    def embed_images(crops):
        asked.extend(crop.shape[2] for crop in crops)
        return torch.rand(len(crops), 4)

    scores = clip_scores(torch.rand(3, 5, 300), boxes, embed_images, lambda texts: torch.rand(len(texts), 4), pairs=29)
    assert asked == [15] * 29
    i, j = torch.nonzero(scores.sum(0), as_tuple=True)
    assert ((i - j).abs() == 1).all() and len(i) == 58


@pytest.mark.parametrize("n", [0, 1])
def test_clip_without_pairs(n):
    def unasked(_):
        raise AssertionError("there is nothing to embed")

    scores = clip_scores(torch.rand(3, 8, 8), torch.tensor([[0, 0, 8, 8]])[:n], unasked, unasked)
    assert scores.shape == (56, n, n) and not scores.any()
