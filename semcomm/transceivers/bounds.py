"""Links that are no transceivers: a bound, and bits without an image."""

from collections.abc import Sequence
from contextlib import suppress
from math import isinf

import numpy as np
import torch
from torch import Tensor

from semcomm.channels import Channel
from semcomm.codecs.base import ChannelCode, SourceCodec
from semcomm.codecs.qam import QAM, Name
from semcomm.codecs.uncoded import Uncoded
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
    images whose capacity is below the rate are lost, as they are when it was told too much. Told nothing (`csi: none`),
    it knows the statistics nevertheless. There is no signal, and nothing to count but the uses; `side_bits` are 0.

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
        told_db = channel.csi(seeds)
        knowledge = ChannelKnowledge(torch.where(told_db.isnan(), channel.snr_db, told_db), channel, seeds)
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


class RandomBits(Link):
    """Random bits through a code and a constellation, for bit and block error rates; the images pass untouched.

    Each image stands for `messages` messages of its own; `bit_errors / bits` and `block_errors / blocks`, summed over
    images and realisations, are the rates.

    Args:
        code: bits to coded bits; none sends them as they are.
        constellation: bits to symbols; none sends bits, over a channel that carries bits.
        payload_bits: length of a message.
        messages: how many messages an image stands for.
    """

    def __init__(
        self,
        code: ChannelCode | None = None,
        constellation: Name | QAM | None = "qpsk",
        payload_bits: int = 4096,
        messages: int = 10,
    ) -> None:
        if payload_bits < 1 or messages < 1:
            raise ConfigurationError("RandomBits needs payload_bits and messages of at least 1")
        self.code = code or Uncoded()
        self.constellation = QAM(constellation) if isinstance(constellation, str) else constellation
        self.payload_bits = payload_bits
        self.messages = messages

    def transmit(self, images: Tensor, channel: Channel, seeds: Sequence[Seed]) -> Reception:
        """Send the messages of each image and count what went wrong."""
        per_symbol = self.constellation.bits_per_symbol if self.constellation else 1
        coded_bits = self.code.coded_bits(self.payload_bits, per_symbol)
        columns = {"bits": [], "bit_errors": [], "blocks": [], "block_errors": []}
        for seed in seeds:
            rng = seed.generator("bits")
            sent = torch.randint(0, 2, (self.messages, self.payload_bits), generator=rng, dtype=torch.uint8)
            coded = torch.cat([self.code.encode(bits, coded_bits, per_symbol) for bits in sent])
            output = channel([self.constellation.modulate(coded) if self.constellation else coded], [seed])
            if self.constellation:
                llr = self.constellation.demodulate(*output.zero_forced()[0])
            else:
                llr = output.llr()[0]
            decoded = [self.code.decode(part, self.payload_bits, per_symbol) for part in llr.split(coded_bits)]
            wrong = torch.stack([d.bits for d in decoded]) != sent
            columns["bits"].append(sent.numel())
            columns["bit_errors"].append(int(wrong.sum()))
            columns["blocks"].append(sum(len(d.block_ok) for d in decoded))
            columns["block_errors"].append(sum(int((~d.block_ok).sum()) for d in decoded))
        total = self.messages * coded_bits
        ledger = Ledger.of(
            images,
            source_bits=self.messages * self.payload_bits,
            coded_bits=total,
            channel_uses=total // per_symbol if self.constellation else float("nan"),
        )
        return Reception(images=images, ledger=ledger, info=columns)
