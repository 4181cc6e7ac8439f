"""Text alone where the channel is bad or the budget small, text and latent elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import isnan
from typing import Any

import torch
from torch import Tensor

from semcomm.channels import Channel, ChannelOutput
from semcomm.errors import ConfigurationError
from semcomm.ledger import Ledger
from semcomm.seeds import Seed
from semcomm.transceivers.base import Info, Reception, Signal, Transceiver
from semcomm.transceivers.generative.captioned import with_captions
from semcomm.transceivers.generative.text_and_latent import TextAndLatent
from semcomm.transceivers.generative.text_to_image import TextToImage

TEXT, BOTH = "text", "text and latent"


@dataclass(frozen=True)
class AdaptiveControl:
    """The side information of one image: which of the two it was sent with, in 1 bit, and that one's own."""

    both: bool
    control: Any


class AdaptiveGenerative(Transceiver):
    """Chooses for each image what is sent of it: the "adaptive transmissions" that the Img2Img-SC paper leaves open.

    Text and latent are sent where the SNR known to the transmitter is at least `min_snr_db` and both together take
    at most `max_bpp` source bits per pixel of the original; else text alone. The choice is signalled in 1 bit.

    Args:
        text: sends the caption alone.
        both: sends caption and latent.
        min_snr_db: Es/N0 in dB below which text alone is sent; none does not look at it.
        max_bpp: source bits per pixel above which text alone is sent; none does not look at it.
    """

    def __init__(
        self, text: TextToImage, both: TextAndLatent, min_snr_db: float | None = None, max_bpp: float | None = None
    ) -> None:
        if min_snr_db is None and max_bpp is None:
            raise ConfigurationError("AdaptiveGenerative chooses by min_snr_db, by max_bpp or by both: give one")
        if (text.constellation is None) != (both.constellation is None):
            raise ConfigurationError("AdaptiveGenerative needs a constellation in both of its transceivers, or in none")
        self.text = text
        self.both = both
        self.min_snr_db = min_snr_db
        self.max_bpp = max_bpp

    def transmit(self, images: Tensor, channel: Channel, seeds: Sequence[Seed]) -> Reception:
        """Send `images` [B, 3, H, W]; say beside what arrived of the captions what was sent."""
        reception = super().transmit(images, channel, seeds)
        links = [self.both if sent == BOTH else self.text for sent in reception.info["sent"]]
        captions = [link.captions(images[n : n + 1])[0] for n, link in enumerate(links)]
        return with_captions(reception, links, captions)

    def send(self, images: Tensor, snr_db: Tensor, rng: Sequence[torch.Generator]) -> Signal:
        """Turn each image into symbols, or bits, by the transceiver chosen for it."""
        if self.min_snr_db is not None and any(map(isnan, snr_db.tolist())):
            raise ConfigurationError(
                "min_snr_db needs to know the SNR, and the transmitter knows nothing of this channel: set its csi to "
                "'average', or choose by max_bpp alone"
            )
        signals = [
            self._sent(images[n : n + 1], snr_db[n : n + 1], rng[n : n + 1], generator.get_state())
            for n, generator in enumerate(rng)
        ]
        ledger = Ledger.concatenated([signal.ledger for _, signal in signals])
        carried = "symbols" if self.text.constellation else "bits"
        return Signal(
            replace(ledger, side_bits=ledger.side_bits + 1),
            **{carried: [signal.sent()[0] for _, signal in signals]},
            control=[AdaptiveControl(both, signal.control[0]) for both, signal in signals],
        )

    def _sent(
        self, image: Tensor, snr_db: Tensor, rng: Sequence[torch.Generator], state: Tensor
    ) -> tuple[bool, Signal]:
        if self.min_snr_db is None or snr_db.item() >= self.min_snr_db:
            signal = self.both.send(image, snr_db, rng)
            if self.max_bpp is None or signal.ledger.bpp.item() <= self.max_bpp:
                return True, signal
            rng[0].set_state(state)
        return False, self.text.send(image, snr_db, rng)

    def receive(
        self, output: ChannelOutput, control: Sequence[AdaptiveControl], rng: Sequence[torch.Generator]
    ) -> tuple[Tensor, Info]:
        """Let each image be received by the transceiver that it was sent with."""
        images: list[Tensor | None] = [None] * len(control)
        info: dict[str, list[Any]] = {"sent": [BOTH if known.both else TEXT for known in control]}
        for link, both in ((self.text, False), (self.both, True)):
            chosen = [n for n, known in enumerate(control) if known.both == both]
            if not chosen:
                continue
            own = [control[n].control for n in chosen]
            received, columns = link.receive(_part(output, chosen), own, [rng[n] for n in chosen])
            for name, values in columns.items():
                column = info.setdefault(name, [None] * len(control))
                for n, value in zip(chosen, values):
                    column[n] = value
            for n, image in zip(chosen, received):
                images[n] = image
        return torch.stack(images), info


def _part(output: ChannelOutput, chosen: Sequence[int]) -> ChannelOutput:
    """Return what came out of the channel for some of the images."""

    def of(values: Any) -> Any:
        if isinstance(values, list):
            return [values[n] for n in chosen]
        return values[list(chosen)] if values is not None and values.ndim else values

    return ChannelOutput(**{f.name: of(getattr(output, f.name)) for f in fields(ChannelOutput)})
