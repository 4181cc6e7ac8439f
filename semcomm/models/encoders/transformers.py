"""Image encoders of transformers: CLIP, ViT and DINOv2, by folder, hub id or short name."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from semcomm.errors import ModelError
from semcomm.models.embeddings import pixel_values
from semcomm.models.encoders.base import ImageEncoder
from semcomm.models.loading import Precision, find, load_processor, load_transformer, weights_of
from semcomm.parsing import parse_json


class Kind(NamedTuple):
    """Parts to load of a kind of model: classes of transformers, and options of the first."""

    architecture: str
    processor: str
    options: dict[str, Any]


KINDS = {
    "clip": Kind("CLIPModel", "CLIPImageProcessorPil", {}),
    "vit": Kind("ViTModel", "ViTImageProcessorPil", {"add_pooling_layer": False}),
    "dinov2": Kind("Dinov2Model", "BitImageProcessorPil", {}),
}
"""By `model_type` of their configuration: CLIP (Radford et al., ICML 2021), ViT (Dosovitskiy et al., ICLR 2021) and
DINOv2 (Oquab et al., TMLR 2024)."""


class TransformerEncoder(ImageEncoder):
    """A vision transformer: its embedding of the whole image, and its last layer's tokens of the patches as a map.

    The embedding is CLIP's projected one, or the class token of a ViT or DINOv2; CLIP's tokens are projected likewise.
    For it an image goes through the model's own processor, which may cut the borders off; for a map it is scaled whole
    to the side asked for, with the model's mean and deviation, and position embeddings are interpolated.

    It is light: the model is looked for when something is embedded.

    Args:
        model: a local folder, a hub id that was fetched, or the short name of a card.
        precision: of weights and arithmetic.
        device: `auto`, or as PyTorch names it.
        trust_pickle: read a pickle where the folder has no safetensors.
    """

    def __init__(
        self, model: str, precision: Precision = "fp32", device: str = "auto", trust_pickle: bool = False
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
    def kind(self) -> str:
        """Which kind of model it is, by its configuration.

        Raises:
            ModelError: when it is not on this machine, or is of a kind that is not known here.
        """
        folder = find(self.model)
        try:
            kind = parse_json((folder / "config.json").read_text()).get("model_type")
        except (OSError, ValueError, AttributeError):
            kind = None
        if kind not in KINDS:
            known = f"{', '.join(KINDS)}, and those of semcomm"
            raise ModelError(f"{self.model}: is of the kind {kind or 'unknown'!r}; image encoders are {known}")
        return kind

    @property
    def stride(self) -> int:
        """Side of a patch in pixels."""
        config = self._network().config
        return getattr(config, "vision_config", config).patch_size

    def embed_batch(self, images: Sequence[Tensor]) -> Tensor:
        """Return the model's embeddings of whole images [B, d]."""
        network = self._network()
        pixels = pixel_values(images, self.model, KINDS[self.kind].processor).to(network.device, network.dtype)
        if self.kind == "clip":
            return network.get_image_features(pixels).pooler_output
        return network(pixel_values=pixels).last_hidden_state[:, 0]

    def features_batch(self, images: Sequence[Tensor], side: int) -> Tensor:
        """Return the patches' tokens as maps [B, c, side / stride, side / stride]."""
        network, processor = self._network(), load_processor(self.model, KINDS[self.kind].processor)
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (processor.image_mean, processor.image_std))
        scaled = [interpolate(i[None].cpu(), (side, side), mode="bicubic", antialias=True) for i in images]
        pixels = ((torch.cat(scaled).clamp(0, 1) - mean) / deviation).to(network.device, network.dtype)
        return self._tokens(network, pixels).mT.unflatten(2, (side // self.stride, -1))

    def _tokens(self, network: nn.Module, pixels: Tensor) -> Tensor:
        if self.kind == "dinov2":  # it interpolates its positions unasked
            return network(pixel_values=pixels).last_hidden_state[:, 1:]
        if self.kind == "vit":
            return network(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state[:, 1:]
        tower = network.vision_model
        hidden = tower(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state[:, 1:]
        return network.visual_projection(tower.post_layernorm(hidden))

    def _network(self) -> nn.Module:
        kind = KINDS[self.kind]
        return load_transformer(
            self.model, kind.architecture, self.precision, self.device, self.trust_pickle, **kind.options
        )
