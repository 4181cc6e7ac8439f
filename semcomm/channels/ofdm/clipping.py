"""The signal in time: its peaks, and what a limit to them does to the symbols."""

from math import sqrt

import torch
from torch import Tensor

from semcomm.caches import cached
from semcomm.channels.ofdm.grid import Grid

OVERSAMPLING = 4
"""Samples per Nyquist interval: peaks between samples are seen to about 0.1 dB (Tellambura 2001)."""


def waveform(symbols: Tensor, grid: Grid) -> Tensor:
    """Return the signal `complex64` [..., N] of OFDM symbols [..., F]: as much mean power as an element has."""
    length = OVERSAMPLING * grid.carriers
    centred = torch.zeros(*symbols.shape[:-1], length, dtype=symbols.dtype)
    half = grid.subcarriers // 2  # carriers below that of the middle wrap around to the end
    centred[..., : grid.subcarriers - half] = symbols[..., half:]
    centred[..., length - half :] = symbols[..., :half]
    return torch.fft.ifft(centred, norm="ortho") * sqrt(length / grid.subcarriers)


def carriers(signal: Tensor, grid: Grid) -> Tensor:
    """Return the OFDM symbols [..., F] of a signal: `waveform` undone, what lies outside the band filtered away."""
    centred = torch.fft.fft(signal, norm="ortho") * sqrt(grid.subcarriers / signal.shape[-1])
    half = grid.subcarriers // 2
    return torch.cat([centred[..., signal.shape[-1] - half :], centred[..., : grid.subcarriers - half]], -1)


def clipped(symbols: Tensor, grid: Grid, clip_db: float, power: Tensor | float) -> Tensor:
    """Return OFDM symbols [..., F] after their signal's magnitude was limited and its band filtered.

    Args:
        symbols: [..., F].
        grid: what they lie on.
        clip_db: limit of the power of a sample in dB over `power`.
        power: nominal mean power of an element, to be broadcast with the signal [..., N].
    """
    signal = waveform(symbols, grid)
    limit = torch.as_tensor(power).sqrt() * 10 ** (clip_db / 20)
    return carriers(signal * (limit / signal.abs().clamp_min(1e-12)).clamp_max(1), grid)


def papr_db(symbols: Tensor, grid: Grid) -> float:
    """Return the peak power over the mean power, in dB, of the signal of OFDM symbols [antennas, n, F].

    The highest of the antennas' own.
    """
    power = waveform(symbols, grid).abs().square().flatten(1)
    return float((10 * torch.log10(power.amax(1) / power.mean(1).clamp_min(1e-30))).max())


@cached(most=64)
def clipping_of(clip_db: float, grid: Grid) -> tuple[float, float]:
    """Return what clipping leaves of Gaussian symbols of power 1: a factor, and the variance of what it adds.

    By Bussgang's theorem what is added is not correlated with the symbols. Both are means over 2^17 symbols; those of a
    constellation make as Gaussian a signal.
    """
    generator = torch.Generator().manual_seed(0)
    symbols = torch.randn(2**17 // grid.subcarriers + 1, grid.subcarriers, dtype=torch.complex64, generator=generator)
    after = clipped(symbols, grid, clip_db, 1.0)
    factor = float((after * symbols.conj()).real.mean() / symbols.abs().square().mean())
    return factor, float((after - factor * symbols).abs().square().mean())
