"""Parts of a run that mean harm: a decoder that dies, and words from the channel."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from semcomm import guard
from semcomm.codecs.base import SourceCodec
from semcomm.images import from_bytes, to_bytes
from semcomm.transceivers.base import Info
from semcomm.transceivers.separate import Separate

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for bad_decoders, also in a worker

CAPTIONS = (
    '</script><img src=x onerror="alert(1)"><b>a cat</b> & %{x} ]]> ${title} <!-- &lt;i&gt;',
    "</script><script>document.title = 'changed'</script><svg onload=alert(1)>",
    "\"' onmouseover='alert(1)' \x00\x07\x1b[31m\u2028\u202e evil \u2066\u200f \\u003cb\\u003e javascript:alert(1)",
)


class Dying(SourceCodec):
    """Sends an image's mean colour; of an image that is brighter than `limit`, what kills its decoder."""

    def __init__(self, limit: float = 1.0, death: str = "crash") -> None:
        self.limit = limit
        self.death = death

    def encode(self, image: Tensor, max_bytes: int) -> bytes:
        """Return three bytes, or more that do harm."""
        if image.mean() > self.limit:
            return self.death.encode()
        return bytes(to_bytes(image.mean((1, 2), keepdim=True)).reshape(3).tolist())

    def decode(self, payload: bytes) -> Tensor:
        """Decode in the guard, into 64 x 64."""
        import bad_decoders

        small = from_bytes(guard.shared().decode(bad_decoders.behaving, payload))
        return small[:, :1, :1].expand(3, 64, 64)


class Talking(Separate):
    """A separate link that says what it has sent and heard, in the columns of generative links."""

    sent, heard = CAPTIONS[:2]

    def receive(self, output, control: Sequence, rng: Sequence[torch.Generator]) -> tuple[Tensor, Info]:
        """Receive as ever, with captions for each image."""
        images, info = super().receive(output, control, rng)
        captions = {"caption": [self.sent] * len(images), "received_caption": [self.heard] * len(images)}
        return images, {**info, **captions}


class Shouting(Talking):
    """Says something else: what every row says, a report leaves out."""

    sent, heard = CAPTIONS[2], CAPTIONS[0]
