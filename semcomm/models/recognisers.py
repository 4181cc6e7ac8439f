"""Recognisers: image classifiers, by which one asks whether an image still shows what it showed."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from semcomm.errors import ConfigurationError, ModelError
from semcomm.models.component import UsesWeights
from semcomm.models.embeddings import BATCH, pixel_values
from semcomm.models.encoders.base import squash
from semcomm.models.encoders.efficientnet import SIDE, EfficientNetLite0
from semcomm.models.encoders.efficientnet_network import CLASSES
from semcomm.models.loading import Precision, find, load_transformer, weights_of
from semcomm.parsing import parse_json

DEFAULT = "efficientnet-lite0"


class Recogniser(UsesWeights):
    """A classifier of images. Write one of your own as a subclass with `name`, `weights` and `logits`."""

    name: str

    @abstractmethod
    def weights(self) -> str:
        """Return a hash of the weights."""

    @abstractmethod
    def logits(self, images: Sequence[Tensor]) -> Tensor:
        """Return the logits of each image [3, H, W] in [0, 1], [B, classes]."""

    @torch.no_grad()
    def probabilities(self, images: Sequence[Tensor]) -> Tensor:
        """Return the probability of each class, `float32` [B, classes] on the CPU.

        Raises:
            ModelError: when the recogniser returns something else than [B, classes].
        """
        found = [self.logits(images[start : start + BATCH]).float().cpu() for start in range(0, len(images), BATCH)]
        logits = torch.cat(found)
        if logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
            raise ModelError(f"{self.name}: logits of {len(images)} images are [B, classes], not {list(logits.shape)}")
        return logits.softmax(1)


class EfficientNetLite0Classifier(Recogniser):
    """EfficientNet-Lite0 with the 1,000 classes of ImageNet, as Google published it; a whole image at 224x224.

    Args:
        device: `auto`, or as PyTorch names it.
    """

    name = "EfficientNet-Lite0"

    def __init__(self, device: str = "auto") -> None:
        self.device = device
        self._encoder = EfficientNetLite0("imagenet", device)

    def weights(self) -> str:
        """Return the SHA-256 (hex) of the weights' file."""
        return self._encoder.weights()

    def logits(self, images: Sequence[Tensor]) -> Tensor:
        """Return the logits [B, 1000], in ImageNet's order."""
        network = self._encoder.network(CLASSES)
        return network(squash(images, SIDE).to(network._fc.weight.device))


class TransformerClassifier(Recogniser):
    """An image classifier of transformers (ViT, ResNet, Swin, ...): any `...ForImageClassification`.

    Args:
        model: a local folder, or a hub id that was fetched.
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

    def logits(self, images: Sequence[Tensor]) -> Tensor:
        """Return the logits [B, classes], in the model's order; images go through the model's own processor."""
        network = self._network()
        pixels = pixel_values(images, self.model, "AutoImageProcessor")
        return network(pixel_values=pixels.to(network.device, network.dtype)).logits

    def _network(self) -> nn.Module:
        architecture = _architecture(self.model)
        return load_transformer(self.model, architecture, self.precision, self.device, self.trust_pickle)


def _architecture(name: str) -> str:
    folder = find(name)
    try:
        configuration: Any = parse_json((folder / "config.json").read_text())
        (architecture,) = configuration["architectures"]
    except (OSError, ValueError, LookupError, TypeError):
        raise ModelError(f"{name}: its config.json names no architecture, so it is no model of transformers") from None
    if not architecture.endswith("ForImageClassification"):
        raise ModelError(f"{name}: is a {architecture}, which classifies no images")
    return architecture


def recogniser(which: str | Recogniser) -> Recogniser:
    """Return a recogniser by name: `efficientnet-lite0`, or the folder or hub id of a classifier of transformers.

    Raises:
        ConfigurationError: when it is neither a name nor a `Recogniser`.
    """
    if isinstance(which, Recogniser):
        return which
    if not isinstance(which, str):
        raise ConfigurationError(f"a recogniser is a name or a Recogniser, not {type(which).__name__}")
    return EfficientNetLite0Classifier() if which == DEFAULT else TransformerClassifier(which)
