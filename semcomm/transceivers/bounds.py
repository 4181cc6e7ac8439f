"""The bound for separate coding: no signal, and an ideal code."""

from collections.abc import Sequence
from contextlib import suppress
from math import isinf

import numpy as np
import torch
from torch import Tensor

from semcomm.channels import Channel
from semcomm.codecs.base import SourceCodec
from semcomm.errors import ConfigurationError, RateError
from semcomm.images import quantise
from semcomm.ledger import Ledger
from semcomm.seeds import Seed
from semcomm.transceivers.base import Link, Reception
from semcomm.transceivers.expectation import ExpectedPSNR
from semcomm.transceivers.knowledge import ChannelKnowledge


class AtCapacity(Link):
    """The bound for separate coding: a source codec, and an ideal code of any rate.

    The transmitter knows of the channel what `Adaptive` does. If that is one SNR, or one for each channel use, it codes
    for their capacity. If it is the statistics of the fading, it takes the rate with the greatest PSNR expected, and
    images whose capacity is below the rate are lost, as they are when it overestimates the SNR. With `csi: none` it
    knows the statistics nevertheless. There is no signal, and nothing to count but the uses; `side_bits` are 0.

    Args:
        source: image to bytes.
        channel_uses_per_pixel: budget in complex symbols per pixel.
    """

    version = 2

    def __init__(self, source: SourceCodec, channel_uses_per_pixel: float) -> None:
        if not channel_uses_per_pixel > 0:
            raise ConfigurationError(f"channel_uses_per_pixel is {channel_uses_per_pixel}; it must be above 0")
        self.source = source
        self.channel_uses_per_pixel = channel_uses_per_pixel

    def transmit(self, images: Tensor, channel: Channel, seeds: Sequence[Seed]) -> Reception:
        """Code each image into as many bits as the channel is expected to carry."""
        uses = int(self.channel_uses_per_pixel * images.shape[-1] * images.shape[-2])
        capacities = channel.capacity(seeds, [uses] * len(images)).tolist()
        if any(isinf(capacity) for capacity in capacities):
            raise ConfigurationError("AtCapacity needs a channel with noise: the capacity of this one is infinite")
        known_db = channel.csi(seeds)
        knowledge = ChannelKnowledge(torch.where(known_db.isnan(), channel.snr_db, known_db), channel, seeds)
        received, source_bits, outage = [], [], []
        for number, (image, capacity) in enumerate(zip(images, capacities)):
            rate = capacity
            if not knowledge.snr_db[number].isnan():
                rate = self._rate(image, knowledge.states(number, uses).capacity(), uses)
            outage.append(rate > capacity * (1 + 1e-3))
            payload = b""
            with suppress(RateError):
                payload = self.source.encode(image, int(rate * uses) // 8)
            lost = outage[-1] or not payload
            received.append(
                image.mean((1, 2), keepdim=True).expand_as(image)
                if lost
                else self.source.decode_sized(payload, *image.shape[1:])
            )
            source_bits.append(8 * len(payload))
        infeasible = [bits == 0 for bits in source_bits]
        return Reception(
            images=quantise(torch.stack(received)),
            ledger=Ledger.of(images, source_bits=source_bits, channel_uses=uses),
            info={
                "decode_failed": [a or b for a, b in zip(outage, infeasible)],
                "infeasible": infeasible,
                "outage": outage,
            },
        )

    def _rate(self, image: Tensor, capacities: np.ndarray, uses: int) -> float:
        """Return the rate in bits per channel use that promises the best image over the courses [courses]."""
        if len(capacities) == 1:
            return float(capacities[0])
        rates = np.sort(capacities)
        arrives = 1 - np.arange(len(rates)) / len(rates)
        worth = ExpectedPSNR(self.source, image, [int(rate * uses) for rate in rates], damage="discard")
        expected = [p * worth(r * uses, r * uses) + (1 - p) * worth(0, 1) for r, p in zip(rates, arrives)]
        return float(rates[int(np.argmax(expected))])
