"""Worth of a metric by its scores of the cases, with intervals over images."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from benchmarks.sess_worth.cases import RATES
from benchmarks.sess_worth.edits import HARMLESS

Scores = Mapping[str, np.ndarray]
RESAMPLES = 1000


def worst_change(scores: Scores) -> float:
    """Return the lowest of the five changes' means."""
    return min(values.mean() for name, values in scores.items() if name.startswith("change"))


def against_unrelated(scores: Scores) -> float:
    """Return the same on a scale on which unrelated images have 0 and an image with itself 1; NaN where that is ∞."""
    other, itself = scores["unrelated"].mean(), scores["itself"].mean()
    return (worst_change(scores) - other) / (itself - other) if np.isfinite(itself) else np.nan


def rising(scores: Scores) -> float:
    """Return the share of steps in rate that raise the score of an image."""
    steps = [scores[f"rate {a}"] < scores[f"rate {b}"] for a, b in pairwise(RATES)]
    return float(np.mean(steps))


def above_wreck(scores: Scores) -> float:
    """Return the share of small changes that score above the same image at 0.03 bpp."""
    changes = [values for name, values in scores.items() if name.startswith("change")]
    return float(np.mean([values > scores[f"rate {RATES[0]}"] for values in changes]))


def edits_below(scores: Scores, *kinds: str) -> float:
    """Return the share of comparisons in which an edit scores below a harmless change of its PSNR."""
    found = np.concatenate([_below(scores["edit"], scores[f"harmless {kind}"]) for kind in kinds or HARMLESS])
    return float(found.mean())


def worst_harmless(scores: Scores) -> float:
    """Return the same for the kind of harmless change that is mistaken most often."""
    return min(edits_below(scores, kind) for kind in HARMLESS)


def _below(edit: np.ndarray, harmless: np.ndarray) -> np.ndarray:
    there = ~np.isnan(harmless)
    return (edit[there] < harmless[there]) + 0.5 * (edit[there] == harmless[there])


def auc(high: np.ndarray, low: np.ndarray) -> float:
    return float(((high[:, None] > low) + 0.5 * (high[:, None] == low)).mean())


def class_auc(scores: Scores) -> float:
    return auc(scores["same class"], scores["other class"])


def superclass_auc(scores: Scores) -> float:
    return auc(scores["same superclass"], scores["other superclass"])


def unrelated(scores: Scores) -> float:
    return float(scores["unrelated"].mean())


def at_rate(bpp: float) -> Callable[[Scores], float]:
    return lambda scores: float(scores[f"rate {bpp}"].mean())


ROWS: dict[str, tuple[Callable[[Scores], float], str]] = {
    "worst of five small changes": (worst_change, "≥ 0.92"),
    "the same, against unrelated images": (against_unrelated, "≥ 0.87"),
    "steps in rate that raise the score": (rising, "≥ 0.99"),
    **{f"mean at {bpp} bpp": (at_rate(bpp), {0.03: "≤ 0.80", 1.0: "≥ 0.98"}.get(bpp, "")) for bpp in RATES},
    "small changes above 0.03 bpp": (above_wreck, "≥ 0.99"),
    "unrelated images": (unrelated, "≤ 0.35"),
    "edits below harmless changes": (edits_below, "≥ 0.94"),
    **{f"… below {kind}": (lambda scores, kind=kind: edits_below(scores, kind), "≥ 0.75") for kind in HARMLESS},
    "one class or two: AUC": (class_auc, "≥ 0.91"),
    "animals or not: AUC": (superclass_auc, "≥ 0.74"),
}
"""Questions, how each is answered from the scores, and the goals."""


def interval(function: Callable[[Scores], float], scores: Scores) -> tuple[float, float]:
    """Return the 95 % interval of the bootstrap: what is paired in `scores` is drawn together."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        rows = {length: rng.integers(length, size=length) for length in {len(v) for v in scores.values()}}
        found.append(function({name: values[rows[len(values)]] for name, values in scores.items()}))
    low, high = np.nanpercentile(found, (2.5, 97.5))
    return float(low), float(high)
