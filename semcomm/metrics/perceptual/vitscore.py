"""ViTScore: greedy matching of the patches of two images."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from semcomm.metrics.perceptual.base import WeightedMetric, column
from semcomm.models.embeddings import BATCH, pixel_values
from semcomm.models.loading import Precision, load_transformer, weights_of

DEFAULT = "vit-base"


class ViTScore(WeightedMetric):
    """ViTScore (Zhu et al., IEEE TCCN 2024, arXiv 2309.04891; equations 10 to 14 of the SeSS paper).

    Both images are resized to the model's input by its own processor. x_0 … x_{n−1} are the last layer's tokens of
    the patches of one, after the final layer norm and scaled to unit length; y_0 … y_{m−1} those of the other. The
    class token stands for no patch and is left out. With s_ij = x_i·y_j, R = mean_i max_j s_ij,
    P = mean_j max_i s_ij, and the score is 2RP/(R + P); symmetric, 1 for identical images.

    Args:
        model: a local folder, a hub id that was fetched, or the short name of a card.
        precision: of weights and arithmetic.
        device: `auto`, or as PyTorch names it.
        trust_pickle: read a pickle where the folder has no safetensors.
    """

    range = (-1.0, 1.0)
    same_size = False

    def __init__(
        self,
        model: str = DEFAULT,
        precision: Precision = "fp32",
        device: str = "auto",
        trust_pickle: bool = False,
    ) -> None:
        self.model = model
        self.precision = precision
        self.device = device
        self.trust_pickle = trust_pickle
        self.name = column("ViTScore", model, DEFAULT)

    def weights(self) -> str:
        """Return the hash of the model."""
        return weights_of(self.model, self.trust_pickle)

    @torch.no_grad()
    def prepare(self, reference: Tensor) -> Tensor:
        """Return the unit-length tokens of the patches [B, n, d]."""
        network = load_transformer(
            self.model, "ViTModel", self.precision, self.device, self.trust_pickle, add_pooling_layer=False
        )
        found = []
        for images in reference.split(BATCH):
            pixels = pixel_values(images, self.model, "ViTImageProcessorPil").to(network.device, network.dtype)
            found.append(network(pixel_values=pixels).last_hidden_state[:, 1:].float())
        return normalize(torch.cat(found), dim=-1)

    @torch.no_grad()
    def score(self, prepared: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the score of each image [B]."""
        return greedy_matching(prepared, self.prepare(reconstruction))


def greedy_matching(first: Tensor, second: Tensor) -> Tensor:
    """Return 2RP/(R + P) of unit vectors [B, n, d] and [B, m, d]: each one's best partner on the other side, [B]."""
    similarity = first @ second.mT
    recall = similarity.amax(2).double().mean(1)
    precision = similarity.amax(1).double().mean(1)
    total = recall + precision
    return torch.where(total == 0, 0.0, 2 * recall * precision / total).cpu()
