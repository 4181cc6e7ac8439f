"""CLIP (Radford et al., ICML 2021): images and texts embedded in one space, through transformers."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from semcomm.errors import ModelError
from semcomm.models.embeddings import BATCH, embed_once, pixel_values
from semcomm.models.loading import Precision, load_processor, load_transformer, weights_of

DEFAULT = "clip-vit-h-14"


class CLIP:
    """Embeds images and texts as unit vectors.

    It is light: the weights are loaded, and shared with every other user of them, when something is embedded.

    Args:
        model: a local folder, a hub id that was fetched, or the short name of a card.
        precision: of weights and arithmetic; embeddings are float32 either way.
        device: `auto`, or as PyTorch names it.
        trust_pickle: read a pickle where the folder has no safetensors.
    """

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

    def weights(self) -> str:
        """Return the hash of the model."""
        return weights_of(self.model, self.trust_pickle)

    def embed_images(self, images: Sequence[Tensor]) -> Tensor:
        """Return unit embeddings [B, d], on the CPU.

        An image goes through the model's own processor: short side to its size, bicubic, and the centre cut out.

        Args:
            images: each [3, H, W] in [0, 1], of any size; a batch [B, 3, H, W] will do.

        Raises:
            ModelError: when the weights are missing or wrong.
        """
        return embed_once(images, f"clip {self.weights()} {self.precision}", self._embed)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit embeddings [n, d], on the CPU; a text is cut at the model's length, 77 tokens.

        Raises:
            ModelError: when the weights are missing or wrong.
        """
        network = self._network()
        tokenizer = load_processor(self.model, "CLIPTokenizer")
        length = network.config.text_config.max_position_embeddings
        found = []
        for start in range(0, len(texts), BATCH):
            tokens = tokenizer(
                list(texts[start : start + BATCH]),
                padding=True,
                truncation=True,
                max_length=length,
                return_tensors="pt",
            )
            found.append(network.get_text_features(**tokens.to(network.device)).pooler_output)
        return normalize(torch.cat(found).float(), dim=1).cpu()

    @torch.no_grad()
    def _embed(self, images: Sequence[Tensor]) -> Tensor:
        network = self._network()
        pixels = pixel_values(images, self.model, "CLIPImageProcessorPil")
        if pixels.shape[-1] != network.config.vision_config.image_size:
            raise ModelError(
                f"{self.model}: its processor makes images of {pixels.shape[-1]} pixels, its network takes "
                f"{network.config.vision_config.image_size}: the folder mixes two models"
            )
        features = network.get_image_features(pixels.to(network.device, network.dtype)).pooler_output
        return normalize(features.float(), dim=1).cpu()

    def _network(self):
        return load_transformer(self.model, "CLIPModel", self.precision, self.device, self.trust_pickle)
