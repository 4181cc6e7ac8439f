"""The learning rate over the steps, and the averaging of weights."""

from math import cos, pi

import torch
from torch import nn


def learning_rate(step: int, steps: int, peak: float, warmup_steps: int) -> float:
    """Return the rate at `step` (from 0): linear warm-up to `peak`, then half a cosine down to 0 at `steps`."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak * 0.5 * (1 + cos(pi * (step - warmup_steps) / max(1, steps - warmup_steps)))


@torch.no_grad()
def average(averaged: nn.Module, module: nn.Module, step: int, decay: float) -> None:
    """Move `averaged` towards `module`: the exponential moving average of weights and running statistics.

    The decay is at most (1 + step) / (10 + step), so that the random first weights are soon forgotten.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    for old, new in zip(averaged.state_dict().values(), module.state_dict().values()):
        if old.is_floating_point():
            old.lerp_(new, share)
        else:
            old.copy_(new)
