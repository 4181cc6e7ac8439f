"""A generative model that is small enough to see through: latents are means of 8x8 pixels, prompts are ignored."""

from typing import ClassVar

import torch

from semcomm import GenerativeModel


class Means(GenerativeModel):
    """Counts what it is asked for, so that tests see what is kept."""

    calls: ClassVar[dict[str, int]] = {}
    prompts: ClassVar[list[str]] = []
    broken: ClassVar[bool] = False

    def __init__(self, text: str = "a cat", side: int = 64) -> None:
        self.name = "means"
        self.text = text
        self.side = side

    def weights(self):
        return "none"

    def working_size(self, height, width):
        return self.side, self.side

    def latent_shape(self, size):
        return 4, size[0] // 8, size[1] // 8

    def _count(self, what, images):
        self.calls[what] = self.calls.get(what, 0) + len(images)

    def caption(self, images):
        self._count("caption", images)
        return [self.text for _ in images]

    def encode(self, images):
        self._count("encode", images)
        assert images.shape[2:] == (self.side, self.side)
        means = torch.nn.functional.avg_pool2d(2 * images - 1, 8)
        latents = torch.cat([means, means[:, :1]], 1)
        return torch.full_like(latents, float("nan")) if self.broken else latents

    def decode(self, latents):
        self._count("decode", latents)
        return torch.nn.functional.interpolate((latents[:, :3] + 1) / 2, scale_factor=8).clamp(0, 1)

    def generate(self, prompts, size, latents, steps, strength, guidance, rng):
        self._count("generate", prompts)
        self.prompts[:] = prompts
        noise = torch.stack([torch.randn(self.latent_shape(size), generator=one) for one in rng])
        start = noise if latents is None else latents + 0.1 * noise
        return torch.nn.functional.interpolate((start[:, :3] + 1) / 2, scale_factor=8).clamp(0, 1)
