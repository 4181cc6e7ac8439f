"""Cosine similarity by an image encoder of one's choice; the one that comes with semcomm needs no download."""

from torch import Tensor
from torch.nn.functional import normalize

from semcomm.metrics.perceptual.base import WeightedMetric
from semcomm.metrics.perceptual.vitscore import greedy_matching
from semcomm.models.encoders.base import DEFAULT, ImageEncoder, image_encoder


class EmbeddedScore(WeightedMetric):
    """Cosine of two images' embeddings, on [-1, 1].

    With a CLIP it is `CLIPScore`; with the default encoder it stands where that would and is no substitute for it.

    Args:
        encoder: an `ImageEncoder`, or the name of one.
    """

    range = (-1.0, 1.0)
    same_size = False

    def __init__(self, encoder: str | ImageEncoder = DEFAULT) -> None:
        self.encoder = image_encoder(encoder)
        self.name = f"Cosine ({self.encoder.name})"

    def weights(self) -> str:
        """Return the hash of the encoder."""
        return self.encoder.weights()

    def prepare(self, reference: Tensor) -> Tensor:
        """Return the unit embeddings [B, d]."""
        return self.encoder.embed(reference)

    def score(self, prepared: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the cosine of each image [B]."""
        return (prepared.double() * self.encoder.embed(reconstruction).double()).sum(1).clamp(-1, 1)


class EmbeddedViTScore(WeightedMetric):
    """ViTScore's greedy matching (see `ViTScore`) of the positions of an encoder's feature maps, on [-1, 1].

    Args:
        encoder: an `ImageEncoder` with a feature map, or the name of one.
        side: of the square at which each image's map is made, a multiple of the encoder's stride.
    """

    range = (-1.0, 1.0)
    same_size = False

    def __init__(self, encoder: str | ImageEncoder = DEFAULT, side: int = 384) -> None:
        self.encoder = image_encoder(encoder)
        self.side = side
        self.name = f"ViTScore ({self.encoder.name})"

    def weights(self) -> str:
        """Return the hash of the encoder."""
        return self.encoder.weights()

    def prepare(self, reference: Tensor) -> Tensor:
        """Return the unit-length positions of the maps [B, n, d]."""
        return normalize(self.encoder.features(reference, self.side).flatten(2).mT, dim=-1)

    def score(self, prepared: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the score of each image [B]."""
        return greedy_matching(prepared, self.prepare(reconstruction))
