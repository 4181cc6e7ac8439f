"""What the embedded generator makes of damaged latents: figures for its card, found again without the training data."""

import torch
from torch import Tensor
from torch.nn import functional as F

from semcomm.images import ImageSet
from semcomm.models.generator.autoencoder import SIZE
from semcomm.models.generator.generator import Generator
from semcomm.training.augment import luminance

DAMAGED = 0.3
"""Share of a latent's values that are lost: as many as raw float64 loses on 16QAM at 5 dB of Eb/N0."""
STEPS = 50
LEFT = (10, 20, 30, 40)
"""Denoising steps of so many, from a latent."""
GUIDANCE = 2.0


def worth(generator: Generator) -> dict[str, float]:
    """Return scores, at 128x128, of what is made of the built-in photographs: text alone, and latents of several steps.

    They are PSNR in dB, SSIM of the luma and the embedded encoder's cosine. A lost value is replaced by
    a draw from N(0, 1), as the authors of Img2Img-SC do. Empty where scikit-image, which brings the photographs, is not
    installed.
    """
    try:
        photographs = [image for _, image in ImageSet("builtin")]
    except ModuleNotFoundError:
        return {}
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
        figures[f"SSIM of {name}"] = similarity(received, images)
        figures[f"cosine of {name}"] = (generator.encoder.embed(received) * embeddings).sum(1)
    return {name: round(values.mean().item(), 4) for name, values in figures.items()}


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return the map of SSIM (Wang et al. 2004) of images [B, 3, H, W] in [0, 1], of the luma in flat 7x7 windows."""
    a, b = luminance(a), luminance(b)
    mean_a, mean_b, aa, bb, ab = (F.avg_pool2d(x, 7, 1) for x in (a, b, a * a, b * b, a * b))
    covariance, variances = ab - mean_a * mean_b, aa - mean_a.square() + bb - mean_b.square()
    brightness = (2 * mean_a * mean_b + 0.01**2) / (mean_a.square() + mean_b.square() + 0.01**2)
    return brightness * (2 * covariance + 0.03**2) / (variances + 0.03**2)
