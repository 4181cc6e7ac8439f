"""Text alone: the baseline of Img2Img-SC, and what a caption is worth."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from semcomm.codecs import QAM, ChannelCode, TextCodec, Uncoded
from semcomm.codecs.base import Decoded
from semcomm.codecs.qam import Name
from semcomm.transceivers.base import Info
from semcomm.transceivers.generative.base import GenerativeModel
from semcomm.transceivers.generative.captioned import Captioned
from semcomm.transceivers.generative.streams import Message, StreamControl, checked_steps


class TextToImage(Captioned):
    """Sends a caption; the receiver makes an image of it, from noise.

    Source: Grassucci et al., "Language-Oriented Semantic Latent Representation for Image Transmission", section 2,
    text only. Whatever arrives is the prompt, errors included. Side information: the original's size, 32 bits, and the
    text's length in bytes, 16.

    Args:
        backend: writes captions and generates; `embedded` needs no download.
        text: caption to bytes; none is `ASCIIText`, 8 bits a character.
        text_code: protects the caption; none sends it as it is.
        constellation: bits to symbols; none sends bits, over a channel that carries bits.
        steps: denoising steps.
        guidance: scale of classifier-free guidance; none is the backend's own, 9 for `Diffusers` as in the paper.
    """

    def __init__(
        self,
        backend: Literal["embedded"] | GenerativeModel = "embedded",
        text: TextCodec | None = None,
        text_code: ChannelCode | None = None,
        constellation: Name | QAM | None = "16qam",
        steps: int = 50,
        guidance: float | None = None,
    ) -> None:
        checked_steps(steps, 1.0 if guidance is None else guidance)
        self._captioned_by(backend, text)
        self.text_code = text_code or Uncoded()
        self._over(constellation, caption=self.text_code)
        self.steps = steps
        self.guidance = self.backend.guidance if guidance is None else guidance

    def messages(self, images: Tensor, rng: Sequence[torch.Generator]) -> list[dict[str, Message]]:
        """Return the caption of each image."""
        return [{"caption": caption} for caption in self._caption_messages(images)]

    def reconstructed(
        self,
        received: Sequence[Mapping[str, Decoded]],
        control: Sequence[StreamControl],
        rng: Sequence[torch.Generator],
    ) -> tuple[Tensor, Info]:
        """Generate an image from each caption."""
        prompts = self._prompts(received)
        size = self.backend.working_size(control[0].height, control[0].width)
        generated = self.backend.generate(prompts, size, None, self.steps, 1.0, self.guidance, rng)
        return self._finished(generated, size, control, prompts, denoising_steps=[self.steps] * len(control))
