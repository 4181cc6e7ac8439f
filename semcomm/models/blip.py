"""BLIP (Li et al., ICML 2022): captions of images, through transformers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from semcomm import memo
from semcomm.images import content_hash
from semcomm.models.embeddings import pixel_values
from semcomm.models.loading import Precision, load_processor, load_transformer, weights_of

MAX_TOKENS = 30
"""Longest caption; BLIP's own captions of COCO have about ten words."""


class Captioner:
    """Writes a caption of each image, by greedy decoding.

    It is light: the weights are loaded, and shared with every other user of them, when a caption is asked for.

    Args:
        model: a local folder, a hub id that was fetched, or the short name of a card.
        precision: of weights and arithmetic.
        device: `auto`, or as PyTorch names it.
        trust_pickle: read a pickle where the folder has no safetensors.
    """

    def __init__(
        self,
        model: str = "blip-base",
        precision: Precision = "fp32",
        device: str = "auto",
        trust_pickle: bool = False,
    ) -> None:
        self.model = model
        self.precision = precision
        self.device = device
        self.trust_pickle = trust_pickle

    def weights(self) -> str:
        """Return the hash of the model."""
        return weights_of(self.model, self.trust_pickle)

    def captions(self, images: Sequence[Tensor]) -> list[str]:
        """Return a caption of each image; the memo keeps them, so a sweep writes each once.

        One image at a time, so that a caption does not depend on what else is in the batch.

        Args:
            images: each [3, H, W] in [0, 1], of any size; a batch [B, 3, H, W] will do.

        Raises:
            ModelError: when the weights are missing or wrong.
        """
        recipe = {"captioner": self.weights(), "precision": self.precision, "tokens": MAX_TOKENS}
        return [
            memo.current()
            .get({**recipe, "image": content_hash(image)}, lambda image=image: self._write(image).encode())
            .decode()
            for image in images
        ]

    @torch.no_grad()
    def _write(self, image: Tensor) -> str:
        network = load_transformer(
            self.model, "BlipForConditionalGeneration", self.precision, self.device, self.trust_pickle
        )
        pixels = pixel_values([image], self.model, "BlipImageProcessorPil").to(network.device, network.dtype)
        tokens = network.generate(pixel_values=pixels, max_new_tokens=MAX_TOKENS, num_beams=1, do_sample=False)
        return load_processor(self.model, "AutoTokenizer").decode(tokens[0], skip_special_tokens=True).strip()
