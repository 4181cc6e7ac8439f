"""Flat fading: y = h·x + n with E|h|² = 1, constant over a symbol, a block of symbols or a whole image."""

from collections.abc import Sequence
from math import ceil, isfinite, nan, sqrt
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from semcomm.caches import cached
from semcomm.channels.base import Channel, ChannelOutput, checked_snr, complex_normal, noise_variance
from semcomm.errors import ConfigurationError
from semcomm.seeds import Seed

Coherence = Literal["image", "symbol"] | int
Csi = Literal["average", "instantaneous", "none"]


class _Fading(Channel):
    k_factor: float
    """Power of the line of sight over that of the scattered paths, linear."""

    def __init__(self, snr_db: float, coherence: Coherence, csi: Csi, csi_error_db: float, pilots: int | None) -> None:
        if isinstance(coherence, int) and coherence < 1:
            raise ConfigurationError(f"coherence is {coherence}; it is 'image', 'symbol' or a number of symbols >= 1")
        if csi == "instantaneous" and coherence != "image":
            raise ConfigurationError(
                f"csi 'instantaneous' is one SNR per image, and with coherence {coherence!r} the gain changes within "
                "an image: use coherence 'image', or csi 'average'"
            )
        if pilots is not None and (pilots < 1 or coherence == "symbol"):
            raise ConfigurationError(
                f"pilots is {pilots} with coherence {coherence!r}: pilots are at least 1 for each stretch of constant "
                "gain, which must be longer than a symbol"
            )
        self.snr_db = checked_snr(snr_db)
        self.coherence = coherence
        self.known_csi = csi
        self.csi_error_db = csi_error_db
        self.pilots = pilots

    def _stretches(self, count: int) -> tuple[int, int]:
        """Return how many stretches of constant gain `count` symbols see, and the length of one."""
        length = {"image": max(1, count), "symbol": 1}.get(self.coherence, self.coherence)
        return max(1, ceil(count / length)), length

    def _gains(self, seed: Seed, stretches: int) -> Tensor:
        scattered = complex_normal(stretches, seed.generator("fading")) / sqrt(1 + self.k_factor)
        return scattered + sqrt(self.k_factor / (1 + self.k_factor))

    def carry(self, sent: Sequence[Tensor], seeds: Sequence[Seed]) -> ChannelOutput:
        """Fade the symbols of each image and add noise."""
        n0 = noise_variance(self.snr_db)
        received, known, pilot_uses = [], [], []
        error_variance = torch.zeros(())
        for x, seed in zip(sent, seeds):
            stretches, length = self._stretches(len(x))
            h = self._gains(seed, stretches)
            noise = n0.sqrt() * complex_normal(len(x), seed.generator("noise"))
            received.append(h.repeat_interleave(length)[: len(x)] * x + noise)
            if self.pilots is not None:
                h, error_variance = self._estimated(h, n0, seed)
            known.append(h.repeat_interleave(length)[: len(x)])
            pilot_uses.append(stretches * (self.pilots or 0))
        return ChannelOutput(
            received=received,
            gain=known,
            noise_variance=(n0 + error_variance).expand(len(sent)),
            pilot_uses=torch.tensor(pilot_uses, dtype=torch.float64),
        )

    def _estimated(self, h: Tensor, n0: Tensor, seed: Seed) -> tuple[Tensor, Tensor]:
        """Return the MMSE estimate of the gains from pilots of power 1, and its error variance."""
        pilot_noise = n0 / self.pilots  # of the pilots' mean
        seen = h + pilot_noise.sqrt() * complex_normal(len(h), seed.generator("pilots"))
        sight = sqrt(self.k_factor / (1 + self.k_factor))
        spread = 1 / (1 + self.k_factor)
        weight = spread / (spread + pilot_noise)
        return sight + weight * (seen - sight), weight * pilot_noise

    def csi(self, seeds: Sequence[Seed]) -> Tensor:
        """Return the SNR that the transmitter knows, in dB, per image [B]."""
        if self.known_csi == "none":
            return torch.full((len(seeds),), nan)
        snr_db = torch.full((len(seeds),), self.snr_db + self.csi_error_db)
        if self.known_csi == "instantaneous":
            snr_db = snr_db + 10 * torch.log10(self._power(seeds))
        return snr_db

    def gains(self, seeds: Sequence[Seed], channel_uses: Sequence[int]) -> list[Tensor]:
        """Return |h| of each symbol [k], per image; estimated from `pilots`, divided by the root of 1 + error/N0."""
        n0, found = noise_variance(self.snr_db), []
        for seed, count in zip(seeds, channel_uses):
            stretches, length = self._stretches(count)
            h = self._gains(seed, stretches)
            if self.pilots is not None:
                h, error_variance = self._estimated(h, n0, seed)
                h = h / (1 + error_variance / n0).sqrt()
            found.append(h.abs().repeat_interleave(length)[:count])
        return found

    def known_gains(self, seeds: Sequence[Seed], channel_uses: Sequence[int]) -> list[Tensor] | None:
        """Return the `gains`, `csi_error_db` included; None unless `csi` is instantaneous."""
        if self.known_csi != "instantaneous":
            return None
        factor = 10 ** (self.csi_error_db / 20)
        return [h * factor for h in self.gains(seeds, channel_uses)]

    def _power(self, seeds: Sequence[Seed]) -> Tensor:
        return torch.stack([self._gains(seed, 1)[0].abs() ** 2 for seed in seeds])

    def capacity(self, seeds: Sequence[Seed], channel_uses: Sequence[int] | None = None) -> Tensor:
        """Return the mean of log2(1 + |h|²·SNR), in bits per channel use, per image [B].

        Over the image's own gains with coherence `image`, or a number of symbols and `channel_uses`; else ergodic.
        """
        snr = 10 ** (self.snr_db / 10)
        if self.coherence == "image":
            return torch.log2(1 + self._power(seeds).double() * snr)
        if self.coherence == "symbol" or channel_uses is None:
            return torch.full((len(seeds),), _ergodic_capacity(self.snr_db, self.k_factor), dtype=torch.float64)
        means = []
        for seed, count in zip(seeds, channel_uses):
            stretches, length = self._stretches(count)
            gains = self._gains(seed, stretches).repeat_interleave(length)[:count]
            means.append(torch.log2(1 + gains.abs().double() ** 2 * snr).mean())
        return torch.stack(means)


class Rayleigh(_Fading):
    """Rayleigh fading: h ~ CN(0, 1).

    Args:
        snr_db: average Es/N0 in dB, for symbols of power 1.
        coherence: how long the gain stays: an `image`, a `symbol`, or this many symbols.
        csi: what the transmitter knows: the `average` SNR, the `instantaneous` one (coherence `image`), or `none`.
        csi_error_db: added to the SNR that the transmitter knows.
        pilots: channel uses per stretch of constant gain from which the receiver estimates it (MMSE), counted in the
            ledger; without them, it knows the gain.
    """

    k_factor = 0.0

    def __init__(
        self,
        snr_db: float = 10.0,
        coherence: Coherence = "image",
        csi: Csi = "average",
        csi_error_db: float = 0.0,
        pilots: int | None = None,
    ) -> None:
        super().__init__(snr_db, coherence, csi, csi_error_db, pilots)


class Rician(_Fading):
    """Rician fading: a line of sight of phase 0 and power K/(1+K), and scattered paths CN(0, 1/(1+K)).

    Args:
        snr_db: average Es/N0 in dB, for symbols of power 1.
        k_factor_db: K in dB.
        coherence: as for `Rayleigh`.
        csi: as for `Rayleigh`.
        csi_error_db: as for `Rayleigh`.
        pilots: as for `Rayleigh`.
    """

    def __init__(
        self,
        snr_db: float = 10.0,
        k_factor_db: float = 6.0,
        coherence: Coherence = "image",
        csi: Csi = "average",
        csi_error_db: float = 0.0,
        pilots: int | None = None,
    ) -> None:
        if not isfinite(k_factor_db):
            raise ConfigurationError(f"k_factor_db is {k_factor_db}; it must be a finite number of dB")
        super().__init__(snr_db, coherence, csi, csi_error_db, pilots)
        self.k_factor = 10 ** (k_factor_db / 10)


@cached(most=128)
def _ergodic_capacity(snr_db: float, k_factor: float) -> float:
    """E log2(1 + |h|²·SNR), by quadrature: 2(1+K)|h|² is noncentral chi-squared (2 degrees, noncentrality 2K)."""
    from scipy.integrate import quad
    from scipy.stats import ncx2

    snr, scale = 10 ** (snr_db / 10), 2 * (1 + k_factor)
    top = ncx2.isf(1e-12, 2, 2 * k_factor)
    value, _ = quad(lambda u: np.log2(1 + u / scale * snr) * ncx2.pdf(u, 2, 2 * k_factor), 0, top, limit=200)
    return float(value)
