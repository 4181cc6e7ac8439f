"""Losses of learned codecs: on pixels, on structure, and on features of an image encoder."""

import torch
from torch import Tensor
from torch.nn import functional as F

from semcomm.models.encoders.base import DEFAULT, ImageEncoder, image_encoder
from semcomm.training.augment import luminance

KINDS = ("mse", "ms_ssim", "features")
SMALLEST_FOR_MS_SSIM = 97
"""Side in pixels: five scales of a window of 7."""


def typical_mse(uses_per_pixel: Tensor, snr_db: Tensor) -> Tensor:
    """Return about what a good codec leaves at this rate and SNR, [B].

    A line through what JPEG 2000 leaves of Kodak at 0.125 to 2.4 bpp (`python -m benchmarks.source_codecs`), at the
    capacity of the channel: 35.8 dB at 1 bpp, 11.7 dB more for ten times as many bits.
    """
    bpp = uses_per_pixel * torch.log2(1 + 10 ** (snr_db / 10))
    return 10 ** (-3.58 - 1.17 * torch.log10(bpp))


def relative_mse(reconstruction: Tensor, images: Tensor, typical: Tensor) -> Tensor:
    """Return log(1 + MSE / typical MSE) per image [B].

    So a poor channel or a low rate, with its large errors, does not drown the others; and among images of one channel
    and rate, errors count alike up to the typical one and by their logarithm, as in a mean of dB, beyond.
    """
    mse = ((reconstruction - images).float() ** 2).mean((1, 2, 3))
    return torch.log1p(mse / typical)


def ms_ssim_loss(reconstruction: Tensor, images: Tensor) -> Tensor:
    """Return 1 - MS-SSIM per image [B], with a window of 7 so that crops may be small."""
    from pytorch_msssim import ms_ssim

    with torch.autocast(images.device.type, enabled=False):  # it takes differences of nearly equal means
        return 1 - ms_ssim(reconstruction.float(), images.float(), data_range=1.0, size_average=False, win_size=7)


def luma_ssim(reconstruction: Tensor, images: Tensor) -> Tensor:
    """Return the SSIM (Wang et al. 2004) of the luma in flat windows of 7x7, per image [B]."""
    from pytorch_msssim import ssim

    window = torch.full((1, 1, 1, 7), 1 / 7, device=images.device)
    with torch.autocast(images.device.type, enabled=False):
        pair = luminance(reconstruction.float()), luminance(images.float())
        return ssim(*pair, data_range=1.0, size_average=False, win=window)


def feature_loss(
    reconstruction: Tensor, images: Tensor, encoder: str | ImageEncoder = DEFAULT, layers: int | None = None
) -> Tensor:
    """Return the mean squared difference of unit feature vectors in an image encoder's maps, per image [B].

    As LPIPS has it (Zhang et al. 2018), without its learned weights.

    Args:
        reconstruction: [B, 3, H, W], about in [0, 1]; gradients go to it alone.
        images: [B, 3, H, W].
        encoder: an `ImageEncoder`, or the name of one.
        layers: so many maps, the finest first; None takes all.
    """
    chosen = image_encoder(encoder, str(images.device))
    with torch.no_grad():
        expected = chosen.layers(images)[:layers]
    total = torch.zeros(len(images), device=images.device)
    for x, y in zip(chosen.layers(reconstruction), expected):
        difference = F.normalize(x.float(), dim=1) - F.normalize(y.float(), dim=1)
        total = total + difference.square().sum(1).mean((1, 2))
    return total / len(expected)
