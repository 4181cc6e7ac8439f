"""A caption and a sketch: Text+Sketch, the generative system of the SeSS paper's Figure 15."""

from collections.abc import Mapping, Sequence
from math import ceil, log2

import numpy as np
import torch
from torch import Tensor

from semcomm import memo
from semcomm.codecs import QAM, ChannelCode, SourceCodec, TextCodec, Uncoded
from semcomm.codecs.base import Decoded
from semcomm.codecs.bilevel import Bilevel
from semcomm.codecs.qam import Name
from semcomm.errors import ConfigurationError, DecodeError
from semcomm.images import content_hash, quantise
from semcomm.metrics import EmbeddedScore, Metric
from semcomm.seeds import Seed
from semcomm.transceivers.base import Info
from semcomm.transceivers.generative.base import Size, resized
from semcomm.transceivers.generative.captioned import Captioned, bytes_message, payload_of
from semcomm.transceivers.generative.diffusion import Diffusers
from semcomm.transceivers.generative.streams import Message, StreamControl, checked_steps

ANY_LENGTH = 2**16 - 1


class TextAndSketch(Captioned):
    """Sends a caption and a map of edges; the receiver generates an image of the caption along the edges.

    Source: Lei et al., "Text + Sketch: Image Compression at Ultra Low Rates" (arXiv 2307.01944). As there, the sender
    tries `candidates` images, whose seeds both sides know, and sends the index of the one most like the original.
    Otherwise than there, BLIP writes the caption instead of an inversion of the prompt, the edges are Canny's, and the
    map is coded exactly or by any source codec; there, by a learned one trained on edges. The noise of generation comes
    from `seed` alone, not from the realisation. Side information: the original's size, 32 bits, both lengths in bytes,
    16 each, and the index.

    Args:
        backend: writes captions and generates; it needs a `controlnet`.
        text: caption to bytes; none is `ASCIIText`, 8 bits a character.
        sketch: edge map to bytes, a codec for images; none is `Bilevel`, which is exact.
        sketch_bpp: budget of the sketch in bits per pixel of the original, for lossy codecs; none is no limit.
        sigma: smoothing before edges are sought, in pixels at the working size: more of it leaves fewer edges.
        text_code: protects the caption; none sends it as it is.
        sketch_code: protects the sketch; none sends it as it is.
        constellation: bits to symbols; none sends bits, over a channel that carries bits.
        candidates: how many images the sender tries.
        likeness: the metric by which it chooses; none is `EmbeddedScore`.
        seed: of the candidates.
        steps: denoising steps.
        guidance: scale of classifier-free guidance.
        control: weight of the ControlNet.
    """

    def __init__(
        self,
        backend: Diffusers,
        text: TextCodec | None = None,
        sketch: SourceCodec | None = None,
        sketch_bpp: float | None = None,
        sigma: float = 2.0,
        text_code: ChannelCode | None = None,
        sketch_code: ChannelCode | None = None,
        constellation: Name | QAM | None = "16qam",
        candidates: int = 1,
        likeness: Metric | None = None,
        seed: int = 42,
        steps: int = 50,
        guidance: float = 9.0,
        control: float = 1.0,
    ) -> None:
        checked_steps(steps, guidance)
        if not backend.controlnet:
            raise ConfigurationError(
                "TextAndSketch needs a ControlNet: name one in its backend, Diffusers(controlnet='controlnet-canny')"
            )
        if candidates < 1 or not sigma > 0 or not control >= 0:
            raise ConfigurationError(
                "TextAndSketch takes at least 1 candidate, sigma above 0 and control of at least 0"
            )
        if sketch_bpp is not None and not sketch_bpp > 0:
            raise ConfigurationError(f"sketch_bpp is {sketch_bpp}; it must be above 0")
        self._captioned_by(backend, text)
        self.text_code, self.sketch_code = text_code or Uncoded(), sketch_code or Uncoded()
        self._over(constellation, caption=self.text_code, sketch=self.sketch_code)
        self.sketch = sketch or Bilevel()
        self.sketch_bpp = sketch_bpp
        self.sigma = sigma
        self.candidates = candidates
        self.likeness = (likeness or EmbeddedScore()) if candidates > 1 else None
        self.seed = seed
        self.steps = steps
        self.guidance = guidance
        self.control = control

    def messages(self, images: Tensor, rng: Sequence[torch.Generator]) -> list[dict[str, Message]]:
        """Return caption and sketch of each image; the index of its best candidate goes with the sketch."""
        size = self.backend.working_size(*images.shape[2:])
        allowed = ANY_LENGTH
        if self.sketch_bpp is not None:
            allowed = min(allowed, int(self.sketch_bpp * images.shape[2] * images.shape[3]) // 8)
        rows = []
        for image, caption in zip(images, self._caption_messages(images)):
            payload = self.sketch.encode(edges(resized(image[None], size)[0], self.sigma), allowed)
            sketch = bytes_message(payload)
            index = self._chosen(image, payload_of(Decoded(caption.bits, None, None)), payload, size)
            side_bits = sketch.side_bits + ceil(log2(self.candidates))
            rows.append({"caption": caption, "sketch": Message(sketch.bits, side_bits, index)})
        return rows

    def reconstructed(
        self,
        received: Sequence[Mapping[str, Decoded]],
        control: Sequence[StreamControl],
        rng: Sequence[torch.Generator],
    ) -> tuple[Tensor, Info]:
        """Generate an image from each caption and sketch; where no sketch can be decoded, from a blank one."""
        prompts = self._prompts(received)
        size = self.backend.working_size(control[0].height, control[0].width)
        sketches = [self._decoded_sketch(payload_of(row["sketch"]), size) for row in received]
        blank = torch.zeros(1, *size)
        stacked = torch.stack([blank if sketch is None else sketch for sketch in sketches])
        generated = self._generated(prompts, stacked, [known.side["sketch"] for known in control])
        lost = [sketch is None for sketch in sketches]
        return self._finished(generated, size, control, prompts, sketch_failed=lost)

    def _decoded_sketch(self, payload: bytes, size: Size) -> Tensor | None:
        try:
            image = self.sketch.decode(payload)
        except DecodeError:
            return None
        return (image.mean(0, keepdim=True) >= 0.5).float() if tuple(image.shape[1:]) == tuple(size) else None

    def _generated(self, prompts: Sequence[str], sketches: Tensor, indices: Sequence[int]) -> Tensor:
        rng = [Seed(f"text and sketch/{self.seed}/{index}").generator("candidate") for index in indices]
        return self.backend.generate_from_sketch(prompts, sketches, self.steps, self.guidance, self.control, rng)

    def _chosen(self, image: Tensor, caption: bytes, payload: bytes, size: Size) -> int:
        """Return the index of the candidate most like the original; the memo keeps it."""
        if self.candidates == 1:
            return 0

        def compute() -> bytes:
            sketch = self._decoded_sketch(payload, size)
            if sketch is None:
                return b"\0"
            scores = []
            for index in range(self.candidates):
                made = self._generated([self.text.decode(caption)], sketch[None], [index])
                made = quantise(resized(made, tuple(image.shape[1:])))
                scores.append(self.likeness(image[None], made).item())
            best = np.nanargmax if self.likeness.higher_is_better else np.nanargmin
            return int(best(scores)).to_bytes(4)

        recipe = self.replaced(text_code=None, sketch_code=None, constellation=None).recipe()
        return int.from_bytes(memo.current().get({"candidate": recipe, "image": content_hash(image)}, compute))


def edges(image: Tensor, sigma: float) -> Tensor:
    """Return Canny's edges of an image [3, H, W] (Canny 1986), as one of the same shape: 1 on an edge, 0 elsewhere."""
    from skimage.feature import canny

    grey = image.mul(torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    return torch.from_numpy(canny(grey.numpy(), sigma=sigma)).float().expand(3, -1, -1)
