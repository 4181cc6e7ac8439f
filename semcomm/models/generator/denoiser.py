"""The denoiser of the embedded generator: noisy latents and a class to the latents beneath, and how it is sampled."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semcomm.models.generator.autoencoder import CHANNELS

FREQUENCIES = 16
"""Of the noise level's Fourier features."""
GROUPS = 8
"""Of the normalisations."""


class ConditionedBlock(nn.Module):
    """A residual block whose second normalisation is scaled and shifted by a condition (Perez et al. 2018)."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, width, affine=False)
        self.modulation = nn.Linear(condition, 2 * width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[B, width, h, w] and [B, condition] -> [B, width, h, w]."""
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        y = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(y) * (1 + scale) + shift))


class SelfAttention(nn.Module):
    """Attention among all positions, added to its input."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(GROUPS, width)
        self.projection = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, h, w] -> the same."""
        count, width, height, columns = x.shape
        parts = self.projection(self.norm(x)).reshape(count, 3, self.heads, width // self.heads, height * columns)
        query, key, value = parts.transpose(3, 4).unbind(1)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return x + self.out(mixed.transpose(2, 3).reshape(count, width, height, columns))


class DenoiserNetwork(nn.Module):
    """A U-Net of two resolutions, attention at the coarser, that predicts the velocity (Salimans and Ho 2022).

    With a latent z and noise e, it sees x = z cos(a) + e sin(a) at the angle a, and predicts v = e cos(a) - z sin(a);
    so z = x cos(a) - v sin(a).

    Args:
        classes: how many classes it knows, besides none.
        width: channels at the latents' resolution.
        inner: channels at half of it.
        depth: residual blocks at that resolution, before and after.
        inner_depth: residual blocks at the coarser resolution; attention follows each but the last.
        condition: length of what carries noise level and class.
    """

    def __init__(
        self,
        classes: int,
        width: int = 48,
        inner: int = 96,
        depth: int = 1,
        inner_depth: int = 3,
        condition: int = 128,
    ) -> None:
        super().__init__()
        self.sizes = {
            "classes": classes,
            "width": width,
            "inner": inner,
            "depth": depth,
            "inner_depth": inner_depth,
            "condition": condition,
        }
        self.level = nn.Sequential(nn.Linear(2 * FREQUENCIES, condition), nn.SiLU(), nn.Linear(condition, condition))
        self.kind = nn.Embedding(classes + 1, condition)
        self.first = nn.Conv2d(CHANNELS, width, 3, padding=1)
        self.before = nn.ModuleList(ConditionedBlock(width, condition) for _ in range(depth))
        self.down = nn.Conv2d(width, inner, 3, 2, 1)
        self.inside = nn.ModuleList(ConditionedBlock(inner, condition) for _ in range(inner_depth))
        self.attentions = nn.ModuleList(SelfAttention(inner) for _ in range(inner_depth - 1))
        self.up = nn.Sequential(nn.Conv2d(inner, 4 * width, 1), nn.PixelShuffle(2))
        self.join = nn.Conv2d(2 * width, width, 1)
        self.after = nn.ModuleList(ConditionedBlock(width, condition) for _ in range(depth))
        self.last = nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, CHANNELS, 3, padding=1))
        nn.init.zeros_(self.last[2].weight)

    def forward(self, noisy: Tensor, angles: Tensor, classes: Tensor) -> Tensor:
        """Return velocities, of `noisy` latents [B, 4, h, w] with even sides.

        Args:
            noisy: z cos(a) + e sin(a).
            angles: a in [0, pi/2], [B].
            classes: [B], counted from 1; 0 is none.
        """
        waves = angles[:, None] * 2 ** torch.linspace(0, 6, FREQUENCIES, device=angles.device)
        condition = self.level(torch.cat([waves.sin(), waves.cos()], dim=1)) + self.kind(classes)
        condition = F.silu(condition)
        x = self.first(noisy)
        for block in self.before:
            x = block(x, condition)
        y = self.down(x)
        for block, attention in zip(self.inside, [*self.attentions, nn.Identity()]):
            y = attention(block(y, condition))
        x = self.join(torch.cat([x, self.up(y)], dim=1))
        for block in self.after:
            x = block(x, condition)
        return self.last(x)


def mixed(latents: Tensor, noise: Tensor, angles: Tensor) -> Tensor:
    """Return latents and noise [B, ...] mixed at angles [B]."""
    angles = angles.view(-1, *[1] * (latents.ndim - 1))
    return latents * angles.cos() + noise * angles.sin()


def velocity(latents: Tensor, noise: Tensor, angles: Tensor) -> Tensor:
    """Return what the denoiser is to predict, [B, ...]."""
    return mixed(noise, -latents, angles)
