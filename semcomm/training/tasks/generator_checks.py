"""Quality of the embedded generator on damaged latents: figures for its card that need no training data."""

import torch
from torch.nn import functional as F

from semcomm.images import ImageSet
from semcomm.models.generator.autoencoder import SIZE
from semcomm.models.generator.generator import Generator
from semcomm.training.losses import luma_ssim

DAMAGED = 0.3
"""Share of a latent's values that are lost: as many as raw float64 loses on 16QAM at 5 dB of Eb/N0."""
STEPS = 50
LEFT = (10, 20, 30, 40)
"""Denoising steps of so many, from a latent."""
GUIDANCE = 2.0


def worth(generator: Generator) -> dict[str, float]:
    """Return scores, at 128x128, of what is made of the built-in photographs: text alone, and latents of several steps.

    They are PSNR in dB, SSIM of the luma and the embedded encoder's cosine. A lost value is replaced by
    a draw from N(0, 1), as the authors of Img2Img-SC do.
    """
    photographs = [image for _, image in ImageSet("builtin")]
    size = (SIZE, SIZE)
    images = torch.cat([F.interpolate(p[None], size, mode="bilinear", antialias=True) for p in photographs])
    embeddings = generator.encoder.embed(images)
    prompts, latents = generator.caption(images), generator.encode(images)
    random = torch.Generator().manual_seed(1)
    noise, lost = (torch.randn(latents.shape, generator=random) for _ in range(2))
    damaged = torch.where(torch.rand(latents.shape, generator=random) < DAMAGED, lost, latents)
    made = {
        "text only": generator.generate(prompts, noise, None, STEPS, STEPS, GUIDANCE),
        "the latent": latents,
        "the damaged latent": damaged,
    }
    for left in LEFT:
        name = f"the damaged latent after {left} of {STEPS} steps"
        made[name] = generator.generate(prompts, noise, damaged, STEPS, left, GUIDANCE)
    figures = {}
    for name, result in made.items():
        received = generator.decode(result)
        figures[f"PSNR of {name}"] = -10 * (received - images).square().mean(dim=(1, 2, 3)).log10()
        figures[f"SSIM of {name}"] = luma_ssim(received, images)
        figures[f"cosine of {name}"] = (generator.encoder.embed(received) * embeddings).sum(1)
    return {name: round(values.mean().item(), 4) for name, values in figures.items()}
