"""Sampling the embedded generator's denoiser: DDIM without noise of its own, and classifier-free guidance."""

from collections.abc import Callable
from itertools import pairwise
from math import pi

import torch
from torch import Tensor

from semcomm.models.generator.denoiser import mixed

RANGE = 4.0
"""Latents beyond it, in standard deviations, are no image's."""


def angle(time: float) -> float:
    """Return the angle of the noise at a `time` in [0, 1], as the cosine schedule has it: at pi/2 is nothing else."""
    return time * pi / 2


@torch.no_grad()
def sample(
    predict: Callable[[Tensor, Tensor, Tensor], Tensor],
    classes: Tensor,
    noise: Tensor,
    latents: Tensor | None,
    steps: int,
    left: int,
    guidance: float,
) -> Tensor:
    """Return latents [B, 4, h, w] by DDIM with eta 0 (Song et al. 2021).

    Args:
        predict: the denoiser: velocities of noisy latents, angles and classes.
        classes: of each image, [B], 0 for none.
        noise: Gaussian, [B, 4, h, w].
        latents: what the last `left` steps start from, after noise was added; None starts from noise alone.
        steps: of the whole schedule.
        left: how many are done.
        guidance: scale of classifier-free guidance; 1 has none.
    """
    angles = [angle(step / steps) for step in range(left, -1, -1)]
    start = torch.full((len(noise),), angles[0], device=noise.device)
    x = noise if latents is None else mixed(latents, noise, start)
    for now, then in pairwise(angles):
        here, there = (torch.full_like(start, a) for a in (now, then))
        v = _guided(predict, x, here, classes, guidance)
        clean = mixed(x, -v, here).clamp(-RANGE, RANGE)
        rest = mixed(v, x, here)
        x = mixed(clean, rest, there)
    return x


def _guided(predict: Callable, x: Tensor, angles: Tensor, classes: Tensor, guidance: float) -> Tensor:
    if guidance == 1 or not classes.any():
        return predict(x, angles, classes)
    both = predict(torch.cat([x, x]), torch.cat([angles, angles]), torch.cat([classes, torch.zeros_like(classes)]))
    towards, without = both.chunk(2)
    return without + guidance * (towards - without)
