"""The statistics, against published examples and other libraries."""

import numpy as np
import pytest
from scipy import stats

from semcomm.ratings.opinions import Opinions, Pair, conduct_of, opinions_of
from semcomm.ratings.settings import Exclusion
from semcomm.ratings.statistics import (
    CEILING,
    Judgement,
    alpha,
    alpha_of,
    correlation,
    half_of,
    judge,
    preference_accuracy,
    units_of,
)

N = float("nan")
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
        [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
    ]
)
"""Four observers, twelve units, with gaps: example C of Krippendorff 2011, which gives 0.743 and 0.849."""


def test_alpha_of_the_published_example():
    assert alpha(PUBLISHED, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert alpha(PUBLISHED, "interval") == pytest.approx(0.849, abs=5e-4)


def test_alpha_of_the_published_binary_example():
    """Two observers, ten units, no gaps: example A of Krippendorff 2011, 0.095."""
    meg = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    owen = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    for level in ("nominal", "interval"):  # the same for two values
        assert alpha(np.array([meg, owen], float), level) == pytest.approx(0.095, abs=5e-4)


def test_alpha_at_its_ends():
    agreed = np.tile(np.random.default_rng(0).random(50), (3, 1))
    assert alpha(agreed) == pytest.approx(1)
    assert alpha(np.random.default_rng(1).random((4, 2000))) == pytest.approx(0, abs=0.03)
    assert np.isnan(alpha(np.array([[0.5, N], [N, 0.5]])))  # nobody judged what another did
    assert np.isnan(alpha(np.full((3, 5), 0.5)))  # nothing varies


@pytest.mark.parametrize("count", [80, 400])
def test_correlations_are_those_of_scipy(count):
    rng = np.random.default_rng(0)
    one = rng.normal(size=count).round(1)
    other = (one + rng.normal(size=count)).round(1)
    one[3], other[7] = N, N
    known = ~(np.isnan(one) | np.isnan(other))
    a, b = one[known], other[known]
    assert correlation("spearman", one, other) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert correlation("pearson", one, other) == pytest.approx(stats.pearsonr(a, b).statistic)
    assert correlation("kendall", one, other) == pytest.approx(stats.kendalltau(a, b).statistic)
    one[0] = np.inf  # has a rank, and no place on a line
    assert correlation("pearson", one, other) == pytest.approx(
        stats.pearsonr(one[known][1:], other[known][1:]).statistic
    )
    assert np.isfinite(correlation("spearman", one, other))
    assert np.isnan(correlation("pearson", np.ones(9), np.arange(9)))


def test_preference_accuracy_by_hand():
    first, second = np.array([3.0, 1.0, 2.0, 5.0]), np.array([1.0, 2.0, 2.0, N])
    share = np.array([0.75, 0.25, 0.9, 1.0])
    assert preference_accuracy(first, second, share) == pytest.approx((0.75 + 0.75 + 0.5) / 3)


def opinions(raters: int, items: int, noise: float, seed: int = 0, originals: int = 20) -> tuple[Opinions, np.ndarray]:
    """Simulated raters who see a true value with errors of their own."""
    rng = np.random.default_rng(seed)
    truth = rng.random(2 * items)
    scores = truth + noise * rng.normal(size=(raters, 2 * items))
    scores[rng.random(scores.shape) < 0.3] = N
    rivals = np.arange(2 * items).reshape(-1, 2)
    gaps = scores[:, rivals[:, 0]] - scores[:, rivals[:, 1]]
    preferences = np.where(np.isnan(gaps), N, gaps > 0)
    groups = np.repeat(np.arange(items) % originals, 2)
    pairs = [Pair("", "", ("", ""), {})] * (2 * items)
    names = [f"R{n}" for n in range(raters)]
    return Opinions(pairs, scores, rivals, preferences, groups, names, None, "simulated", simulated=True), truth


def test_intervals_cover_the_truth():
    """The correlation of a metric with the mean of ever more raters is that with the truth."""
    covered = 0
    for seed in range(12):
        said, truth = opinions(5, 60, 0.1, seed)
        rng = np.random.default_rng(seed + 100)
        metric = truth + 0.2 * rng.normal(size=len(truth))
        found = judge(said, {"metric": Judgement(metric)}, resamples=100)["metric"]["pearson"]
        assert found.low < found.value < found.high
        # of the whole population: var(truth) = 1/12, 0.2 of error on the metric, 0.1 / sqrt(5 * 0.7) on people
        whole = np.sqrt((1 / 12) / (1 / 12 + 0.04)) * np.sqrt((1 / 12) / (1 / 12 + 0.01 / 3.5))
        covered += found.low <= whole <= found.high
    assert covered >= 9


def test_distances_count_with_the_other_sign():
    said, truth = opinions(5, 40, 0.05)
    found = judge(said, {"similarity": Judgement(truth), "distance": Judgement(-truth, False)}, resamples=5)
    assert found["similarity"] == found["distance"]
    assert found["similarity"]["spearman"].value > 0.95
    assert found["similarity"]["preference"].value > 0.9
    assert found["similarity"]["spearman"].count == 80 and found["similarity"]["preference"].count <= 40


def test_the_ceiling_falls_with_the_raters_errors():
    high, low = (judge(opinions(6, 80, noise)[0], {}, resamples=20)[CEILING] for noise in (0.05, 0.5))
    assert high["spearman"].value > 0.9 > 0.6 > low["spearman"].value
    assert high["preference"].value > low["preference"].value > 0.5
    # one rater beside the mean of five others, known exactly but for which five
    assert low["pearson"].value == pytest.approx(
        np.sqrt((1 / 12) / (1 / 12 + 0.25)) * np.sqrt((1 / 12) / (1 / 12 + 0.25 / 3.5)), abs=0.1
    )


def test_few_originals_are_not_drawn():
    said, _ = opinions(3, 30, 0.1, originals=4)
    assert len(np.unique(units_of(said))) == 30
    said, _ = opinions(3, 30, 0.1, originals=10)
    assert len(np.unique(units_of(said))) == 10


def test_halves_share_no_original():
    said, _ = opinions(3, 41, 0.1)
    halves = [half_of(said, name) for name in ("a", "b")]
    assert sum(len(half.pairs) for half in halves) == 82 and min(len(half.pairs) for half in halves) > 30
    assert not set(halves[0].groups) & set(halves[1].groups)
    for half in halves:
        gaps = half.scores[:, half.rivals[:, 0]] - half.scores[:, half.rivals[:, 1]]
        known = ~np.isnan(gaps)
        assert ((gaps > 0) == half.preferences)[known].all() and half.rivals.max() == len(half.pairs) - 1


def test_alpha_of_simulated_raters():
    """Its expectation is the share of the variance that the raters have in common."""
    said, _ = opinions(6, 300, 0.2)
    found = alpha_of(said, resamples=50)
    assert found.value == pytest.approx((1 / 12) / (1 / 12 + 0.04), abs=0.05)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"identical": [0.3, 0.4, 1.0]}, "failed 2 of 3 identical pairs"),
        ({"identical": [0.3, 0.9, 1.0]}, ""),
        ({"repeat": 0.9}, "repeats differ by 0.70"),
        ({"seconds": 0.4}, "0.4 s for an answer"),
    ],
)
def test_the_rule_of_exclusion(change, reason):
    seconds = change.get("seconds", 4.0)
    rows = [("item", n, 0.2, 0.5) for n in range(5)]
    rows += [("identical", 0, score, 0.5) for score in change.get("identical", [0.9, 1.0, 1.0])]
    rows += [("repeat", 1, change.get("repeat", 0.25), change.get("repeat", 0.5) + 0.3 * ("repeat" in change))]
    answers = [dict(zip(("kind", "item", "first", "second"), row), seconds=seconds) for row in rows]
    found = conduct_of("R001", answers, Exclusion(), "triplets")
    assert found.rated == 5
    assert found.excluded == reason


def test_opinions_of_a_study_are_what_was_said(answered):
    said = opinions_of(answered)
    assert said.raters == ["R001", "R002", "R003", "R004"] and said.simulated
    items = [item for item in answered.database.items() if not item.practice]
    assert len(said.pairs) == 2 * len(items) == said.scores.shape[1]
    rows = {
        (rater, item): (first, second)
        for rater, _, item, kind, _, first, second, *_ in answered.database.answers()
        if kind == "item"
    }
    assert (~np.isnan(said.scores)).sum() == 2 * len(rows) == 48
    for (rater, item), scores in rows.items():
        n = [i.number for i in items].index(item)
        assert tuple(said.scores[said.raters.index(rater), 2 * n : 2 * n + 2]) == scores
    for conduct in said.conduct:
        assert min(conduct.identical) > 0.85 and len(conduct.repeats) == 4 and not conduct.excluded
    means = said.means()
    strengths = np.array([pair.facts["strength"] for pair in said.pairs])
    assert stats.spearmanr(means, strengths).statistic < -0.9  # the more noise, the less alike
