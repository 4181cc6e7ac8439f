"""The generative transceivers' models that come with semcomm: small, for trying, and in need of no download."""

from collections.abc import Sequence

import torch
from torch import Tensor

from semcomm.errors import ConfigurationError
from semcomm.models import device_of
from semcomm.transceivers.generative.base import GenerativeModel, Size, denoising_steps


class Embedded(GenerativeModel):
    """An autoencoder, a denoiser and a captioner of our own, with their weights: 128x128 pixels, 100 classes.

    It is for trying the transceivers and stands in for no large model. It shows how denoising mends a latent that a
    channel damaged, and what too much of it costs; but the denoiser was trained for minutes, and what it makes of a
    caption alone are colours and blots, not the thing that is named. A caption is a template with the class that the
    embedded image encoder finds nearest, "a photograph of a dolphin"; of a prompt only the class in it is understood,
    found by edit distance, so a caption may be damaged. A prompt without a class is generated without one. What the
    models were measured to do stands in their cards, `semcomm/models/weights/generator_*.md`. `guidance` of 2 suits it,
    and a `strength` of 0.2 to 0.4.

    Images are resized to a square, whatever their shape. Noise is drawn on the CPU, one generator per image; the same
    images in the same batch give the same bits on one device, in another batch the same to 1/255.

    Args:
        device: `auto`, or as PyTorch names it.
    """

    guidance = 2.0

    def __init__(self, device: str = "auto") -> None:
        self.name = "embedded"
        self.device = device

    def weights(self) -> str:
        """Return the hash of the autoencoder, the denoiser and the image encoder, as one."""
        from semcomm.models.generator import weights_hash

        return weights_hash()

    def working_size(self, height: int, width: int) -> Size:
        """Return (128, 128)."""
        from semcomm.models.generator import SIZE

        return SIZE, SIZE

    def latent_shape(self, size: Size) -> tuple[int, int, int]:
        """Return (4, 16, 16) at 128x128."""
        from semcomm.models.generator import CHANNELS, STRIDE

        return CHANNELS, size[0] // STRIDE, size[1] // STRIDE

    def caption(self, images: Tensor) -> list[str]:
        """Return "a photograph of a ..." of each image, with the class whose mean embedding is nearest."""
        return self._generator().caption(images)

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents [B, 4, H/8, W/8] of images of a working size."""
        return self._generator().encode(images)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images [B, 3, 8h, 8w] of latents."""
        return self._generator().decode(latents)

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
        """Return images [B, 3, H, W]; see `GenerativeModel.generate`."""
        if steps < 1:
            raise ConfigurationError(f"steps is {steps}; it is a number of denoising steps, at least 1")
        left = steps if latents is None else max(1, denoising_steps(steps, strength))
        noise = torch.stack([torch.randn(self.latent_shape(size), generator=g) for g in rng])
        generator = self._generator()
        return generator.decode(generator.generate(prompts, noise, latents, steps, left, guidance))

    def _generator(self):
        from semcomm.models.generator import load_generator

        return load_generator(str(device_of(self.device)))
