"""The base of the transceivers that send a caption."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from semcomm.channels import Channel
from semcomm.codecs import ASCIIText, TextCodec
from semcomm.codecs.base import Decoded
from semcomm.seeds import Seed
from semcomm.transceivers.base import Info, Reception
from semcomm.transceivers.generative.base import GenerativeModel, Size, resized
from semcomm.transceivers.generative.streams import Message, Multiplexed, StreamControl

LENGTH_BITS = 16
"""A text's or sketch's length in bytes, as side information."""


class Captioned(Multiplexed):
    """A transceiver of which one stream is a caption.

    The results say `caption`, what arrived of it (`received_caption`, with \\x07 for what cannot be printed), in how
    many places the two differ (`caption_errors`), how many characters the codec altered (`altered_characters`) and its
    `bits_per_character`.
    """

    backend: GenerativeModel
    text: TextCodec
    guidance: float

    def _captioned_by(self, backend: Literal["embedded"] | GenerativeModel, text: TextCodec | None) -> None:
        if backend == "embedded":
            from semcomm.transceivers.generative.embedded import Embedded

            backend = Embedded()
        self.backend = backend
        self.text = text or ASCIIText()

    def transmit(self, images: Tensor, channel: Channel, seeds: Sequence[Seed]) -> Reception:
        """Send `images` [B, 3, H, W]; say beside what arrived of the captions what was sent."""
        reception = super().transmit(images, channel, seeds)
        return with_captions(reception, [self] * len(images), self.captions(images))

    def captions(self, images: Tensor) -> list[str]:
        """Return what is sent as the caption of each image."""
        return self.backend.caption_once(images)

    def compared(self, sent: str, received: str) -> dict[str, Any]:
        """Return the columns that say what became of one caption."""
        payload = self.text.encode(sent)
        errors = sum(a != b for a, b in zip_longest(self.text.decode(payload), received))
        return {
            "caption": printable(sent),
            "received_caption": printable(received),
            "caption_errors": errors,
            "altered_characters": self.text.altered(sent),
            "bits_per_character": 8 * len(payload) / len(sent) if sent else float("nan"),
        }

    def _caption_messages(self, images: Tensor) -> list[Message]:
        return [bytes_message(self.text.encode(caption)) for caption in self.captions(images)]

    def _prompts(self, received: Sequence[Mapping[str, Decoded]]) -> list[str]:
        return [self.text.decode(payload_of(row["caption"])) for row in received]

    def _finished(
        self,
        generated: Tensor,
        size: Size,
        control: Sequence[StreamControl],
        prompts: Sequence[str],
        **info: Sequence[Any],
    ) -> tuple[Tensor, Info]:
        """Return generated images at the original size, and the columns that all these transceivers have."""
        height, width = control[0].height, control[0].width
        return resized(generated, (height, width)), {
            "received_caption": list(prompts),
            "generated_by": [self.backend.name] * len(control),
            "size": [f"{width}x{height}"] * len(control),
            "working_size": [f"{size[1]}x{size[0]}"] * len(control),
            **info,
        }


def with_captions(reception: Reception, links: Sequence[Captioned], captions: Sequence[str]) -> Reception:
    """Return a reception that says, beside what arrived of each caption, what was sent.

    Args:
        reception: with the prompts as they arrived.
        links: which transceiver sent each image.
        captions: of the originals.
    """
    rows = [
        link.compared(sent, received)
        for link, sent, received in zip(links, captions, reception.info["received_caption"])
    ]
    said = {name: [row[name] for row in rows] for name in rows[0]}
    return Reception(reception.images, reception.ledger, {**reception.info, **said})


def bytes_message(payload: bytes) -> Message:
    """Return the message that is some bytes; its length is side information."""
    bits = np.unpackbits(np.frombuffer(payload, dtype=np.uint8))
    return Message(torch.from_numpy(bits), LENGTH_BITS)


def payload_of(decoded: Decoded) -> bytes:
    """Return the bytes in what was decoded."""
    return np.packbits(decoded.bits.numpy()).tobytes()


def printable(text: str) -> str:
    """Return a text with escapes for what cannot be printed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
