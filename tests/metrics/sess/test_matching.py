import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import sess

from semcomm.errors import MetricError
from semcomm.metrics.sess import Parameters, SceneGraph, match

# What the authors' published matching gives for these graphs; `paper_*` with its update of the whole matrix at once.
GOLDEN = json.loads(gzip.decompress((Path(__file__).parent / "sess_matching.json.gz").read_bytes()))
PRESETS = {"paper": Parameters.paper(), "authors": Parameters.authors()}


def golden_graph(data):
    n = data["n"]
    return SceneGraph(
        embeddings=np.array(data["embeddings"], float),
        relation=np.array(data["relation"], np.int64).reshape(n, n),
        relation_score=np.array(data["relation_score"], float).reshape(n, n),
        centre=np.array(data["centre"], float).reshape(n, 2),
        importance=np.array(data["importance"], float),
    )


def random_graph(n, seed, density=0.3, predicates=56):
    rng = np.random.default_rng(seed)
    related = rng.random((n, n)) < density
    np.fill_diagonal(related, False)
    importance = rng.random(n) + 0.01
    return SceneGraph(
        embeddings=rng.random((n, 8)),  # non-negative, so that similarities are
        relation=np.where(related, rng.integers(predicates, size=(n, n)), -1),
        relation_score=np.where(related, rng.random((n, n)), -1.0),
        centre=rng.random((n, 2)),
        importance=importance / importance.sum(),
    )


def predicate_similarity(seed=0, count=56):
    rows = np.random.default_rng(seed).random((count, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


R = predicate_similarity()
SIZES = st.integers(0, 9)
SEEDS = st.integers(0, 10_000)


@pytest.mark.parametrize("case", range(len(GOLDEN)))
@pytest.mark.parametrize("preset", PRESETS)
def test_published_results(case, preset):
    data = GOLDEN[case]
    g1, g2 = golden_graph(data["g1"]), golden_graph(data["g2"])
    found = match(g1, g2, data["image_score"], np.array(data["R"]), PRESETS[preset])
    assert found.score == pytest.approx(data[f"{preset}_score"], abs=1e-9)
    assert np.abs(found.similarity - np.array(data[f"{preset}_similarity"])).max() < 1e-9


@settings(max_examples=60, deadline=None)
@given(n1=st.integers(1, 9), n2=st.integers(1, 9), seed=SEEDS, preset=st.sampled_from(list(PRESETS)))
def test_the_plain_formulation_agrees(n1, n2, seed, preset):
    g1, g2 = random_graph(n1, seed), random_graph(n2, seed + 1)
    score, similarity = sess(g1, g2, 0.4, R, PRESETS[preset])
    found = match(g1, g2, 0.4, R, PRESETS[preset])
    assert found.score == pytest.approx(score, abs=1e-12)
    assert np.abs(found.similarity - similarity).max() < 1e-12


@settings(max_examples=60, deadline=None)
@given(n1=SIZES, n2=SIZES, seed=SEEDS, image_score=st.floats(0, 1))
def test_paper_preset_is_symmetric_and_bounded(n1, n2, seed, image_score):
    g1, g2 = random_graph(n1, seed), random_graph(n2, seed + 1)
    there, back = match(g1, g2, image_score, R), match(g2, g1, image_score, R)
    assert there.score == pytest.approx(back.score, abs=1e-12)
    assert np.allclose(there.similarity, back.similarity.T, atol=1e-12)
    assert -1e-12 <= there.score <= 1 + 1e-12


@settings(max_examples=60, deadline=None)
@given(n1=SIZES, n2=SIZES, seed=SEEDS)
def test_paper_preset_does_not_depend_on_numbering(n1, n2, seed):
    g1, g2 = random_graph(n1, seed), random_graph(n2, seed + 1)
    order = np.random.default_rng(seed).permutation(n1)
    assert match(g1.renumbered(order), g2, 0.5, R).score == pytest.approx(match(g1, g2, 0.5, R).score, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(n=SIZES, seed=SEEDS, preset=st.sampled_from(list(PRESETS)))
def test_a_graph_matches_itself(n, seed, preset):
    graph = random_graph(n, seed)
    found = match(graph, graph, 1.0, R, PRESETS[preset])
    assert found.score == pytest.approx(1, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(n1=SIZES, n2=SIZES, seed=SEEDS)
def test_shares_add_up(n1, n2, seed):
    found = match(random_graph(n1, seed), random_graph(n2, seed + 1), 0.7, R)
    if n1 and n2:
        assert sum(pair.share for pair in found.pairs) + 0.1 * 0.7 == pytest.approx(found.score)
        assert [p.share for p in found.pairs] == sorted((p.share for p in found.pairs), reverse=True)


def test_empty_graphs():
    empty, some = random_graph(0, 0), random_graph(3, 0)
    assert match(empty, empty, 0.6, R).score == 0.6
    assert match(empty, some, 0.6, R).score == pytest.approx(0.06)
    assert match(some, empty, 0.6, R).graph_score == 0


def test_objects_without_importance():
    graph = replace(random_graph(4, 1), importance=np.array([1.0, 0, 0, 0]))
    assert match(graph, graph, 1.0, R).score == pytest.approx(1)


def test_equation_20_read_literally_follows_the_relations():
    """With 0.75 on the relations, unlike predicates cost more."""
    g1 = random_graph(6, 2, density=0.5)
    g2 = replace(g1, relation=np.where(g1.relation >= 0, (g1.relation + 17) % 56, -1))
    literal = Parameters.paper().changed(relation_weight=0.75)
    assert match(g1, g2, 1.0, R, literal).score < match(g1, g2, 1.0, R).score < 1


def test_subject_and_object_are_not_confused():
    """The horse eats the grass, the grass eats the horse: same objects, same predicate, other direction."""
    horse, grass = np.eye(2)
    relation = np.array([[-1, 5], [-1, -1]])
    score, centre, importance = np.where(relation >= 0, 1.0, -1.0), np.zeros((2, 2)), np.array([0.5, 0.5])
    eats = SceneGraph(np.stack([horse, grass]), relation, score, centre, importance)
    eaten = replace(eats, relation=relation.T, relation_score=score.T)
    assert match(eats, eaten, 1.0, R).score < match(eats, eats, 1.0, R).score - 0.05


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: replace(random_graph(3, 0), importance=np.ones(2)), r"importance of shape \(3,\), not \(2,\)"),
        (lambda: replace(random_graph(3, 0), importance=np.array([1, -1, 1.0])), "not negative"),
        (lambda: replace(random_graph(3, 0), embeddings=np.full((3, 4), np.nan)), "finite"),
        (lambda: Parameters(update_rate=1.5), "update_rate is 1.5"),
        (lambda: Parameters(iterations=-1), "iterations"),
        (lambda: match(random_graph(3, 0, 1.0), random_graph(3, 1, 1.0), 1.0, R[:5, :5]), "no row"),
    ],
)
def test_bad_input(make, reason):
    with pytest.raises(MetricError, match=reason):
        make()
