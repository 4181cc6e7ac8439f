"""A caption and a latent: the method of Img2Img-SC."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from semcomm.codecs import QAM, ChannelCode, FloatLatent, LatentCodec, TextCodec, Uncoded
from semcomm.codecs.base import Decoded
from semcomm.codecs.qam import Name
from semcomm.errors import ConfigurationError
from semcomm.transceivers.base import Info
from semcomm.transceivers.generative.base import GenerativeModel, denoising_steps, resized
from semcomm.transceivers.generative.captioned import Captioned
from semcomm.transceivers.generative.streams import Message, StreamControl, checked_steps


class TextAndLatent(Captioned):
    """Sends a caption and a first-stage latent; the receiver denoises the latent towards the caption.

    Source: Grassucci et al., "Language-Oriented Semantic Latent Representation for Image Transmission", section 2. The
    receiver noises what arrived up to a step of the schedule (equation 2) and denoises it from there with DDIM: `steps`
    of 50 at strength 0.6 are 30. At strength 0 it decodes the latent as it is, the left end of the paper's Figure 5.
    Side information: the original's size, 32 bits, the text's length in bytes, 16, and what the latent's codec needs.

    Args:
        backend: writes captions, encodes, decodes and generates; `embedded` needs no download.
        text: caption to bytes; none is `ASCIIText`, 8 bits a character.
        latent: latent to bits; none is `FloatLatent`, float64 and the authors' repair.
        text_code: protects the caption; none sends it as it is.
        latent_code: protects the latent; none sends it as it is.
        constellation: bits to symbols; none sends bits, over a channel that carries bits.
        steps: of the whole schedule.
        strength: share of the schedule that is run, 0 to 1.
        guidance: scale of classifier-free guidance; none is the backend's own, 9 for `Diffusers` as in the paper.
    """

    def __init__(
        self,
        backend: Literal["embedded"] | GenerativeModel = "embedded",
        text: TextCodec | None = None,
        latent: LatentCodec | None = None,
        text_code: ChannelCode | None = None,
        latent_code: ChannelCode | None = None,
        constellation: Name | QAM | None = "16qam",
        steps: int = 50,
        strength: float = 0.6,
        guidance: float | None = None,
    ) -> None:
        checked_steps(steps, 1.0 if guidance is None else guidance)
        if not 0 <= strength <= 1:
            raise ConfigurationError(f"strength is {strength}; it is a share of the schedule, 0 to 1")
        self._captioned_by(backend, text)
        self.text_code, self.latent_code = text_code or Uncoded(), latent_code or Uncoded()
        self._over(constellation, caption=self.text_code, latent=self.latent_code)
        self.latent = latent or FloatLatent()
        self.steps = steps
        self.strength = strength
        self.guidance = self.backend.guidance if guidance is None else guidance

    def messages(self, images: Tensor, rng: Sequence[torch.Generator]) -> list[dict[str, Message]]:
        """Return caption and latent of each image."""
        latents = self.backend.encode_once(resized(images, self.backend.working_size(*images.shape[2:])))
        rows = []
        for caption, latent in zip(self._caption_messages(images), latents):
            bits, side = self.latent.encode(latent)
            rows.append({"caption": caption, "latent": Message(bits, self.latent.side_bits, side)})
        return rows

    def reconstructed(
        self,
        received: Sequence[Mapping[str, Decoded]],
        control: Sequence[StreamControl],
        rng: Sequence[torch.Generator],
    ) -> tuple[Tensor, Info]:
        """Denoise each latent towards its caption."""
        prompts = self._prompts(received)
        size = self.backend.working_size(control[0].height, control[0].width)
        shape = self.backend.latent_shape(size)
        found = [
            self.latent.decode(row["latent"].bits, shape, known.side["latent"], generator)
            for row, known, generator in zip(received, control, rng)
        ]
        latents = torch.stack([one.latent for one in found])
        count = denoising_steps(self.steps, self.strength)
        if count == 0:
            generated = self.backend.decode(latents)
        else:
            generated = self.backend.generate(prompts, size, latents, self.steps, self.strength, self.guidance, rng)
        return self._finished(
            generated,
            size,
            control,
            prompts,
            denoising_steps=[count] * len(control),
            repaired_values=[one.repaired for one in found],
        )
