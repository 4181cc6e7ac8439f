"""Random changes to images in training, drawn per image from a generator that is handed in.

Images are `float32` [B, 3, H, W] in [0, 1]. Each function takes its probability or strength as an argument.
"""

from math import cos, pi, sqrt

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from semcomm.images import from_bytes


def uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    """Draw from [low, high)."""
    return torch.rand(shape, generator=generator) * (high - low) + low


def chosen(generator: torch.Generator, count: int, probability: float) -> Tensor:
    """Draw which of `count` images an augmentation applies to, as indices."""
    return (torch.rand(count, generator=generator) < probability).nonzero().flatten()


def random_crop(image: Tensor, size: int, smallest: float, generator: torch.Generator) -> Tensor:
    """Cut a random window from `uint8` [3, H, W] and resize it to `float32` [3, size, size], antialiased.

    The window covers `smallest` to 1 of the area; its shape is that of the image times 3/4 to 4/3 (log-uniform).
    """
    height, width = image.shape[1:]
    area, aspect, top, left = torch.rand(4, generator=generator).tolist()
    scale = sqrt(smallest + (1 - smallest) * area)
    stretch = (4 / 3) ** (aspect - 0.5)
    rows = min(height, max(8, round(height * scale * stretch)))
    columns = min(width, max(8, round(width * scale / stretch)))
    top, left = int(top * (height - rows + 1)), int(left * (width - columns + 1))
    pixels = Image.fromarray(image.permute(1, 2, 0).numpy())  # Pillow: thrice as fast as torch on one image
    window = pixels.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + columns, top + rows))
    return from_bytes(np.asarray(window))


def resized_window(image: Tensor, top: int, left: int, side: int, size: int) -> Tensor:
    """Cut a square of `side` pixels from `uint8` [3, H, W] and reduce it to `float32` [3, size, size], antialiased."""
    window = image[:, top : top + side, left : left + side]
    if side == size:
        return window.float() / 255
    pixels = Image.fromarray(window.permute(1, 2, 0).contiguous().numpy())
    return from_bytes(np.asarray(pixels.resize((size, size), Image.Resampling.BICUBIC)))


def mirror(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images."""
    flip = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def rotate(images: Tensor, degrees: float, probability: float, generator: torch.Generator) -> Tensor:
    """Rotate some of the images by up to `degrees` either way; the border is reflected."""
    index = chosen(generator, len(images), probability)
    if not len(index):  # affine_grid takes no empty batch
        return images
    angle = uniform(generator, -degrees, degrees, len(index)) * pi / 180
    zero = torch.zeros_like(angle)
    matrix = torch.stack([angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero], dim=1).view(-1, 2, 3)
    part = images[index]
    grid = F.affine_grid(matrix, list(part.shape), align_corners=False)
    return images.index_copy(0, index, F.grid_sample(part, grid, padding_mode="reflection", align_corners=False))


def colour_jitter(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast and saturation by up to `strength`, each colour channel by a third of that."""
    count = len(images)
    brightness, contrast, saturation = (uniform(generator, 1 - strength, 1 + strength, 3, count, 1, 1, 1)).unbind()
    tint = uniform(generator, 1 - strength / 3, 1 + strength / 3, count, 3, 1, 1)
    images = images * brightness * tint
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * contrast + mean
    grey = luminance(images)
    return ((images - grey) * saturation + grey).clamp(0, 1)


def luminance(images: Tensor) -> Tensor:
    """Return the luma of ITU-R BT.601, [B, 1, H, W]."""
    return (images * torch.tensor([0.299, 0.587, 0.114], device=images.device).view(3, 1, 1)).sum(1, keepdim=True)


def to_grey(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Take the colour from some of the images."""
    grey = torch.rand(len(images), generator=generator) < probability
    return torch.where(grey[:, None, None, None], luminance(images).expand_as(images), images)


def blur(images: Tensor, most: int, probability: float, generator: torch.Generator) -> Tensor:
    """Shrink some of the images by 1 to `most` times and enlarge them again: the loss of fine detail."""
    images = images.clone()
    for i in chosen(generator, len(images), probability).tolist():
        side = max(4, round(images.shape[-1] / uniform(generator, 1, most, 1).item()))
        small = F.interpolate(images[i : i + 1], (side, side), mode="bilinear", antialias=True)
        images[i] = F.interpolate(small, images.shape[2:], mode="bicubic").clamp(0, 1)[0]
    return images


def coding_damage(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Quantise the 8x8 DCT of some of the images, coarser at high frequencies, as JPEG does.

    Steps are log-uniform between fine and such that little more than each block's mean is left. Sides are
    divisible by 8.
    """
    index = chosen(generator, len(images), probability)
    part = images[index] - 0.5
    count, channels, height, width = part.shape
    basis = _dct()
    blocks = part.view(count, channels, height // 8, 8, width // 8, 8)
    coefficients = torch.einsum("ui,vj,bchiwj->bchuwv", basis, basis, blocks)
    frequency = torch.arange(8.0)
    table = 1 + 0.5 * (frequency.view(8, 1, 1) + frequency)  # [8, 1, 8]: rows, columns of blocks, columns
    step = 0.02 * 30 ** torch.rand(count, 1, 1, 1, 1, 1, generator=generator) * table
    damaged = torch.einsum("ui,vj,bchuwv->bchiwj", basis, basis, (coefficients / step).round() * step)
    return images.index_copy(0, index, (damaged.reshape(part.shape) + 0.5).clamp(0, 1))


def _dct() -> Tensor:
    """Return the orthonormal DCT-II of 8 points, [frequency, position]."""
    rows = [[sqrt((1 if u == 0 else 2) / 8) * cos(pi * (2 * i + 1) * u / 16) for i in range(8)] for u in range(8)]
    return torch.tensor(rows)


def noise(images: Tensor, most: float, probability: float, generator: torch.Generator) -> Tensor:
    """Add white Gaussian noise of standard deviation up to `most` to some of the images."""
    index = chosen(generator, len(images), probability)
    deviation = uniform(generator, 0, most, len(index), 1, 1, 1)
    part = images[index]
    return images.index_copy(0, index, (part + deviation * torch.randn(part.shape, generator=generator)).clamp(0, 1))
