"""Random bits through a code and a constellation, without an image: bit and block error rates."""

from collections.abc import Sequence

import torch
from torch import Tensor

from semcomm.channels import Channel
from semcomm.codecs.base import ChannelCode
from semcomm.codecs.qam import QAM, Name
from semcomm.codecs.uncoded import Uncoded
from semcomm.errors import ConfigurationError
from semcomm.ledger import Ledger
from semcomm.seeds import Seed
from semcomm.transceivers.base import Link, Reception


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
