import json

import numpy as np
import pytest
from test_matching import random_graph

from semcomm.errors import ConfigurationError, MetricError
from semcomm.metrics.sess import Parameters, Scene
from semcomm.metrics.sess.tuning import Rated, agreement, draw_distributions, read_triplets, scores_of, tune

PREDICATES = np.full((56, 56), 0.3) + 0.7 * np.eye(56)


def scene(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 8))
    graph = random_graph(n, seed)
    masks = np.zeros((n, 8, 8), bool)
    for i in range(n):
        masks[i, rng.integers(8), rng.integers(8)] = True
    rows = rng.normal(size=(n + 1, 6)) + 1
    return Scene(rows[0], rows[1:], masks, rng.random(n), graph.relation, graph.relation_score)


def synthetic(parameters, count=40):
    """Triplets whose 'human' scores are SeSS with known parameters: synthetic, and labelled so."""
    triplets = []
    for n in range(count):
        reference, *candidates = (scene(100 * n + k) for k in range(3))
        pairs = [Rated(((reference, candidate),), 0.0) for candidate in candidates]
        scores = scores_of(pairs, PREDICATES, parameters)
        triplets.append(tuple(Rated(p.views, float(s)) for p, s in zip(pairs, scores)))
    return triplets


def test_known_parameters_are_found_again():
    truth = Parameters.paper().changed(relation_weight=0.8, update_rate=0.35, image_weight=0.6, iterations=3)
    tuned = tune(synthetic(truth), PREDICATES, Parameters.paper(), trials=150, method="tpe")
    assert tuned.after["error"] < 0.05 * tuned.before["error"]
    assert tuned.after["pearson"] > 0.99 > tuned.before["pearson"]
    assert tuned.parameters.image_weight == pytest.approx(0.6, abs=0.1)


def test_random_search_never_ends_up_worse_than_it_began_on_what_it_saw():
    errors = []
    truth = Parameters.paper().changed(image_weight=0.9)
    tune(synthetic(truth, 12), PREDICATES, Parameters.paper(), 20, "random", on_trial=lambda n, e: errors.append(e))
    assert len(errors) == 20
    assert min(errors) <= errors[0]
    again = []
    tune(synthetic(truth, 12), PREDICATES, Parameters.paper(), 20, "random", on_trial=lambda n, e: again.append(e))
    assert again == errors


def test_agreement_by_hand():
    found = agreement(np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.4, 0.6]))
    assert found["pearson"] == pytest.approx(1)
    assert found["spearman"] == pytest.approx(1)
    assert found["error"] == pytest.approx((0.01 + 0.01 + 0.09) / 3)
    assert found["excess"] == pytest.approx(0.1)


def test_parameters_file(tmp_path):
    path = tmp_path / "p.json"
    Parameters.authors().save(path)
    assert Parameters.load(path) == Parameters.authors()
    for text in ("{", '{"alpha": 1}', '{"update_rate": 7}'):
        path.write_text(text)
        with pytest.raises(MetricError):
            Parameters.load(path)


def row(**changes):
    return {
        "reference": "r.png",
        "first": "a.png",
        "second": "b.png",
        "first_score": 0.3,
        "second_score": "0.9",
    } | changes


def test_triplets_from_csv_and_json_lines(tmp_path):
    lines, table = tmp_path / "t.jsonl", tmp_path / "t.csv"
    lines.write_text("\n".join(json.dumps(row()) for _ in range(3)))
    table.write_text("reference,first,second,first_score,second_score\nr.png,a.png,b.png,0.3,0.9\n")
    assert len(read_triplets(lines)) == 3
    (one,) = read_triplets(table)
    assert one == read_triplets(lines)[0]
    assert one["first"] == str(tmp_path / "a.png")
    assert one["second_score"] == 0.9


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no triplets"),
        ("{", "cannot be read"),
        (json.dumps(row(first_score=1.5)), "triplet 1: first_score is 1.5"),
        (json.dumps(row(first_score="nan")), "from 0 to 1"),
        (json.dumps(row(second="")), "needs reference"),
        ("[1]", "needs reference"),
    ],
)
def test_bad_triplets(tmp_path, text, reason):
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=reason):
        read_triplets(path)


def test_too_little_to_tune_on():
    triplets = synthetic(Parameters.paper(), 5)
    with pytest.raises(ConfigurationError, match="at least 4"):
        tune(triplets[:3], PREDICATES, Parameters.paper())
    flat = [tuple(Rated(p.views, 0.5) for p in pair) for pair in triplets]
    with pytest.raises(ConfigurationError, match="all the same"):
        tune(flat, PREDICATES, Parameters.paper())


def test_distributions_are_drawn(tmp_path):
    tuned = tune(synthetic(Parameters.authors(), 6), PREDICATES, Parameters.paper(), trials=3)
    draw_distributions(tuned, tmp_path / "d.png")
    assert (tmp_path / "d.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("name", "between", "point", "mark"),
    [("a.CSV", ",", ".", "\ufeff"), ("b.csv", ";", ",", "\ufeff"), ("c.tsv", "\t", ".", "")],
)
def test_triplets_as_excel_writes_them(tmp_path, name, between, point, mark):
    rows = [["reference", "first", "second", "first_score", "second_score"], ["a.png", "b.png", "c.png", "0.25", "0.5"]]
    text = mark + "\r\n".join(between.join(row) for row in rows)
    (tmp_path / name).write_text(text.replace("0.", f"0{point}"), encoding="utf-8")
    (triplet,) = read_triplets(tmp_path / name)
    assert (triplet["first_score"], triplet["second_score"]) == (0.25, 0.5)
    assert triplet["reference"] == str(tmp_path / "a.png")
