"""The interface of generative models: captions, latents, and images made of them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semcomm import memo
from semcomm.images import content_hash, from_bytes, to_bytes
from semcomm.models import UsesWeights

Size = tuple[int, int]
"""Height and width in pixels."""


class GenerativeModel(UsesWeights):
    """A captioner, an autoencoder and a denoiser of its latents that is conditioned on text.

    All of it works at a size of its own: `working_size`. The transceivers resize to it and back, with `resized`. Random
    numbers come from the generators handed in, one per image and on the CPU, so they are the same in every batch and on
    every device. `weights()` is the hash of all that captions, latents and images depend on.
    """

    name: str
    """Short, for the results: which model made this image."""
    guidance: ClassVar[float] = 9.0
    """Scale of classifier-free guidance where a transceiver names none."""

    @abstractmethod
    def working_size(self, height: int, width: int) -> Size:
        """Return the size at which an image of `height` x `width` pixels is encoded and generated."""

    @abstractmethod
    def latent_shape(self, size: Size) -> tuple[int, int, int]:
        """Return (channels, height, width) of the latent at a working size: (4, 64, 64) at 512x512."""

    @abstractmethod
    def caption(self, images: Tensor) -> list[str]:
        """Write a caption of each of `images` [B, 3, H, W], of any size, that its text encoder can take whole."""

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Return the scaled first-stage latents `float32` [B, c, h, w], on the CPU, of variance about 1.

        Args:
            images: [B, 3, H, W] in [0, 1], of a working size.
        """

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Return the images `float32` [B, 3, H, W] in [0, 1], on the CPU, of scaled latents [B, c, h, w]."""

    @abstractmethod
    def generate(
        self,
        prompts: Sequence[str],
        size: Size,
        latents: Tensor | None,
        steps: int,
        strength: float,
        guidance: float,
        rng: Sequence[torch.Generator],
    ) -> Tensor:
        """Return images `float32` [B, 3, H, W] in [0, 1], on the CPU.

        Deterministic DDIM sampling (eta 0): all randomness is in the noise that the start is made of.

        Args:
            prompts: one per image; any string, the empty one too. What its text encoder cannot take is cut off.
            size: working size of the result.
            latents: where to start, scaled, [B, c, h, w], on the CPU; None starts from noise.
            steps: of a whole schedule, from noise to image.
            strength: share of the schedule that is run from `latents`, above 0 and at most 1:
                `denoising_steps(steps, strength)` of the steps, at least 1. Not used without latents.
            guidance: scale of classifier-free guidance; 1 has none.
            rng: one per image.
        """

    def caption_once(self, images: Tensor) -> list[str]:
        """Return `caption` of each image; the memo keeps them, so a sweep writes each once."""
        return [
            self._kept("caption", image, lambda image=image: self.caption(image[None])[0].encode()).decode()
            for image in images
        ]

    def encode_once(self, images: Tensor) -> Tensor:
        """Return `encode` of each image, one by one and so the same in every batch; the memo keeps them."""
        shape = self.latent_shape(tuple(images.shape[2:]))
        rows = [
            self._kept("latent", image, lambda image=image: self.encode(image[None])[0].numpy().tobytes())
            for image in images
        ]
        return torch.stack([torch.from_numpy(np.frombuffer(row, np.float32).copy()).reshape(shape) for row in rows])

    def _kept(self, what: str, image: Tensor, compute) -> bytes:
        return memo.current().get({what: self.recipe(), "image": content_hash(image)}, compute)


def denoising_steps(steps: int, strength: float) -> int:
    """Return how many of `steps` are run from a latent: 30 of 50 at strength 0.6; with 0 it is decoded as it is."""
    return min(steps, int(steps * strength + 1e-9))


def resized(images: Tensor, size: Size) -> Tensor:
    """Return images [B, 3, *] as [B, 3, *size], values k/255, by Lanczos as the Img2Img-SC authors do."""
    height, width = size
    if tuple(images.shape[2:]) == tuple(size):
        return images
    pil_images = (Image.fromarray(to_bytes(image)) for image in images)
    return torch.stack(
        [from_bytes(np.asarray(p.resize((width, height), Image.Resampling.LANCZOS))) for p in pil_images]
    )
