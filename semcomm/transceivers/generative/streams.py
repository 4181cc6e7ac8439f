"""Several streams of bits in one transmission, each protected in its own way, and one ledger for all."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from semcomm.channels import ChannelOutput
from semcomm.codecs import QAM, ChannelCode, Uncoded
from semcomm.codecs.base import Decoded
from semcomm.codecs.qam import Name
from semcomm.errors import ConfigurationError
from semcomm.ledger import Ledger
from semcomm.transceivers.base import Info, Signal, Transceiver

SIZE_BITS = 32
"""Height and width of the original, as side information."""


class Message(NamedTuple):
    """The content of one stream for one image.

    Attributes:
        bits: `uint8` [n].
        side_bits: of its side information.
        side: its side information.
    """

    bits: Tensor
    side_bits: int = 0
    side: Any = None


@dataclass(frozen=True)
class StreamControl:
    """The side information of one image.

    Attributes:
        height: of the original.
        width: of the original.
        payload_bits: stream -> bits before coding.
        coded_bits: stream -> bits as sent.
        side: stream -> its own side information.
    """

    height: int
    width: int
    payload_bits: dict[str, int]
    coded_bits: dict[str, int]
    side: dict[str, Any]


class Multiplexed(Transceiver):
    """A transceiver that sends named streams of bits, one after the other.

    A subclass turns images into messages and what arrived of them into images. Every stream goes through its channel
    code; without one it is sent as it is and decided symbol by symbol. Coded bits are filled up to whole symbols.
    """

    codes: Mapping[str, ChannelCode]
    """Stream -> its code, in the order of sending."""
    constellation: QAM | None

    def _over(self, constellation: Name | QAM | None, **codes: ChannelCode) -> None:
        self.constellation = QAM(constellation) if isinstance(constellation, str) else constellation
        self.codes = codes

    @abstractmethod
    def messages(self, images: Tensor, rng: Sequence[torch.Generator]) -> list[dict[str, Message]]:
        """Return stream -> message of each of `images` [B, 3, H, W]."""

    @abstractmethod
    def reconstructed(
        self,
        received: Sequence[Mapping[str, Decoded]],
        control: Sequence[StreamControl],
        rng: Sequence[torch.Generator],
    ) -> tuple[Tensor, Info]:
        """Return images [B, 3, H, W] of what arrived, and what there is to say about each."""

    def send(self, images: Tensor, snr_db: Tensor, rng: Sequence[torch.Generator]) -> Signal:
        """Turn `images` [B, 3, H, W] into symbols, or into bits where there is no constellation."""
        messages = self.messages(images, rng)
        per_symbol = self._bits_per_symbol
        coded = [{name: self._coded(name, m.bits) for name, m in row.items()} for row in messages]
        ledger = Ledger.of(images, source_bits=0, side_bits=SIZE_BITS)
        for name in self.codes:
            lengths = [len(row[name]) for row in coded]
            ledger += Ledger.of(
                images,
                source_bits=[len(row[name].bits) for row in messages],
                coded_bits=lengths,
                channel_uses=[n / per_symbol for n in lengths] if self.constellation else float("nan"),
                side_bits=[row[name].side_bits for row in messages],
            )
        control = [
            StreamControl(
                *images.shape[2:],
                payload_bits={name: len(m.bits) for name, m in row.items()},
                coded_bits={name: len(bits) for name, bits in sent.items()},
                side={name: m.side for name, m in row.items()},
            )
            for row, sent in zip(messages, coded)
        ]
        sent = [torch.cat([row[name] for name in self.codes]) for row in coded]
        if self.constellation is None:
            return Signal(ledger, bits=sent, control=control)
        return Signal(ledger, symbols=[self.constellation.modulate(bits) for bits in sent], control=control)

    def receive(
        self, output: ChannelOutput, control: Sequence[StreamControl], rng: Sequence[torch.Generator]
    ) -> tuple[Tensor, Info]:
        """Take the streams apart, decode each, and make images [B, 3, H, W] of them."""
        soft = None
        if self.constellation:
            arrived = output.zero_forced()
        else:
            arrived = output.received
            soft = output.llr() if any(not isinstance(code, Uncoded) for code in self.codes.values()) else None
        streams = []
        for n, known in enumerate(control):
            start, found = 0, {}
            for name in self.codes:
                part = slice(start, start + known.coded_bits[name])
                found[name] = self._decoded(name, known.payload_bits[name], arrived[n], soft and soft[n], part)
                start = part.stop
            streams.append(found)
        images, info = self.reconstructed(streams, control, rng)
        blocks = [[d.block_ok for d in row.values()] for row in streams]
        counts = {
            "blocks": [sum(len(ok) for ok in row) for row in blocks],
            "block_errors": [sum(int((~ok).sum()) for ok in row) for row in blocks],
        }
        return images, {**counts, **info}

    @property
    def _bits_per_symbol(self) -> int:
        return self.constellation.bits_per_symbol if self.constellation else 1

    def _coded(self, name: str, bits: Tensor) -> Tensor:
        if not len(bits):
            return bits
        code, per_symbol = self.codes[name], self._bits_per_symbol
        return code.encode(bits, code.coded_bits(len(bits), per_symbol), per_symbol)

    def _decoded(self, name: str, payload_bits: int, arrived: Any, soft: Tensor | None, part: slice) -> Decoded:
        """Decode one stream: the `part` of what arrived, counted in coded bits."""
        code, per_symbol = self.codes[name], self._bits_per_symbol
        none = torch.zeros(0, dtype=torch.int64)
        if not payload_bits:
            return Decoded(none.to(torch.uint8), none.bool(), none)
        hard = isinstance(code, Uncoded)
        if self.constellation is None:
            if hard:
                return Decoded(arrived[part][:payload_bits], none.bool(), none)
            return code.decode(soft[part], payload_bits, per_symbol)
        symbols, variance = arrived
        uses = slice(part.start // per_symbol, part.stop // per_symbol)
        if hard:
            return Decoded(self.constellation.decide(symbols[uses])[:payload_bits], none.bool(), none)
        variance = variance[uses] if variance.ndim else variance
        return code.decode(self.constellation.demodulate(symbols[uses], variance), payload_bits, per_symbol)


def checked_steps(steps: int, guidance: float) -> None:
    """Refuse a number of steps or a guidance that makes no sense."""
    if not 1 <= steps <= 1000:
        raise ConfigurationError(f"steps is {steps}; it is 1 to 1000")
    if not 0 <= guidance <= 100:
        raise ConfigurationError(f"guidance is {guidance}; it is a scale from 0 to 100, 1 having none")
