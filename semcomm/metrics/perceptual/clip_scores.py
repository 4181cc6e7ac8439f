"""Scores by CLIP: between two images, and between a caption and an image."""

from torch import Tensor

from semcomm.metrics.perceptual.base import WeightedMetric, column
from semcomm.models.blip import Captioner
from semcomm.models.clip import CLIP, DEFAULT
from semcomm.models.loading import Precision


class CLIPScore(WeightedMetric):
    """Cosine of the CLIP embeddings of two images, on [-1, 1]: ClipScore of the SeSS paper (equation 15 is 1 − it).

    Not the CLIPScore of Hessel et al. 2021, which compares a caption with an image: that is `CaptionCLIPScore`.

    Args:
        model: a local folder, a hub id that was fetched, or the short name of a card.
        precision: of weights and arithmetic.
        device: `auto`, or as PyTorch names it.
        trust_pickle: read a pickle where the folder has no safetensors.
    """

    unit = "cosine"
    range = (-1.0, 1.0)
    same_size = False

    def __init__(
        self,
        model: str = DEFAULT,
        precision: Precision = "fp32",
        device: str = "auto",
        trust_pickle: bool = False,
    ) -> None:
        self.clip = CLIP(model, precision, device, trust_pickle)
        self.name = column("CLIPScore", model, DEFAULT)

    def weights(self) -> str:
        """Return the hash of the model."""
        return self.clip.weights()

    def prepare(self, reference: Tensor) -> Tensor:
        """Return the unit embeddings [B, d]."""
        return self.clip.embed_images(reference)

    def score(self, prepared: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the cosine of each image [B]."""
        return _cosine(prepared, self.clip.embed_images(reconstruction))


class CaptionCLIPScore(WeightedMetric):
    """100·max(cos, 0) of a caption's CLIP embedding and an image's, on [0, 100], as torchmetrics scales it.

    Hessel et al. (EMNLP 2021) scale by 2.5 instead and prefix the caption; the generative systems' "CLIP score" is
    this one. The caption is what BLIP writes of the reference, so the score says how much of that the reconstruction
    still shows.

    Args:
        model: CLIP: a local folder, a hub id that was fetched, or the short name of a card.
        captioner: BLIP, likewise.
        precision: of weights and arithmetic.
        device: `auto`, or as PyTorch names it.
        trust_pickle: read a pickle where a folder has no safetensors.
    """

    unit = "of 100"
    range = (0.0, 100.0)
    same_size = False

    def __init__(
        self,
        model: str = DEFAULT,
        captioner: str = "blip-base",
        precision: Precision = "fp32",
        device: str = "auto",
        trust_pickle: bool = False,
    ) -> None:
        self.clip = CLIP(model, precision, device, trust_pickle)
        self.captioner = Captioner(captioner, precision, device, trust_pickle)
        self.name = column("Caption CLIPScore", model, DEFAULT)

    def weights(self) -> str:
        """Return the hashes of both models."""
        return f"{self.clip.weights()} {self.captioner.weights()}"

    def prepare(self, reference: Tensor) -> Tensor:
        """Return the unit embeddings of the references' captions [B, d]."""
        return self.clip.embed_texts(self.captioner.captions(reference))

    def score(self, prepared: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the score of each image [B]."""
        return 100 * _cosine(prepared, self.clip.embed_images(reconstruction)).clamp(min=0)


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    return (first.double() * second.double()).sum(1).clamp(-1, 1)
