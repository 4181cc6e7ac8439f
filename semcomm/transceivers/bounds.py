"""Links that are no transceivers: a bound, and bits without an image."""

from collections.abc import Sequence
from math import isinf

import torch
from torch import Tensor

from semcomm.channels import Channel
from semcomm.codecs.base import ChannelCode, SourceCodec
from semcomm.codecs.qam import QAM, Name
from semcomm.codecs.uncoded import Uncoded
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
