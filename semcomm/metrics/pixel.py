"""Metrics on pixels."""

import torch
from torch import Tensor

from semcomm.metrics.base import UNBOUNDED, Metric


class MSE(Metric):
    """Mean squared error over pixels and channels of [0, 1] RGB images."""

    name = "MSE"
    higher_is_better = False
    range = (0.0, 1.0)

    def score(self, prepared: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the mean squared error of each image [B]."""
        return (prepared.double() - reconstruction.double()).square().mean((1, 2, 3))


class PSNR(Metric):
    """Peak signal-to-noise ratio, -10·log10(MSE) dB for a peak of 1: per image over all channels, then the mean.

    It is infinite for identical images; means leave those out and count them apart.
    """

    name = "PSNR"
    unit = "dB"
    range = UNBOUNDED

    def score(self, prepared: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the PSNR of each image in dB [B]."""
        return -10 * torch.log10((prepared.double() - reconstruction.double()).square().mean((1, 2, 3)))
