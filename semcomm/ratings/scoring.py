"""Metrics on the pairs that people judged."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from semcomm.errors import MetricError
from semcomm.images import quantise
from semcomm.memo import key_of
from semcomm.metrics import Metric
from semcomm.ratings.database import Database
from semcomm.ratings.opinions import Opinions
from semcomm.ratings.statistics import Judgement

BATCH = 50
"""Scores that are kept at once."""


def scored(
    opinions: Opinions,
    metrics: Sequence[Metric],
    database: Database | None = None,
    on_note: Callable[[str], None] = lambda note: None,
) -> dict[str, Judgement]:
    """Return name of a metric -> its values on all pairs.

    Where a metric compares images of one size only, the candidate is scaled to the original's; where it is not defined
    its value is NaN. Both are noted.

    Args:
        opinions: whose pairs.
        metrics: to compute.
        database: where values are kept, and found again.
        on_note: called with what a reader should know.
    """
    return {
        metric.name: Judgement(_values(opinions, metric, database, on_note), metric.higher_is_better)
        for metric in metrics
    }


def _values(
    opinions: Opinions, metric: Metric, database: Database | None, on_note: Callable[[str], None]
) -> np.ndarray:
    key = key_of(metric.recipe())[:16]
    kept = database.scores(key) if database else {}
    new: dict[tuple[str, str], float] = {}
    scaled, undefined, reason = 0, 0, ""
    reference, prepared, image = None, None, None
    for pair in sorted({(p.reference, p.candidate) for p in opinions.pairs}):  # one original after the other
        if pair in kept:
            continue
        if pair[0] != reference:
            reference, image = pair[0], opinions.image(pair[0])[None]
            prepared = None
        candidate = opinions.image(pair[1])[None]
        if metric.same_size and candidate.shape != image.shape:
            candidate = _scaled(candidate, image)
            scaled += 1
        try:
            metric.check(image, candidate)
            prepared = metric.prepare(image) if prepared is None else prepared
            value = metric.score(prepared, candidate).item()
        except MetricError as error:
            value, undefined, reason = math.nan, undefined + 1, str(error)
        kept[pair] = new[pair] = value
        if database and len(new) >= BATCH:
            database.add_scores(key, new)
            new = {}
    if database and new:
        database.add_scores(key, new)
    if scaled:
        on_note(f"{metric.name}: {scaled} images were scaled to the size of their original")
    if undefined:
        on_note(f"{metric.name}: is not defined for {undefined} pairs ({reason})")
    return np.array([kept[p.reference, p.candidate] for p in opinions.pairs])


def _scaled(image: Tensor, like: Tensor) -> Tensor:
    found = torch.nn.functional.interpolate(image, like.shape[-2:], mode="bicubic", antialias=True)
    return quantise(found)
