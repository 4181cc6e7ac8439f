"""No channel code: the plain hard-decision path."""

import torch
from torch import Tensor

from semcomm.codecs.base import ChannelCode, Decoded
from semcomm.errors import RateError


class Uncoded(ChannelCode):
    """Sends the bits as they are and decides each by the sign of its LLR. Nothing is checked, so no block is lost."""

    def payload_bits(self, coded_bits: int) -> int:
        """Return `coded_bits`."""
        return coded_bits

    def encode(self, bits: Tensor, coded_bits: int, bits_per_symbol: int) -> Tensor:
        """Return `bits` [n], with zeros behind them up to `coded_bits`."""
        return torch.nn.functional.pad(bits, (0, coded_bits - len(bits)))

    def decode(self, llr: Tensor, payload_bits: int, bits_per_symbol: int) -> Decoded:
        """Return the hard decisions of the first `payload_bits` LLRs, and no blocks.

        Raises:
            RateError: when there are not so many.
        """
        if not 0 <= payload_bits <= len(llr):
            raise RateError(f"{payload_bits} payload bits: {len(llr)} coded bits carry 0 to {len(llr)}.")
        none = torch.zeros(0, dtype=torch.int64)
        return Decoded((llr[:payload_bits] > 0).to(torch.uint8), none.bool(), none)
