"""An image embedding alone: unCLIP, the generative system of the SeSS paper's Figure 12."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from semcomm.codecs import QAM, ChannelCode, FloatLatent, LatentCodec, Uncoded
from semcomm.codecs.base import Decoded
from semcomm.codecs.qam import Name
from semcomm.errors import ConfigurationError
from semcomm.transceivers.base import Info
from semcomm.transceivers.generative.base import resized
from semcomm.transceivers.generative.diffusion import StableUnCLIP
from semcomm.transceivers.generative.streams import Message, Multiplexed, StreamControl, checked_steps


class UnCLIP(Multiplexed):
    """Sends the embedding of an image; the receiver generates an image that has it.

    Source: "Semantic Similarity Score for Measuring Visual Similarity at Semantic Level", Figures 12 and 16, where no
    channel is between (`Noiseless`) and `noise_level` is what changes: the noise on the embedding in steps of 1,000.
    Side information: the original's size, 32 bits, and what the codec needs.

    Args:
        backend: embeds and generates; none is `StableUnCLIP`.
        latent: embedding to bits; none is float16, clipped.
        code: protects the embedding; none sends it as it is.
        constellation: bits to symbols; none sends bits, over a channel that carries bits.
        noise_level: noise that the receiver adds to the embedding, 0 to 999.
        steps: denoising steps.
        guidance: scale of classifier-free guidance.
    """

    def __init__(
        self,
        backend: StableUnCLIP | None = None,
        latent: LatentCodec | None = None,
        code: ChannelCode | None = None,
        constellation: Name | QAM | None = "16qam",
        noise_level: int = 0,
        steps: int = 20,
        guidance: float = 10.0,
    ) -> None:
        checked_steps(steps, guidance)
        if not 0 <= noise_level <= 999:
            raise ConfigurationError(f"noise_level is {noise_level}; it is 0 to 999")
        self.code = code or Uncoded()
        self._over(constellation, embedding=self.code)
        self.backend = backend or StableUnCLIP()
        self.latent = latent or FloatLatent("float16", "clip")
        self.noise_level = noise_level
        self.steps = steps
        self.guidance = guidance

    def messages(self, images: Tensor, rng: Sequence[torch.Generator]) -> list[dict[str, Message]]:
        """Return the embedding of each image."""
        coded = [self.latent.encode(row) for row in self.backend.embed_once(images)]
        return [{"embedding": Message(bits, self.latent.side_bits, side)} for bits, side in coded]

    def reconstructed(
        self,
        received: Sequence[Mapping[str, Decoded]],
        control: Sequence[StreamControl],
        rng: Sequence[torch.Generator],
    ) -> tuple[Tensor, Info]:
        """Generate an image from each embedding."""
        height, width = control[0].height, control[0].width
        size = self.backend.working_size(height, width)
        found = [
            self.latent.decode(row["embedding"].bits, (self.backend.width,), known.side["embedding"], generator)
            for row, known, generator in zip(received, control, rng)
        ]
        embeddings = torch.stack([one.latent for one in found])
        generated = self.backend.generate(embeddings, size, self.steps, self.guidance, self.noise_level, rng)
        return resized(generated, (height, width)), {
            "size": [f"{width}x{height}"] * len(control),
            "working_size": [f"{size[1]}x{size[0]}"] * len(control),
            "repaired_values": [one.repaired for one in found],
        }
