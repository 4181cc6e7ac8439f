"""Uncoded 16QAM without its symbols: bits that flip as often as an approximation says."""

from collections.abc import Sequence
from math import erfc, log1p, log2, log10, sqrt

import torch
from torch import Tensor

from semcomm.channels.base import Channel, ChannelOutput, checked_snr
from semcomm.errors import ConfigurationError
from semcomm.seeds import Seed

BITS_PER_SYMBOL, POINTS = 4, 16


class BitFlips16QAM(Channel):
    """Flips each bit independently, as often as hard decisions on uncoded 16QAM over AWGN are said to be wrong.

    The model of the Img2Img-SC authors' code: the symbol error probability Ps of square QAM, and Ps/4 of it for a bit,
    as if every wrong symbol were a neighbour with one bit wrong. Exact Gray 16QAM has 4.4, 1.3 and 0.2 % more errors
    at Eb/N0 of 5, 7.5 and 10 dB (`QAM("16qam")` over `AWGN` gives those), and its errors come in the bits of one symbol
    and prefer two of its four bits.

    The authors' "SNR" of 5 to 10 dB is Eb/N0: `eb_n0_db`, or `snr_db` 11.02 to 16.02, 10·log10(4) dB more.

    Args:
        snr_db: Es/N0 in dB, as for the other channels. This or `eb_n0_db`.
        eb_n0_db: Eb/N0 in dB.
    """

    carries = "bits"

    def __init__(self, snr_db: float | None = None, eb_n0_db: float | None = None) -> None:
        if (snr_db is None) == (eb_n0_db is None):
            raise ConfigurationError("BitFlips16QAM takes either snr_db (Es/N0) or eb_n0_db")
        difference = 10 * log10(BITS_PER_SYMBOL)
        self.snr_db = checked_snr(eb_n0_db + difference if snr_db is None else snr_db)
        self.eb_n0_db = self.snr_db - difference
        self.crossover = bit_error_rate(self.eb_n0_db)

    def carry(self, sent: Sequence[Tensor], seeds: Sequence[Seed]) -> ChannelOutput:
        """Flip bits of each image."""
        received = [_flipped(bits, self.crossover, seed.generator("noise")) for bits, seed in zip(sent, seeds)]
        return ChannelOutput(received=received, crossover=torch.full((len(sent),), self.crossover))

    def csi(self, seeds: Sequence[Seed]) -> Tensor:
        """Return Es/N0 in dB per image [B]."""
        return torch.full((len(seeds),), self.snr_db)

    def capacity(self, seeds: Sequence[Seed], channel_uses: Sequence[int] | None = None) -> Tensor:
        """Return 1 - H2(crossover) bits per bit sent, per image [B]."""
        p = self.crossover
        entropy = -p * log2(p) - (1 - p) * log2(1 - p) if p > 0 else 0.0
        return torch.full((len(seeds),), 1 - entropy, dtype=torch.float64)


def bit_error_rate(eb_n0_db: float) -> float:
    """Return Ps/4, Ps being the symbol error probability of 16QAM on AWGN (Proakis, Digital Communications)."""
    eb_n0 = 10 ** (eb_n0_db / 10)
    axis = (1 - 1 / sqrt(POINTS)) * erfc(sqrt(3 * BITS_PER_SYMBOL * eb_n0 / (2 * (POINTS - 1))))
    return (1 - (1 - axis) ** 2) / BITS_PER_SYMBOL


def _flipped(bits: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """Flip each bit with a probability. The gaps between flips are geometric: there are far fewer of them than bits."""
    received = bits.clone()
    if probability < 1e-12:
        return received
    scale = 1 / log1p(-probability)
    values, at = received.numpy(), -1
    while at < len(bits):
        left = (len(bits) - at) * probability
        uniform = torch.rand(int(left + 6 * sqrt(left)) + 16, generator=rng)
        gaps = uniform.neg_().log1p_().mul_(scale).clamp_max_(len(bits)).to(torch.int64).add_(1)
        places = gaps.cumsum_(0).add_(at)
        at = int(places[-1])
        flipped = places[: int(torch.searchsorted(places, len(bits)))].numpy()
        values[flipped] = values[flipped] ^ 1
    return received
