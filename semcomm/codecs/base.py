"""The three kinds of codec in a separate link: image <-> bytes, bits <-> coded bits, bits <-> symbols."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor

from semcomm.component import Component
from semcomm.errors import RateError


class SourceCodec(Component, ABC):
    """Image <-> bytes."""

    embedded: bool = False
    """Whether a prefix of a stream decodes to a coarser image, about as good as a stream of its length."""

    @abstractmethod
    def encode(self, image: Tensor, max_bytes: int) -> bytes:
        """Code `image` [3, H, W] in [0, 1] into at most `max_bytes` bytes, as near to them as the codec can.

        Raises:
            RateError: when the codec has nothing that small for this image.
        """

    @abstractmethod
    def decode(self, payload: bytes) -> Tensor:
        """Decode `payload`, whole, cut short or damaged, into [3, H, W] in [0, 1], values k/255.

        Raises:
            DecodeError: when no image can be made of it.
        """

    def decode_sized(self, payload: bytes, height: int, width: int) -> Tensor:
        """Decode `payload` as `decode` does, where the size of the image is known from the control information.

        A codec whose payloads do not say the size needs it; others do without.
        """
        return self.decode(payload)


class Decoded(NamedTuple):
    """The result of a channel decoder.

    Attributes:
        bits: `uint8` [payload_bits].
        block_ok: `bool` [C], whether each code block passed its check; C is 0 where nothing is checked.
        block_bits: `int64` [C], how many payload bits each block carries, in order; they add up to payload_bits.
    """

    bits: Tensor
    block_ok: Tensor
    block_bits: Tensor

    def intact_bits(self) -> int:
        """Return how many payload bits precede the first lost block."""
        lost = (~self.block_ok).nonzero()
        return int(self.block_bits[: int(lost[0])].sum()) if len(lost) else len(self.bits)


class ChannelCode(Component, ABC):
    """Bits <-> coded bits. Everything is one image's stream; bits are `uint8`, LLRs `float32` log P(1)/P(0)."""

    @abstractmethod
    def payload_bits(self, coded_bits: int) -> int:
        """Return how many payload bits fit into `coded_bits` bits on the channel, at most.

        Raises:
            RateError: when nothing fits.
        """

    def blocks(self, payload_bits: int) -> int:
        """Return how many code blocks, each with a check of its own, `payload_bits` bits are cut into."""
        return 1

    def construction(self, payload_bits: int) -> str:
        """Return by which of the code's constructions `payload_bits` are coded; each has error rates of its own."""
        return ""

    def coded_bits(self, payload_bits: int, bits_per_symbol: int) -> int:
        """Return the fewest coded bits, in whole symbols, that carry `payload_bits`.

        Raises:
            RateError: when no number up to 64 times as many does.
        """

        def fits(symbols: int) -> bool:
            try:
                return self.payload_bits(symbols * bits_per_symbol) >= payload_bits
            except RateError:
                return False

        low, high = 0, -(-payload_bits // bits_per_symbol)
        while not fits(high):
            low, high = high, 2 * high
            if high * bits_per_symbol > 64 * payload_bits + 4096:
                raise RateError(f"{self!r} carries {payload_bits} bits in no number of coded bits")
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if fits(middle) else (middle, high)
        return high * bits_per_symbol

    @abstractmethod
    def encode(self, bits: Tensor, coded_bits: int, bits_per_symbol: int) -> Tensor:
        """Encode `bits` [n] into exactly `coded_bits` bits, a multiple of `bits_per_symbol`.

        Raises:
            RateError: when the code cannot do that.
        """

    @abstractmethod
    def decode(self, llr: Tensor, payload_bits: int, bits_per_symbol: int) -> Decoded:
        """Decode the LLRs [coded_bits] of `payload_bits` bits. Never raises for what the channel did."""


class Constellation(Component, ABC):
    """Bits <-> complex symbols of unit mean power under uniform use."""

    bits_per_symbol: int

    @abstractmethod
    def modulate(self, bits: Tensor) -> Tensor:
        """Map bits [n·bits_per_symbol] to `complex64` symbols [n]."""

    @abstractmethod
    def demodulate(self, symbols: Tensor, noise_variance: Tensor | float) -> Tensor:
        """Return the LLRs [n·bits_per_symbol] of received symbols [n].

        Args:
            symbols: received and equalised, `complex64` [n].
            noise_variance: N0 of the complex noise, a number or one per symbol [n].
        """
