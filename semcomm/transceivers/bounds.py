"""The bound for separate coding: no signal, and an ideal code."""

from collections.abc import Sequence
from math import isinf

import torch
from torch import Tensor

from semcomm.channels import Channel
from semcomm.codecs.base import SourceCodec
from semcomm.errors import ConfigurationError, RateError
from semcomm.ledger import Ledger
from semcomm.seeds import Seed
from semcomm.transceivers.base import Link, Reception


class AtCapacity(Link):
    """The bound for separate coding: a source codec, and an ideal code that reaches capacity without error.

    The transmitter knows the capacity that the image's channel has. Without a signal there is nothing to count on
    the channel but the uses; `side_bits` are 0.

    Args:
        source: image to bytes.
        channel_uses_per_pixel: budget in complex symbols per pixel.
    """

    def __init__(self, source: SourceCodec, channel_uses_per_pixel: float) -> None:
        if not channel_uses_per_pixel > 0:
            raise ConfigurationError(f"channel_uses_per_pixel is {channel_uses_per_pixel}; it must be above 0")
        self.source = source
        self.channel_uses_per_pixel = channel_uses_per_pixel

    def transmit(self, images: Tensor, channel: Channel, seeds: Sequence[Seed]) -> Reception:
        """Code each image into as many bits as the channel can carry."""
        uses = int(self.channel_uses_per_pixel * images.shape[-1] * images.shape[-2])
        capacities = channel.capacity(seeds, [uses] * len(images)).tolist()
        if any(isinf(capacity) for capacity in capacities):
            raise ConfigurationError("AtCapacity needs a channel with noise: the capacity of this one is infinite")
        received, source_bits = [], []
        for image, capacity in zip(images, capacities):
            try:
                payload = self.source.encode(image, int(capacity * uses) // 8)
                received.append(self.source.decode(payload))
            except RateError:
                payload = b""
                received.append(image.mean((1, 2), keepdim=True).expand_as(image))
            source_bits.append(8 * len(payload))
        infeasible = [bits == 0 for bits in source_bits]
        return Reception(
            images=(torch.stack(received) * 255).round() / 255,
            ledger=Ledger.of(images, source_bits=source_bits, channel_uses=uses),
            info={"decode_failed": infeasible, "infeasible": infeasible},
        )
