"""Image encoders: the interface that every metric, loss and caption takes, and what finds one by name."""

import json
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from semcomm.errors import ConfigurationError, ModelError
from semcomm.models.component import UsesWeights
from semcomm.models.embeddings import embed_once

DEFAULT = "efficientnet-lite0-distilled"
"""The encoder of the default install."""


class ImageEncoder(UsesWeights):
    """A network that turns images into embeddings, and where it can into feature maps.

    Write one of your own as a subclass with `name`, `weights`, `embed_batch` and, for a map, `stride` and
    `features_batch`. Images of any size go in; each encoder scales them itself.

    Attributes:
        name: for columns and messages.
        stride: pixels of the scaled image per position of the feature map; None where there is no map.
    """

    name: str
    stride: ClassVar[int | None] = None

    @abstractmethod
    def weights(self) -> str:
        """Return a hash of the weights, without loading them where that is possible."""

    @abstractmethod
    def embed_batch(self, images: Sequence[Tensor]) -> Tensor:
        """Return one embedding [B, d] for each image [3, H, W] in [0, 1]; sizes may differ."""

    def features_batch(self, images: Sequence[Tensor], side: int) -> Tensor:
        """Return the feature maps [B, c, side / stride, side / stride] of images, each scaled to side x side."""
        raise ModelError(
            f"{self.name} has no feature map; what needs one takes {DEFAULT}, a CLIP, ViT or DINOv2, or an encoder "
            "with `stride` and `features_batch`"
        )

    def layers(self, images: Tensor) -> list[Tensor]:
        """Return maps [B, c, h, w] at one depth or more, with gradients: what a training loss compares.

        Args:
            images: [B, 3, S, S] on the encoder's device; S is a multiple of its stride.
        """
        return [self.features_batch(images, images.shape[-1])]

    def embed(self, images: Sequence[Tensor]) -> Tensor:
        """Return unit embeddings, `float32` [B, d] on the CPU, each image's computed once per process.

        Args:
            images: each [3, H, W] in [0, 1], of any size; a batch [B, 3, H, W] will do.

        Raises:
            ModelError: when an image is no [3, H, W], or the encoder returns something else than [B, d].
        """
        self._check(images)
        return embed_once(images, json.dumps(self.recipe(), sort_keys=True), self._unit)

    @torch.no_grad()
    def features(self, images: Sequence[Tensor], side: int = 384) -> Tensor:
        """Return feature maps, `float32` [B, c, side / stride, side / stride] on the CPU.

        Args:
            images: each [3, H, W] in [0, 1], of any size.
            side: of the square to which each image is scaled whole; a multiple of the stride.

        Raises:
            ModelError: when the encoder has no feature map, or `side` is no multiple of its stride.
        """
        self._check(images)
        if self.stride is not None and (side < self.stride or side % self.stride):
            raise ModelError(f"{self.name}: a side of {side} is no multiple of its stride, {self.stride}")
        return self.features_batch(images, side).float().cpu()

    @torch.no_grad()
    def _unit(self, images: Sequence[Tensor]) -> Tensor:
        found = self.embed_batch(images).float().cpu()
        if found.ndim != 2 or len(found) != len(images):
            raise ModelError(f"{self.name}: embeddings of {len(images)} images are [B, d], not {list(found.shape)}")
        return F.normalize(found, dim=1)

    def _check(self, images: Sequence[Tensor]) -> None:
        if wrong := [list(image.shape) for image in images if image.ndim != 3 or len(image) != 3]:
            raise ModelError(f"{self.name} takes images [3, H, W] in [0, 1], not {wrong[0]}")


def squash(images: Sequence[Tensor], side: int) -> Tensor:
    """Return images [3, H, W] of any shape as [B, 3, side, side], bilinear and antialiased: nothing is cut off."""
    found = [F.interpolate(i[None].float(), (side, side), mode="bilinear", antialias=True) for i in images]
    return torch.cat(found).clamp(0, 1).contiguous(memory_format=torch.channels_last)


def image_encoder(encoder: "str | ImageEncoder", device: str = "auto") -> ImageEncoder:
    """Return an encoder by name: of this package, or the folder, hub id or short name of a CLIP, ViT or DINOv2.

    Args:
        encoder: an `ImageEncoder`, which is returned as it is, or a name.
        device: where one that is named computes.

    Raises:
        ConfigurationError: when it is neither a name nor an `ImageEncoder`.
    """
    if isinstance(encoder, ImageEncoder):
        return encoder
    if not isinstance(encoder, str):
        raise ConfigurationError(f"an image encoder is a name or an ImageEncoder, not {type(encoder).__name__}")
    from semcomm.models.encoders.efficientnet import EfficientNetLite0
    from semcomm.models.encoders.transformers import TransformerEncoder

    own = {"efficientnet-lite0-distilled": "distilled", "efficientnet-lite0": "imagenet"}
    return EfficientNetLite0(own[encoder], device) if encoder in own else TransformerEncoder(encoder, device=device)
