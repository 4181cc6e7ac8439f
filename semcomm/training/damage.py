"""Damage for the training of an image encoder: what links, codecs and viewers do to images without changing them.

Images are `float32` [3, H, W] in [0, 1]; everything is drawn from the generator that is handed in.
"""

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from semcomm.images import from_bytes, to_bytes
from semcomm.training.augment import uniform


def draw(low: float, high: float, generator: torch.Generator) -> float:
    """Draw one number from [low, high)."""
    return uniform(generator, low, high, 1).item()


def white_noise(image: Tensor, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of standard deviation 0.01 to 0.18; a fifth of it coarse, at half the resolution."""
    deviation = draw(0.01, 0.18, generator)
    height, width = image.shape[1:]
    if draw(0, 1, generator) < 0.2:
        coarse = torch.randn(1, 3, height // 2, width // 2, generator=generator)
        noise = F.interpolate(coarse, (height, width), mode="bilinear")[0]
    else:
        noise = torch.randn(image.shape, generator=generator)
    return image + deviation * noise


def jpeg(image: Tensor, generator: torch.Generator) -> Tensor:
    """Code as JPEG of quality 6 to 80, log-uniform."""
    quality = round(6 * (80 / 6) ** draw(0, 1, generator))
    return _coded(image, "JPEG", quality=quality)


def jpeg2000(image: Tensor, generator: torch.Generator) -> Tensor:
    """Code as JPEG 2000 of 25 to 40 dB."""
    decibels = draw(25, 40, generator)
    return _coded(image, "JPEG2000", quality_mode="dB", quality_layers=[decibels], irreversible=True)


def _coded(image: Tensor, kind: str, **options) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(to_bytes(image.clamp(0, 1))).save(file, kind, **options)
    return from_bytes(np.asarray(Image.open(file)))


def blurred(image: Tensor, generator: torch.Generator) -> Tensor:
    """Blur by a Gaussian of standard deviation 0.5 to 2 pixels."""
    deviation = draw(0.5, 2, generator)
    taps = torch.arange(-6.0, 7.0)
    kernel = torch.exp(-(taps**2) / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = F.pad(image[None], (6, 6, 6, 6), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel[:, :, None], groups=3), kernel[..., None], groups=3)[0]


def shrunk(image: Tensor, generator: torch.Generator) -> Tensor:
    """Shrink by 1.2 to 3 times and enlarge again."""
    factor = draw(1.2, 3, generator)
    small = F.interpolate(image[None], scale_factor=1 / factor, mode="bilinear", antialias=True)
    return F.interpolate(small, image.shape[1:], mode="bicubic")[0]


def clean(image: Tensor, generator: torch.Generator) -> Tensor:
    """Leave the image as it is: what must not be forgotten."""
    return image


KINDS: tuple[tuple[float, Callable[[Tensor, torch.Generator], Tensor]], ...] = (
    (0.17, clean),
    (0.35, white_noise),
    (0.16, jpeg),
    (0.18, jpeg2000),
    (0.06, blurred),
    (0.08, shrunk),
)
"""Kinds of damage with their shares."""


def tinted(image: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast and saturation, and lay a colour over the image."""
    contrast, saturation = uniform(generator, 0.6, 1.4, 2)
    colour, blend = uniform(generator, 0, 1, 3, 1, 1), draw(0, 0.25, generator)
    image = image + draw(-0.15, 0.15, generator)
    image = (image - image.mean()) * contrast + image.mean()
    grey = image.mean(0, keepdim=True)
    image = (image - grey) * saturation + grey
    return ((1 - blend) * image + blend * colour) if draw(0, 1, generator) < 0.6 else image


def damaged(image: Tensor, generator: torch.Generator, tint: float = 0.4) -> Tensor:
    """Return one kind of damage, and a tint with probability `tint`, clamped to [0, 1]."""
    number = int(torch.multinomial(torch.tensor([share for share, _ in KINDS]), 1, generator=generator))
    if draw(0, 1, generator) < tint:
        image = tinted(image, generator).clamp(0, 1)
    return KINDS[number][1](image, generator).clamp(0, 1)


def edited(image: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Return the image with an ellipse of 5 to 40 % of its sides to either side replaced.

    By another image, by itself from elsewhere, or by a heavy blur of itself: changes of meaning, not damage.
    """
    height, width = image.shape[1:]
    row, column = uniform(generator, 0.2, 0.8, 2).tolist()
    rows, columns = uniform(generator, 0.08, 0.4, 2).tolist()
    y = (torch.linspace(0, 1, height)[:, None] - row) / rows
    x = (torch.linspace(0, 1, width) - column) / columns
    mask = ((1 - (x**2 + y**2)) * 8).clamp(0, 1)  # a soft edge
    kind = int(draw(0, 3, generator))
    if kind == 0:
        filling = F.interpolate(other[None], (height, width), mode="bilinear", antialias=True)[0]
    elif kind == 1:
        shifts = [int(side * draw(0.3, 0.7, generator)) for side in (height, width)]
        filling = image.roll(shifts, (1, 2))
    else:
        small = F.interpolate(image[None], (6, 6), mode="area")
        filling = F.interpolate(small, (height, width), mode="bicubic")[0].clamp(0, 1)
    return image * (1 - mask) + filling * mask


def small_motion(count: int, probability: float, generator: torch.Generator) -> Tensor:
    """Draw affine maps [count, 2, 3] as `affine_grid` takes them for squares.

    Half of them mirror; a share of `probability` turns by up to 8 degrees, scales by up to 1.2 and shifts by up to 8 %.
    """
    moved = (torch.rand(count, generator=generator) < probability).float()
    angle = moved * uniform(generator, -0.14, 0.14, count)
    scale = 1 + moved * (1.2 ** uniform(generator, -1, 1, count) - 1)
    shift = moved[:, None] * uniform(generator, -0.16, 0.16, count, 2)
    side = 1 - 2 * (torch.rand(count, generator=generator) < 0.5).float()
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = [torch.stack([side * cos, -sin, shift[:, 0]], 1), torch.stack([side * sin, cos, shift[:, 1]], 1)]
    return torch.stack(rows, 1)


def moved(images: Tensor, motion: Tensor, padding: str) -> Tensor:
    """Return [B, C, H, W] as seen through the maps [B, 2, 3]."""
    grid = F.affine_grid(motion, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)
