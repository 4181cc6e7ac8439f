"""Allocation of layers to the blocks of an image: the same number everywhere, or more where there is more detail.

A plan is `uint8` [B, h, w], the number of layers of each block of stride x stride pixels. The receiver needs it, as the
bytes that `semcomm.jscc.plans` makes of it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SEARCH_STEPS = 24
ACTIVITY_EXPONENT = 0.7
"""Power of a block's activity to which its channel uses are proportional on a good channel."""
EXPONENT_RANGE_DB = (-2.0, 10.0)
"""SNRs between which the exponent grows from its least to its full value."""
LEAST_EXPONENT = 0.05
"""Least share of the full exponent: it decides which blocks get a layer more where the budget has none for all."""


def activity_exponent(snr_db: Tensor) -> Tensor:
    """Return the power of a block's activity that its channel uses should follow at an SNR in dB, any shape.

    On a poor channel, layers for busy blocks alone gain less than the other blocks lose: busy blocks have most of the
    symbols' power in any case.
    """
    low, high = EXPONENT_RANGE_DB
    return ACTIVITY_EXPONENT * ((snr_db - low) / (high - low)).clamp(LEAST_EXPONENT, 1)


def activity(images: Tensor, stride: int) -> Tensor:
    """Return the logarithm (base 2) of the gradient's RMS magnitude in each block, [B, H/stride, W/stride].

    Args:
        images: [B, 3, H, W], sides divisible by `stride`.
        stride: side of a block in pixels.
    """
    grey = F.pad(images.mean(1, keepdim=True), (0, 1, 0, 1), mode="replicate")
    across, down = grey.diff(dim=3)[:, :, :-1], grey.diff(dim=2)[..., :-1]
    energy = F.avg_pool2d(across**2 + down**2, stride)[:, 0]
    return 0.5 * torch.log2(energy + 1e-5)


def allocate(target_log2_uses: Tensor, budget: Tensor, uses: Sequence[int]) -> Tensor:
    """Return the plan that is closest to a target within the budget: never more channel uses, seldom fewer by much.

    A block gets the most layers whose channel uses are at most 2^(target + c), with one c for each image; the first
    layer in any case.

    Args:
        target_log2_uses: [B, h, w], logarithm (base 2) of the channel uses that a block should have, up to a constant.
        budget: channel uses of a block on average, [B].
        uses: channel uses of a block with 1, 2, ... layers.
    """
    bounds = torch.log2(torch.tensor(uses, dtype=target_log2_uses.dtype, device=target_log2_uses.device))
    table = torch.tensor([uses[0], *uses], dtype=target_log2_uses.dtype, device=target_log2_uses.device)
    total = budget.double() * target_log2_uses[0].numel() + 1e-6
    low = bounds[0] - target_log2_uses.amax((1, 2)) - 1
    high = bounds[-1] - target_log2_uses.amin((1, 2)) + 1
    for _ in range(SEARCH_STEPS):
        middle = (low + high) / 2
        plan = torch.bucketize(target_log2_uses + middle[:, None, None], bounds, right=True)
        fits = table[plan].double().sum((1, 2)) <= total
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return torch.bucketize(target_log2_uses + low[:, None, None], bounds, right=True).clamp_min(1).to(torch.uint8)
