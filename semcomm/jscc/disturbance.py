"""The channels of training: those of `semcomm.channels`, for whole batches, differentiable, on any device."""

import torch
from torch import Tensor

from semcomm.channels import noise_variance


def received(symbols: Tensor, snr_db: Tensor, faded: Tensor, generator: torch.Generator) -> Tensor:
    """Return equalised symbols after AWGN, or after Rayleigh fading of each symbol where `faded`.

    Both are the MMSE estimate (|h|²·x + h*·n) / (|h|² + N0), with h = 1 without fading, over the mean of its factors
    |h|² / (|h|² + N0) in each image: what `receivable` makes of a channel's output.

    Args:
        symbols: pairs of real channels, [B, 2c, h, w], of mean power at most 1 per pair.
        snr_db: Es/N0 per image [B].
        faded: which images see fading, [B], boolean.
        generator: on the device of the symbols.
    """
    half = symbols.shape[1] // 2
    n0 = noise_variance(snr_db).to(symbols.device)[:, None, None, None]
    noise = torch.randn(symbols.shape, generator=generator, device=symbols.device) * (n0 / 2).sqrt()
    fading = torch.empty_like(symbols[:, :half]).exponential_(generator=generator)  # |h|² of CN(0, 1)
    gain = torch.where(faded[:, None, None, None], fading, 1.0)
    gain = torch.cat([gain, gain], 1)
    kept = (gain / (gain + n0)).mean((1, 2, 3), keepdim=True)
    return (gain * symbols + gain.sqrt() * noise) / (gain + n0) / kept
