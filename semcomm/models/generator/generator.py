"""The embedded generator, ready to use: captions, latents, and images made of them."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from semcomm.caches import cached
from semcomm.errors import ModelError
from semcomm.models.encoders.base import DEFAULT, image_encoder
from semcomm.models.files import fingerprint
from semcomm.models.generator import captions
from semcomm.models.generator.files import AUTOENCODER, DENOISER, Loaded, read_autoencoder, read_denoiser
from semcomm.models.generator.sampling import sample

BATCH = 16
"""Images that go through the networks at once."""


class Generator:
    """The trained networks of the embedded generator.

    All of them work at 128x128 pixels, which are latents [4, 16, 16].

    Args:
        autoencoder: network and card.
        denoiser: network and card, and the classes' mean embeddings.
        device: where to compute.

    Raises:
        ModelError: when the denoiser was trained with other weights than those that are here.
    """

    def __init__(self, autoencoder: Loaded, denoiser: Loaded, device: str = "cpu") -> None:
        self.encoder = image_encoder(DEFAULT, device)
        for what, was, now in (
            ("projection", denoiser.card["latent_space"], autoencoder.network.latent_space()),
            ("image encoder", denoiser.card["encoder"], self.encoder.weights()),
        ):
            if was != now:
                raise ModelError(
                    f"the embedded generator's denoiser was trained with another {what} ({was[:8]}) than is here "
                    f"({now[:8]}); train it again (experiments/train/generator_denoiser.yaml)"
                )
        self.device = torch.device(device)
        self.autoencoder = autoencoder.network.to(device, memory_format=torch.channels_last)
        self.denoiser = denoiser.network.to(device, memory_format=torch.channels_last)
        self.class_means = denoiser.others["class_means"]
        self.words: tuple[str, ...] = tuple(denoiser.card["words"])
        self.cards = autoencoder.card, denoiser.card

    def caption(self, images: Tensor) -> list[str]:
        """Return "a photograph of a ..." of images [B, 3, H, W], with the class whose mean embedding is nearest."""
        return [captions.caption(self.words[k]) for k in nearest(self.encoder.embed(images), self.class_means).tolist()]

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents [B, 4, h, w], on the CPU, of images [B, 3, 8h, 8w] in [0, 1]."""
        return self._batched(self.autoencoder.encode, images)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images [B, 3, 8h, 8w] in [0, 1], on the CPU, of latents [B, 4, h, w]."""
        return self._batched(self.autoencoder.decode, latents).clamp(0, 1)

    def generate(
        self, prompts: Sequence[str], noise: Tensor, latents: Tensor | None, steps: int, left: int, guidance: float
    ) -> Tensor:
        """Return latents [B, 4, h, w], on the CPU, that fit the prompts.

        Args:
            prompts: one per image. A class is sought in each; without one its image may be of anything.
            noise: Gaussian, [B, 4, h, w].
            latents: where to start, [B, 4, h, w]; None starts from the noise.
            steps: of the whole schedule.
            left: how many of them are done.
            guidance: scale of classifier-free guidance; 1 has none.
        """
        classes = torch.tensor([captions.class_in(prompt, self.words) for prompt in prompts])
        made = []
        for start in range(0, len(noise), BATCH):
            part = slice(start, start + BATCH)
            begin = None if latents is None else latents[part].to(self.device)
            where = classes[part].to(self.device), noise[part].to(self.device), begin
            made.append(sample(self.denoiser, *where, steps, left, guidance).cpu())
        return torch.cat(made)

    @torch.no_grad()
    def _batched(self, function, values: Tensor) -> Tensor:
        parts = values.float().split(BATCH)
        return torch.cat([function(p.to(self.device, memory_format=torch.channels_last)).cpu() for p in parts])


def nearest(embeddings: Tensor, class_means: Tensor) -> Tensor:
    """Return the number, from 0, of the class nearest to each unit embedding [B, d], by the cosine."""
    return (embeddings @ class_means.T).argmax(dim=1)


def weights_hash() -> str:
    """Return a hash (hex) of the weights that come with semcomm: those of the generator and of its captions."""
    parts = [fingerprint(path) for path in (AUTOENCODER, DENOISER)]
    return hashlib.sha256("".join([*parts, image_encoder(DEFAULT).weights()]).encode()).hexdigest()


@cached()
def load_generator(device: str = "cpu") -> Generator:
    """Return the generator that comes with semcomm, read once per process and device.

    Raises:
        ModelError: when a file is missing or damaged, or belongs to others than are here.
    """
    return Generator(read_autoencoder(), read_denoiser(), device)
