"""Channels without memory or fading: noiseless, additive white Gaussian noise, binary symmetric."""

from collections.abc import Sequence
from math import inf, log2, nan
from typing import Literal

import torch
from torch import Tensor

from semcomm.channels.base import Channel, ChannelOutput, checked_snr, complex_normal, noise_variance
from semcomm.errors import ConfigurationError
from semcomm.seeds import Seed


class Noiseless(Channel):
    """A channel without noise: for source coding alone. It carries symbols and bits."""

    carries = "either"

    def carry(self, sent: Sequence[Tensor], seeds: Sequence[Seed]) -> ChannelOutput:
        """Pass on what is sent."""
        none = torch.zeros(len(sent))
        return ChannelOutput(received=sent, noise_variance=none, crossover=none)

    def csi(self, seeds: Sequence[Seed]) -> Tensor:
        """Return an infinite SNR per image [B]."""
        return torch.full((len(seeds),), inf)

    def capacity(self, seeds: Sequence[Seed], channel_uses: Sequence[int] | None = None) -> Tensor:
        """Return infinity per image [B]."""
        return torch.full((len(seeds),), inf)


class AWGN(Channel):
    """Additive white Gaussian noise: y = x + n, n ~ CN(0, N0), N0 = 10^(-snr_db/10).

    Args:
        snr_db: Es/N0 in dB, for symbols of power 1. N0 follows from it alone, never from the symbols sent.
        csi: what the transmitter knows: the `average` SNR, or `none`.
        csi_error_db: added to the SNR that the transmitter knows, for curves over a wrongly known SNR.
    """

    def __init__(
        self, snr_db: float = 10.0, csi: Literal["average", "none"] = "average", csi_error_db: float = 0.0
    ) -> None:
        self.snr_db = checked_snr(snr_db)
        self.known_csi = csi
        self.csi_error_db = csi_error_db

    def carry(self, sent: Sequence[Tensor], seeds: Sequence[Seed]) -> ChannelOutput:
        """Add noise to the symbols of each image."""
        n0 = noise_variance(self.snr_db)
        noise = [complex_normal(len(x), seed.generator("noise")).mul_(n0.sqrt()) for x, seed in zip(sent, seeds)]
        return ChannelOutput([n.add_(x) for n, x in zip(noise, sent)], noise_variance=n0.expand(len(sent)))

    def csi(self, seeds: Sequence[Seed]) -> Tensor:
        """Return the SNR that the transmitter knows, in dB, per image [B]."""
        return torch.full((len(seeds),), nan if self.known_csi == "none" else self.snr_db + self.csi_error_db)

    def capacity(self, seeds: Sequence[Seed], channel_uses: Sequence[int] | None = None) -> Tensor:
        """Return log2(1 + SNR) per image [B] (Shannon 1948)."""
        return torch.full((len(seeds),), log2(1 + 10 ** (self.snr_db / 10)), dtype=torch.float64)


class BinarySymmetric(Channel):
    """Flips each bit with probability `crossover`, independently.

    Args:
        crossover: probability of a flip, 0 to 1.
    """

    carries = "bits"
    snr_db = nan

    def __init__(self, crossover: float = 0.01) -> None:
        if not 0 <= crossover <= 1:
            raise ConfigurationError(f"crossover is {crossover}; it is a probability, 0 to 1")
        self.crossover = crossover

    def carry(self, sent: Sequence[Tensor], seeds: Sequence[Seed]) -> ChannelOutput:
        """Flip bits of each image."""
        received = [
            bits ^ (torch.rand(len(bits), generator=seed.generator("noise")) < self.crossover).to(torch.uint8)
            for bits, seed in zip(sent, seeds)
        ]
        return ChannelOutput(received=received, crossover=torch.full((len(sent),), self.crossover))

    def csi(self, seeds: Sequence[Seed]) -> Tensor:
        """Return NaN per image [B]: there is no SNR."""
        return torch.full((len(seeds),), nan)

    def capacity(self, seeds: Sequence[Seed], channel_uses: Sequence[int] | None = None) -> Tensor:
        """Return 1 - H2(crossover) bits per bit sent, per image [B]."""
        p = self.crossover
        entropy = 0.0 if p in (0, 1) else -p * log2(p) - (1 - p) * log2(1 - p)
        return torch.full((len(seeds),), 1 - entropy, dtype=torch.float64)
