"""Models of the world and their weights: cards, places, and loading once per process.

A model is named by a local folder (or file), a hub id, or the short name of its card. Nothing here reaches the network
but `fetch`; nothing opens a pickle without `trust_pickle=True`.
"""

from semcomm.models.cards import CARDS, ModelCard, card_of
from semcomm.models.component import UsesWeights
from semcomm.models.loading import (
    Precision,
    device_of,
    find,
    is_present,
    load_module,
    load_processor,
    load_transformer,
    weights_of,
)

__all__ = [
    "CARDS",
    "ModelCard",
    "Precision",
    "UsesWeights",
    "card_of",
    "device_of",
    "find",
    "is_present",
    "load_module",
    "load_processor",
    "load_transformer",
    "weights_of",
]
