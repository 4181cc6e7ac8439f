"""The interface of a learned codec's network: its layers, both sides of the link, and its loading from a card."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Self

import torch
from torch import Tensor, nn

from semcomm.errors import ConfigurationError


@dataclass(frozen=True)
class Layer:
    """The symbols of one layer.

    Attributes:
        stride: of their grid, in pixels.
        symbols: complex symbols in each cell of the grid.
    """

    stride: int
    symbols: int


class LearnedNetwork(nn.Module, ABC):
    """Both sides of a learned codec: images to channel symbols in one or more layers, and back.

    A subclass sets `layers` and `options` in its constructor and implements `encode` and `decode`. That is all that
    `Codec`, the transceivers and the trainings need: a trained network's card names its class and its options, from
    which `from_card` builds it again. The other methods have defaults for a network that is loaded whole.

    Attributes:
        layers: of symbols, from the base on; their strides never grow.
        options: the constructor's arguments as JSON data, for the card.
        constellation: of the symbols: `analog`, `qpsk`, `16qam` or `64qam`.
        encoder: the transmitter's modules.
        decoder: the receiver's.
    """

    layers: Sequence[Layer]
    options: Mapping[str, Any]
    constellation: str = "analog"
    encoder: nn.Module
    decoder: nn.Module

    @property
    def held(self) -> int:
        """Number of the layers whose weights are there, from the base on."""
        return len(self.layers)

    @property
    def stride(self) -> int:
        """Side of a block in pixels. The sides of images are multiples of it, and a plan has one entry for each."""
        return self.layers[0].stride

    @property
    def uses(self) -> list[int]:
        """Channel uses of a block with 1, 2, ... layers."""
        return list(accumulate(layer.symbols * (self.stride // layer.stride) ** 2 for layer in self.layers))

    def presence(self, plan: Tensor, index: int) -> Tensor:
        """Return 1 where a plan [B, h, w] has layer `index` (from 0), else 0: `float32` [B, 1, h', w'] on its grid."""
        factor = self.stride // self.layers[index].stride
        there = (plan > index).float()[:, None]
        return there.repeat_interleave(factor, 2).repeat_interleave(factor, 3) if factor > 1 else there

    @abstractmethod
    def encode(self, images: Tensor, snr_db: Tensor, plan: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the symbols of each layer that the plan uses, and their gains, which the receiver must know.

        Symbols have mean power 1 (analog) or at most 1 (a constellation) over each image's present positions.

        Args:
            images: [B, 3, H, W] in [0, 1], sides divisible by `stride`.
            snr_db: known to the transmitter [B].
            plan: layers of each block [B, H/stride, W/stride].

        Returns:
            [B, 2·symbols, h, w] for each layer (first the in-phase parts, then the quadrature parts), zero where the
            layer is absent; and gains [B, layers], or [B, 0] where the receiver needs none.
        """

    @abstractmethod
    def decode(self, symbols: Sequence[Tensor], gains: Tensor, snr_db: Tensor, plan: Tensor) -> Tensor:
        """Return images [B, 3, H, W], not clamped, from estimates of the symbols, arranged as by `encode`.

        Args:
            symbols: of the first layers, as many as there are, at most `held`.
            gains: of these layers at least, [B, layers].
            snr_db: of the estimates [B].
            plan: layers of each block [B, h, w]; layers beyond `symbols` are ignored.
        """

    @classmethod
    def from_card(cls, card: Mapping[str, Any], held: int | None = None, constellation: str | None = None) -> Self:
        """Return the network that a card describes; its weights are loaded afterwards.

        Args:
            card: of the checkpoint; `network` holds the constructor's arguments.
            held: layers to hold, from the base on; None for all.
            constellation: one of the card's; None for the first.

        Raises:
            ConfigurationError: when the network cannot hold so many layers.
        """
        network = cls(**card["network"])
        if held not in (None, len(network.layers)):
            raise ConfigurationError(f"{cls.__name__} has {len(network.layers)} slices that load together, not {held}")
        return network

    @staticmethod
    def layer_of(name: str) -> int:
        """Return the layer (from 0) without which the tensor called `name` is not needed."""
        return 0

    def receiver_weights(self, layers: int) -> Iterator[nn.Parameter]:
        """Yield the weights that a receiver of the first `layers` layers needs."""
        yield from self.decoder.parameters()


def uniform_plan(images: Tensor, network: LearnedNetwork, layers: int) -> Tensor:
    """Return the plan `uint8` [B, h, w] with the first `layers` layers in every block of images [B, 3, H, W]."""
    height, width = (side // network.stride for side in images.shape[2:])
    return torch.full((len(images), height, width), layers, dtype=torch.uint8)
