"""The channel interface and the output of a channel."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from typing import ClassVar, Literal

import torch
from torch import Tensor

from semcomm.component import Component
from semcomm.errors import ConfigurationError
from semcomm.seeds import Seed

Carries = Literal["symbols", "bits", "either"]


def noise_variance(snr_db: Tensor | float) -> Tensor:
    """Return N0 = 10^(-snr/10), the variance of the complex noise for symbols of nominal power 1."""
    return 10 ** (-torch.as_tensor(snr_db, dtype=torch.float32) / 10)


def complex_normal(count: int, generator: torch.Generator | None = None, device: torch.device | None = None) -> Tensor:
    """Return [count] draws of CN(0, 1), `complex64`: variance 1/2 in each real dimension."""
    return torch.randn(count, dtype=torch.complex64, generator=generator, device=device)


@dataclass(frozen=True)
class ChannelOutput:
    """A batch as a receiver sees it, and nothing else.

    Attributes:
        received: one tensor per image: `complex64` symbols [k], or `uint8` bits [n].
        gain: the receiver's knowledge of the fading, `complex64` [k] per image; None without fading.
        noise_variance: N0, an uncertain gain's error included: per image [B], or a list of one tensor [k] per image
            where it differs from symbol to symbol; None where bits are carried.
        crossover: probability of a bit flip per image [B]; None where symbols are carried.
        pilot_uses: resource elements spent on pilots, per image [B].
        overhead_uses: resource elements, or samples of the signal, that carry neither data nor pilots, per image [B].
        streams: symbols that share a resource element, per image [B].
        papr_db: peak power of the signal over its mean per image [B], where the channel makes a signal of the symbols;
            None where the symbols are the signal.
    """

    received: list[Tensor]
    gain: list[Tensor] | None = None
    noise_variance: Tensor | list[Tensor] | None = None
    crossover: Tensor | None = None
    pilot_uses: Tensor = field(default_factory=lambda: torch.zeros(()))
    overhead_uses: Tensor = field(default_factory=lambda: torch.zeros(()))
    streams: Tensor = field(default_factory=lambda: torch.ones(()))
    papr_db: Tensor | None = None

    def part(self, parts: Sequence[slice]) -> "ChannelOutput":
        """Return what came of a part of each image's symbols or bits, for links that send several in a row."""

        def of(values: list[Tensor] | None) -> list[Tensor] | None:
            return values and [value[part] for value, part in zip(values, parts)]

        noise = of(self.noise_variance) if isinstance(self.noise_variance, list) else self.noise_variance
        return replace(self, received=of(self.received), gain=of(self.gain), noise_variance=noise)

    def equalised(self) -> list[Tensor]:
        """Return the MMSE estimate h*·y / (|h|² + N0) of each image's symbols; without fading, what was received.

        It is biased towards 0 where the gain is small, as a learned decoder likes it; `zero_forced` is not.
        """
        if self.gain is None:
            return self.received
        return [h.conj() * y / (h.abs() ** 2 + n0) for y, h, n0 in zip(self.received, self.gain, self.noise_variance)]

    def zero_forced(self) -> list[tuple[Tensor, Tensor]]:
        """Return (y/h, N0/|h|²) per image, what a demapper needs; the variance has shape [k] or []."""
        if self.gain is None:
            return list(zip(self.received, self.noise_variance))
        pairs = []
        for y, h, n0 in zip(self.received, self.gain, self.noise_variance):
            power = (h.abs() ** 2).clamp_min(1e-12)
            pairs.append((y * h.conj() / power, n0 / power))
        return pairs

    def llr(self) -> list[Tensor]:
        """Return log P(1)/P(0) of received bits, `float32` [n] per image.

        Raises:
            ValueError: when symbols were received; a constellation demodulates those.
        """
        if self.crossover is None:
            raise ValueError("symbols were received; demodulate them for LLRs")
        pairs = zip(self.received, self.crossover.clamp(1e-9, 1 - 1e-9))
        return [(2.0 * bits.float() - 1.0) * torch.log((1 - p) / p) for bits, p in pairs]


class Channel(Component, ABC):
    """A channel: applied to one tensor per image. Noise is drawn per image on the CPU."""

    carries: ClassVar[Carries] = "symbols"
    snr_db: float = inf
    """Nominal Es/N0 in dB, for the results; NaN where there is no such thing."""

    def __call__(self, sent: Sequence[Tensor], seeds: Sequence[Seed]) -> ChannelOutput:
        """Check what is sent, and carry one tensor per image.

        Args:
            sent: `complex64` symbols [k], or `uint8` bits [n], per image.
            seeds: one per image.

        Raises:
            ConfigurationError: for bits on a symbol channel, or the reverse.
        """
        for tensor in sent:
            kind = "symbols" if tensor.is_complex() else "bits"
            if self.carries not in (kind, "either"):
                raise ConfigurationError(
                    f"{type(self).__name__} carries {self.carries}, and was given {kind}: choose a channel for {kind}, "
                    f"or give the transceiver {'no' if kind == 'symbols' else 'a'} constellation"
                )
        return self.carry(list(sent), list(seeds))

    @abstractmethod
    def carry(self, sent: Sequence[Tensor], seeds: Sequence[Seed]) -> ChannelOutput:
        """Apply the channel: the one method in which channels differ. Call the channel itself, which checks first.

        Args:
            sent: `complex64` symbols [k], or `uint8` bits [n], per image.
            seeds: one per image. Draw from `seed.generator(purpose)`, so that every transceiver meets the same noise.
        """

    @abstractmethod
    def csi(self, seeds: Sequence[Seed]) -> Tensor:
        """Return the SNR that the transmitter knows, in dB, per image [B]; NaN for nothing."""

    def gains(self, seeds: Sequence[Seed], channel_uses: Sequence[int]) -> list[Tensor] | None:
        """Return the gain of each symbol as the receiver has it, for link simulations; None without fading.

        Symbol i arrives with the SNR |h_i|²·10^(snr_db/10), `snr_db` being the channel's own: the noise that an
        estimate of the gain adds is in it.

        Args:
            seeds: one per image.
            channel_uses: symbols sent, per image.

        Returns:
            One real tensor `float32` [k] per image, |h_i| in the order of the symbols; or None.
        """
        return None

    def known_gains(self, seeds: Sequence[Seed], channel_uses: Sequence[int]) -> list[Tensor] | None:
        """Return what the transmitter knows of the `gains` before it sends; None where `csi` is the average or none.

        They differ from the true ones by a `csi_error_db`, and by their age where CSI is delayed.

        Args:
            seeds: one per image.
            channel_uses: symbols that the image is about to send, per image.

        Returns:
            As `gains`; or None.
        """
        return None

    @abstractmethod
    def capacity(self, seeds: Sequence[Seed], channel_uses: Sequence[int] | None = None) -> Tensor:
        """Return the capacity in bits per channel use per image [B], the receiver knowing the fading.

        Args:
            seeds: one per image.
            channel_uses: per image; where the fading changes within an image, its mean over just so many uses.
                Without them, the ergodic mean.
        """


def checked_snr(snr_db: float) -> float:
    """Return `snr_db`, if it is a number of dB."""
    if not isfinite(snr_db):
        raise ConfigurationError(f"snr_db is {snr_db}; it must be a finite number of dB (use Noiseless for no noise)")
    return float(snr_db)
