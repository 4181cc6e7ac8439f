"""Agreement among raters, and of metrics with them.

- **Krippendorff's alpha** (K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011): 1 less the observed
  disagreement over that expected by chance, for raters who each judged some of the units.
- **Preference accuracy**: over triplets, the share of raters that a metric sides with, half where it prefers neither
  (the "2AFC" score of Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018).
- **Noise ceiling**: one rater beside the mean of all others, averaged over raters (the lower bound of Nili et al., "A
  Toolbox for Representational Similarity Analysis", 2014).
- **Intervals**: percentile bootstrap, originals and raters drawn anew each time, independently.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from semcomm.ratings.opinions import Opinions, mean_scores

CONFIDENCE = 0.95
RESAMPLES = 1000
LARGE, RESAMPLES_OF_LARGE = 3000, 200
"""From so many pairs on, fewer resamples do: their intervals are narrow, and Kendall's tau takes long."""
FEWEST_GROUPS = 8
"""Below so many originals, items are drawn instead of originals."""
FEW = 300
CEILING = "one rater (noise ceiling)"
KINDS = ("spearman", "pearson", "kendall")


@dataclass(frozen=True)
class Estimated:
    """A number with its interval.

    Attributes:
        value: the number; NaN where there is none.
        low: lower end of the interval.
        high: upper end.
        count: of pairs, triplets or units that it is made of.
    """

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Judgement:
    """A metric on the pairs of a study.

    Attributes:
        values: [pairs], NaN where it is not defined.
        higher_is_better: whether it is a similarity; a distance counts with the other sign.
    """

    values: np.ndarray
    higher_is_better: bool = True

    @property
    def similarity(self) -> np.ndarray:
        """The values, larger meaning more alike."""
        return self.values if self.higher_is_better else -self.values


def alpha(scores: np.ndarray, level: Literal["interval", "nominal"] = "interval") -> float:
    """Return Krippendorff's alpha of scores [raters, units], NaN where a rater did not judge.

    It is NaN where no unit has two scores, and where nothing varies.

    Args:
        scores: of raters.
        level: `interval`: disagreement is the squared difference; `nominal`: 1 between different values.
    """
    there = ~np.isnan(scores)
    there &= there.sum(0) > 1
    counts = there.sum(0)
    n = counts.sum()
    if n < 2:
        return float("nan")
    if level == "nominal":
        values = np.unique(scores[there])
        each = np.stack([((scores == value) & there).sum(0) for value in values])  # [values, units]
        of_unit = counts**2 - np.square(each).sum(0)
        of_all = n**2 - np.square(each.sum(1)).sum()
    else:
        centred = np.where(there, scores - scores[there].mean(), 0.0)
        of_unit = 2 * (counts * np.square(centred).sum(0) - np.square(centred.sum(0)))
        of_all = 2 * (n * np.square(centred).sum() - centred.sum() ** 2)
    used = counts > 1
    observed = (of_unit[used] / (counts[used] - 1)).sum() / n
    expected = of_all / (n * (n - 1))
    return float(1 - observed / expected) if expected > 0 else float("nan")


def correlation(kind: str, one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's or Pearson's correlation or Kendall's tau-b of the pairs that both know.

    An infinite value, such as the PSNR of identical images, has a rank and no place on a line: Pearson leaves it out.
    """
    known = ~(np.isnan(one) | np.isnan(other))
    if kind == "pearson":
        known &= np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    if len(one) < 3 or (one == one[0]).all() or (other == other[0]).all():
        return float("nan")
    if kind != "pearson":
        one, other = _ranks(one), _ranks(other)
    if kind == "kendall":
        return _tau(one, other)
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks, equal values having the mean of theirs. A bootstrap asks so often that SciPy's checks cost most."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _tau(one: np.ndarray, other: np.ndarray) -> float:
    """Return Kendall's tau-b; of few values by all their pairs, which is faster than sorting."""
    if len(one) > FEW:
        from scipy.stats import kendalltau

        return float(kendalltau(one, other, method="asymptotic").statistic)
    signs = [np.sign(values[:, None] - values) for values in (one, other)]
    return float((signs[0] * signs[1]).sum() / np.sqrt(np.abs(signs[0]).sum() * np.abs(signs[1]).sum()))


def preference_accuracy(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> float:
    """Return how often the larger of two values is what raters preferred.

    Args:
        first: similarity of the first image of each triplet [triplets].
        second: of the second.
        share: of the raters who preferred the first, NaN where none preferred either.
    """
    known = ~(np.isnan(first) | np.isnan(second) | np.isnan(share))
    if not known.any():
        return float("nan")
    first, second, share = first[known], second[known], share[known]
    return float(np.where(first == second, 0.5, np.where(first > second, share, 1 - share)).mean())


def draws(
    opinions: Opinions, seed: int = 0, resamples: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Give the draws of a bootstrap: numbers of pairs, numbers of triplets, how often each rater is drawn."""
    rng = np.random.default_rng(seed)
    groups = units_of(opinions)
    of_pairs = _members(groups)
    at = opinions.rivals[:, 0] if len(opinions.rivals) else np.zeros(0, int)
    of_triplets = _members(groups[at], len(of_pairs))
    raters = max(len(opinions.raters), 1)
    for _ in range(resamples or (RESAMPLES_OF_LARGE if len(opinions.pairs) > LARGE else RESAMPLES)):
        chosen = rng.integers(len(of_pairs), size=len(of_pairs))
        weights = np.bincount(rng.integers(raters, size=raters), minlength=raters).astype(float)
        yield (
            np.concatenate([of_pairs[n] for n in chosen]),
            np.concatenate([of_triplets[n] for n in chosen]) if len(opinions.rivals) else np.zeros(0, int),
            np.ones(1) if opinions.single else weights,
        )


def units_of(opinions: Opinions) -> np.ndarray:
    """Return what a bootstrap draws together [pairs]: originals, or items where there are too few originals."""
    groups = np.unique(opinions.groups, return_inverse=True)[1]
    if groups.max(initial=-1) + 1 >= FEWEST_GROUPS:
        return groups
    items = np.arange(len(opinions.pairs))
    items[opinions.rivals[:, 1]] = opinions.rivals[:, 0]
    return np.unique(items, return_inverse=True)[1]


def half_of(opinions: Opinions, half: Literal["a", "b"]) -> Opinions:
    """Return every other original with all that was said of it: one half to tune on, the other to judge by."""
    mine = units_of(opinions) % 2 == (half == "b")
    triplets = mine[opinions.rivals[:, 0]] if len(opinions.rivals) else np.zeros(0, bool)
    place = np.cumsum(mine) - 1
    return replace(
        opinions,
        pairs=[pair for pair, kept in zip(opinions.pairs, mine) if kept],
        scores=opinions.scores[:, mine],
        rivals=place[opinions.rivals[triplets]],
        preferences=opinions.preferences[:, triplets],
        groups=opinions.groups[mine],
        source=f"{opinions.source} (half {half})",
    )


def judge(
    opinions: Opinions, metrics: Mapping[str, Judgement], seed: int = 0, resamples: int | None = None
) -> dict[str, dict[str, Estimated]]:
    """Return name of a metric -> statistic -> its value with an interval; the noise ceiling is among the names.

    Args:
        opinions: of people.
        metrics: name -> values on the same pairs.
        seed: of the bootstrap.
        resamples: how many; none takes `RESAMPLES`, or `RESAMPLES_OF_LARGE` beyond `LARGE` pairs.
    """
    scored = len(opinions.scores) > 0
    everything = np.arange(len(opinions.pairs)), np.arange(len(opinions.rivals)), np.ones(max(len(opinions.raters), 1))
    found = _judged(opinions, metrics, *everything)
    again: dict[tuple[str, str], list[float]] = {key: [] for key in found}
    for drawn in draws(opinions, seed, resamples):
        for key, value in _judged(opinions, metrics, *drawn).items():
            again[key].append(value)
    means = opinions.means() if scored else np.full(len(opinions.pairs), np.nan)
    result: dict[str, dict[str, Estimated]] = {}
    for (name, kind), value in found.items():
        if kind == "preference":
            count = int((~np.isnan(opinions.preferences)).any(0).sum()) if len(opinions.preferences) else 0
        else:
            known = ~np.isnan(means)
            if name in metrics:
                values = metrics[name].values
                known &= np.isfinite(values) if kind == "pearson" else ~np.isnan(values)
            count = int(known.sum())
        result.setdefault(name, {})[kind] = Estimated(value, *interval(again[name, kind]), count)
    return result


def interval(values: list[float]) -> tuple[float, float]:
    """Return the percentile interval of a bootstrap; NaN where there is nothing."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def alpha_of(opinions: Opinions, seed: int = 0, resamples: int | None = None) -> Estimated:
    """Return alpha of a study; its interval is over items alone, for raters drawn twice would agree with themselves.

    That of choices, and of the preferences in triplets, is nominal.
    """
    scored = len(opinions.scores) > 0
    ratings, level = (opinions.scores, "interval") if scored else (opinions.preferences, "nominal")
    drawn = draws(opinions, seed, resamples)
    values = [alpha(ratings[:, pairs if scored else triplets], level) for pairs, triplets, _ in drawn]
    count = int(((~np.isnan(ratings)).sum(0) > 1).sum())
    return Estimated(alpha(ratings, level), *interval(values), count)


def _judged(
    opinions: Opinions, metrics: Mapping[str, Judgement], pairs: np.ndarray, triplets: np.ndarray, weights: np.ndarray
) -> dict[tuple[str, str], float]:
    """Return every statistic on some pairs and triplets, with raters weighted."""
    found = {}
    scored = len(opinions.scores) > 0
    rivals, preferences = opinions.rivals[triplets], opinions.preferences[:, triplets]
    share = mean_scores(preferences, weights) if preferences.size else np.full(len(triplets), np.nan)
    means = mean_scores(opinions.scores[:, pairs], weights) if scored else None
    for name, metric in metrics.items():
        values = metric.similarity
        if scored:
            found |= {(name, kind): correlation(kind, values[pairs], means) for kind in KINDS}
        if len(opinions.rivals):
            found[name, "preference"] = preference_accuracy(values[rivals[:, 0]], values[rivals[:, 1]], share)
    if len(opinions.raters) > 1 and not opinions.single:
        found |= _ceiling(opinions, pairs, triplets, weights)
    return found


def _ceiling(
    opinions: Opinions, pairs: np.ndarray, triplets: np.ndarray, weights: np.ndarray
) -> dict[tuple[str, str], float]:
    """Return how well one rater agrees with the mean of all others, over raters as they were drawn."""
    found: dict[str, list[float]] = {}
    drawn = np.flatnonzero(weights)
    for rater in drawn:
        others = np.arange(len(opinions.raters)) != rater  # all of them: one drawn twice is no other
        equal = np.ones(int(others.sum()))
        if len(opinions.scores):
            mine, theirs = opinions.scores[rater, pairs], mean_scores(opinions.scores[others][:, pairs], equal)
            for kind in KINDS:
                found.setdefault(kind, []).append(correlation(kind, mine, theirs))
        if len(opinions.rivals):
            mine, theirs = (
                opinions.preferences[rater, triplets],
                mean_scores(opinions.preferences[others][:, triplets], equal),
            )
            found.setdefault("preference", []).append(preference_accuracy(mine, 1 - mine, theirs))
    result = {}
    for kind, values in found.items():
        values, w = np.array(values), weights[drawn]
        known = ~np.isnan(values)
        result[CEILING, kind] = float(np.average(values[known], weights=w[known])) if known.any() else float("nan")
    return result


def _members(groups: np.ndarray, count: int | None = None) -> list[np.ndarray]:
    """Return the numbers in each group."""
    count = groups.max(initial=-1) + 1 if count is None else count
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.searchsorted(groups[order], np.arange(1, count)))
