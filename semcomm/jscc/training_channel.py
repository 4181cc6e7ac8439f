"""Training channels: AWGN and Rayleigh fading as in `semcomm.channels`, batched, differentiable, on any device."""

from collections.abc import Sequence

import torch
from torch import Tensor

from semcomm.channels import noise_variance
from semcomm.jscc import constellation as grids
from semcomm.jscc.network import LearnedNetwork


def received(
    symbols: Tensor, snr_db: Tensor, fading: Tensor, name: str, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return estimates of the DFT-spread symbols after AWGN or Rayleigh fading of each symbol, as `estimates_of` does.

    Args:
        symbols: pairs of real channels, [B, 2c, h, w], of mean power at most 1 per pair.
        snr_db: Es/N0 per image [B].
        fading: images with Rayleigh fading, [B], boolean.
        name: of the constellation.
        generator: on the device of the symbols.

    Returns:
        Estimates [B, 2c, h, w] and their SNR in dB [B].
    """
    half = symbols.shape[1] // 2
    n0 = noise_variance(snr_db).to(symbols.device)[:, None, None, None]
    noise = torch.randn(symbols.shape, generator=generator, device=symbols.device)
    power = torch.empty_like(symbols[:, :half]).exponential_(generator=generator)  # |h|² of CN(0, 1)
    variance = n0 / torch.where(fading[:, None, None, None], power, 1.0)
    variance = torch.cat([variance, variance], 1).clamp(grids.LEAST_NOISE, grids.MOST_NOISE)
    noisy = symbols + noise * (variance / 2).sqrt()
    estimates = grids.conditional_mean(noisy if name == "analog" else noisy.detach(), variance, name)
    gain = grids.wiener_gain(variance, name).mean((1, 2, 3))
    estimates = (estimates + grids.straight_through(noisy, variance, name)) / gain[:, None, None, None]
    return estimates, 10 * torch.log10(gain / (1 - gain))


def simulate(
    network: LearnedNetwork,
    sent: Sequence[Tensor],
    gains: Tensor,
    snr_db: Tensor,
    fading: Tensor,
    plan: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Return the receiver's images [B, 3, H, W] for symbols sent over a channel of `snr_db` [B], layer by layer."""
    layers = [received(symbols, snr_db, fading, network.constellation, generator) for symbols in sent]
    snrs = torch.stack([snr for _, snr in layers]).mean(0)
    return network.decode([estimates for estimates, _ in layers], gains, snrs, plan).float()
