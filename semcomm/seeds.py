"""Randomness. The only place where random generators are made.

A seed is a hash of (experiment seed, image content, realisation); a generator is made from it for one purpose. So the
noise of an image does not depend on the SNR, the transceiver, the batch or the order (common random numbers), a new
point changes no old one, and every number can be recomputed alone.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semcomm.errors import ImageError
from semcomm.images import content_hash, images_fault


@dataclass(frozen=True)
class Seed:
    """The randomness of one image in one realisation."""

    key: str

    def generator(self, purpose: str) -> torch.Generator:
        """Return a new CPU generator for `purpose`; the same purpose gives the same numbers.

        torch's CPU generator takes 32 bits of seed: two of a million streams may coincide, on different images.
        """
        digest = hashlib.sha256(f"{self.key}/{purpose}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))


def seeds_of(images: Tensor | Sequence[Tensor], seed: int = 0, realisation: int = 0) -> list[Seed]:
    """Return one `Seed` for each image of [B, 3, H, W], or of a list of [3, H, W].

    Raises:
        ImageError: when the images are of another shape, type or range.
    """
    if isinstance(images, list | tuple):
        faults = (images_fault(image, one=True) for image in images)
        fault = next(filter(None, faults), None)
    else:
        fault = images_fault(images)
    if fault:
        raise ImageError(f"seeds_of: got {fault}")
    return [Seed(f"{seed}/{content_hash(image)}/{realisation}") for image in images]
