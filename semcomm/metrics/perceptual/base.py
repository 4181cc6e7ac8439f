"""The base of metrics by pretrained networks."""

from pathlib import Path

from semcomm.metrics.base import Metric
from semcomm.models.component import UsesWeights


class WeightedMetric(UsesWeights, Metric):
    """A metric whose scores depend on weights: their hash is part of its recipe.

    The constructor is light. The weights are looked for when a recipe or a score is first asked for, and a
    `ModelError` says how to get them.
    """


def column(name: str, model: str, default: str) -> str:
    """Return a column's name, with the model's where it is not the metric's default."""
    return name if model == default else f"{name} ({Path(model).name})"
