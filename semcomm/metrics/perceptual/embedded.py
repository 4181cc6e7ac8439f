"""Metrics by the shipped encoder, under names of their own."""

import torch
from torch import Tensor

from semcomm.metrics.perceptual.base import WeightedMetric


class EmbeddedScore(WeightedMetric):
    """Cosine of two images' embeddings by the encoder that comes with semcomm, on [-1, 1]. It needs no download.

    It stands where CLIPScore would and is no substitute: for trying, testing, and machines without weights.
    """

    name = "Embedded cosine"
    range = (-1.0, 1.0)
    same_size = False

    def weights(self) -> str:
        """Return the hash of the encoder."""
        return embedded_weights()

    def prepare(self, reference: Tensor) -> Tensor:
        """Return the unit embeddings [B, d]."""
        return embed(reference)

    def score(self, prepared: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the cosine of each image [B]."""
        return (prepared.double() * embed(reconstruction).double()).sum(1).clamp(-1, 1)


def embed(images: Tensor) -> Tensor:
    """Return the shipped encoder's unit embeddings [B, d], each image's computed once per process."""
    from semcomm.models.embeddings import embed_once
    from semcomm.models.encoder import load_encoder

    encoder = load_encoder()
    return embed_once(images, f"encoder {encoder.hash}", lambda batch: encoder.embed(torch.stack(list(batch))))


def embedded_weights() -> str:
    """Return the hash of the shipped encoder's weights."""
    from semcomm.models.encoder import load_encoder

    return load_encoder().hash
