"""Image encoders of transformers: CLIP, ViT and DINOv2, by folder, hub id or short name."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from semcomm.errors import ModelError
from semcomm.models.cards import card_of
from semcomm.models.embeddings import pixel_values
from semcomm.models.encoders.base import ImageEncoder
from semcomm.models.loading import Precision, find, load_processor, load_transformer, weights_of
from semcomm.parsing import parse_json


class TransformerEncoder(ImageEncoder):
    """A vision transformer: its embedding of the whole image, and its last layer's tokens of the patches as a map.

    For its embedding an image goes through the model's own processor, which may cut the borders off; for a map it is
    scaled whole to the side asked for, with the model's mean and deviation, and position embeddings are interpolated.

    Args:
        model: a local folder, a hub id that was fetched, or the short name of a card.
        precision: of weights and arithmetic.
        device: `auto`, or as PyTorch names it.
        trust_pickle: read a pickle where the folder has no safetensors.
    """

    architecture: ClassVar[str]
    processor: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, model: str, precision: Precision = "float32", device: str = "auto", trust_pickle: bool = False
    ) -> None:
        self.model = model
        self.precision = precision
        self.device = device
        self.trust_pickle = trust_pickle
        self.name = model.rstrip("/").rpartition("/")[2]

    def weights(self) -> str:
        """Return the hash of the model."""
        return weights_of(self.model, self.trust_pickle)

    @property
    def stride(self) -> int:
        """Side of a patch in pixels."""
        config = self._network().config
        return getattr(config, "vision_config", config).patch_size

    def embed_batch(self, images: Sequence[Tensor]) -> Tensor:
        """Return the model's embeddings of whole images [B, d]."""
        network = self._network()
        return self._pooled(network, self._prepared(pixel_values(images, self.model, self.processor), network))

    def features_batch(self, images: Sequence[Tensor], side: int) -> Tensor:
        """Return the patches' tokens as maps [B, c, side / stride, side / stride]."""
        network, processor = self._network(), load_processor(self.model, self.processor)
        mean, deviation = (
            images[0].new_tensor(v).view(1, 3, 1, 1) for v in (processor.image_mean, processor.image_std)
        )
        scaled = [interpolate(i[None], (side, side), mode="bicubic", antialias=True).clamp(0, 1) for i in images]
        pixels = [self._prepared((image - mean) / deviation, network) for image in scaled]
        tokens = torch.cat([self._tokens(network, part) for part in pixels])
        return tokens.mT.unflatten(2, (side // self.stride, -1))

    def _prepared(self, pixels: Tensor, network: nn.Module) -> Tensor:
        return pixels.to(network.device, network.dtype)

    def _pooled(self, network: nn.Module, pixels: Tensor) -> Tensor:
        return network(pixel_values=pixels).last_hidden_state[:, 0]

    def _tokens(self, network: nn.Module, pixels: Tensor) -> Tensor:
        return network(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state[:, 1:]

    def _network(self) -> nn.Module:
        return load_transformer(
            self.model, self.architecture, self.precision, self.device, self.trust_pickle, **self.options
        )


class ViTEncoder(TransformerEncoder):
    """A ViT (Dosovitskiy et al., ICLR 2021): its class token embeds the image."""

    architecture, processor, options = "ViTModel", "ViTImageProcessorPil", {"add_pooling_layer": False}


class DINOv2Encoder(TransformerEncoder):
    """DINOv2 (Oquab et al., TMLR 2024): its class token embeds the image."""

    architecture, processor = "Dinov2Model", "BitImageProcessorPil"

    def _tokens(self, network: nn.Module, pixels: Tensor) -> Tensor:
        return network(pixel_values=pixels).last_hidden_state[:, 1:]  # it interpolates its positions unasked


class CLIPEncoder(TransformerEncoder):
    """CLIP (Radford et al., ICML 2021): its projected embedding, and the tokens of its vision tower."""

    architecture, processor = "CLIPModel", "CLIPImageProcessorPil"

    def _pooled(self, network: nn.Module, pixels: Tensor) -> Tensor:
        return network.get_image_features(pixels).pooler_output

    def _tokens(self, network: nn.Module, pixels: Tensor) -> Tensor:
        tower = network.vision_model
        hidden = tower(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state[:, 1:]
        return network.visual_projection(tower.post_layernorm(hidden))


KINDS = {"clip": CLIPEncoder, "vit": ViTEncoder, "dinov2": DINOv2Encoder}


def transformer_encoder(name: str, device: str = "auto") -> TransformerEncoder:
    """Return the encoder of a model by its folder, hub id or short name; its configuration says of which kind it is.

    Raises:
        ModelError: when it is not on this machine, or is of another kind.
    """
    folder = find(name)
    try:
        kind = parse_json((folder / "config.json").read_text()).get("model_type")
    except (OSError, ValueError, AttributeError):
        kind = None
    if kind not in KINDS:
        card = card_of(name)
        what = f"a {card.kind}" if card else f"of the kind {kind!r}"
        raise ModelError(f"{name}: is {what}; image encoders are {', '.join(KINDS)}, and those of semcomm")
    return KINDS[kind](name, device=device)
