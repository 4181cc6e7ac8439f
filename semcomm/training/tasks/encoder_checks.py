"""Stability of an image encoder on changed images: figures for its card that need no training data."""

import io
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from semcomm.images import ImageSet, from_bytes, to_bytes
from semcomm.models.encoders.base import ImageEncoder

QUALITIES = (50, 20, 10, 5, 1)
"""Of JPEG, from mild to severe."""
MIDDLE = 96
"""Side in pixels of the piece that is looked at as an object would be: enlarged, so that damage shows."""


def stability(encoder: ImageEncoder) -> dict[str, float]:
    """Return the mean cosine of each built-in photograph with itself changed, and with the other photographs."""
    photographs = [image for _, image in ImageSet("builtin")]
    original = torch.cat([encoder.embed(image[None]) for image in photographs])
    figures = {}
    for name, change in CHANGES.items():
        changed = torch.cat([encoder.embed(change(image)[None]) for image in photographs])
        figures[f"cosine after {name}"] = (original * changed).sum(1).mean().item()
    middle = torch.cat([encoder.embed(_middle(image)[None]) for image in photographs])
    for quality in QUALITIES:
        changed = torch.cat([encoder.embed(_middle(_jpeg(quality, image))[None]) for image in photographs])
        name = f"cosine of the middle {MIDDLE}x{MIDDLE} pixels after JPEG of quality {quality}"
        figures[name] = (middle * changed).sum(1).mean().item()
    cosines = original @ original.T
    others = cosines[~torch.eye(len(cosines), dtype=torch.bool)]
    figures["cosine of unrelated photographs"] = others.mean().item()
    return {name: round(value, 4) for name, value in figures.items()}


def _shifted(image: Tensor) -> Tensor:
    pixels = image.shape[2] // 16
    return F.pad(image[None], (pixels, 0, 0, 0), mode="replicate")[0, ..., : image.shape[2]]


def _rotated(image: Tensor) -> Tensor:
    return from_bytes(np.asarray(Image.fromarray(to_bytes(image)).rotate(5, Image.Resampling.BILINEAR)))


def _zoomed(image: Tensor) -> Tensor:
    height, width = image.shape[1:]
    top, left = height // 20, width // 20
    return image[:, top : height - top, left : width - left]


def _bluer(image: Tensor) -> Tensor:
    return image * torch.tensor([0.7, 0.7, 1.0]).view(3, 1, 1)


def _middle(image: Tensor) -> Tensor:
    top, left = ((side - MIDDLE) // 2 for side in image.shape[1:])
    return image[:, top : top + MIDDLE, left : left + MIDDLE]


def _jpeg(quality: int, image: Tensor) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(to_bytes(image)).save(file, "JPEG", quality=quality)
    return from_bytes(np.asarray(Image.open(file)))


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "a shift by 1/16 of the width": _shifted,
    "a rotation by 5 degrees": _rotated,
    "a mirror": lambda image: image.flip(2),
    "a zoom by 1.11": _zoomed,
    "a blue filter": _bluer,
    "grey": lambda image: image.mean(0, keepdim=True).expand(3, -1, -1),
    **{f"JPEG of quality {quality}": partial(_jpeg, quality) for quality in QUALITIES},
}
"""Changes that a viewer hardly minds, and coding damage from mild to severe."""
