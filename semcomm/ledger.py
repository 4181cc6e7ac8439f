"""What a transmission cost. The only place where bpp, CBR and spectral efficiency are computed."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

Counts = Tensor | Sequence[float] | float


@dataclass(frozen=True)
class Ledger:
    """Costs per image; every field is a `float64` tensor of shape [B].

    Attributes:
        pixels: H·W of the original image.
        source_bits: bits that the source codec made; NaN for an analog link, which has none.
        coded_bits: bits as sent, with CRC, filler and padding; NaN for an analog link.
        channel_uses: complex symbols sent, without pilots; 0 where bits were sent as such.
        side_bits: bits that the link needs on a control channel (payload length, constellation, ...).
        model_bits: the image's share of the model weights sent for it.
        pilot_uses: channel uses spent on pilots.
    """

    pixels: Tensor
    source_bits: Tensor
    coded_bits: Tensor
    channel_uses: Tensor
    side_bits: Tensor
    model_bits: Tensor
    pilot_uses: Tensor

    @classmethod
    def of(
        cls,
        images: Tensor,
        *,
        source_bits: Counts,
        coded_bits: Counts | None = None,
        channel_uses: Counts = 0,
        side_bits: Counts = 0,
        model_bits: Counts = 0,
        pilot_uses: Counts = 0,
    ) -> "Ledger":
        """Make the ledger of `images` [B, 3, H, W]; a single number stands for every image.

        `coded_bits` defaults to `source_bits`: nothing was added.
        """
        batch = len(images)

        def column(value: Counts) -> Tensor:
            return torch.as_tensor(value, dtype=torch.float64).expand(batch).clone()

        return cls(
            pixels=column(images.shape[-2] * images.shape[-1]),
            source_bits=column(source_bits),
            coded_bits=column(source_bits if coded_bits is None else coded_bits),
            channel_uses=column(channel_uses),
            side_bits=column(side_bits),
            model_bits=column(model_bits),
            pilot_uses=column(pilot_uses),
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def __add__(self, other: "Ledger") -> "Ledger":
        """The cost of two streams that carry the same images."""
        if not torch.equal(self.pixels, other.pixels):
            raise ValueError("two ledgers add up only when they are of the same images")
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Ledger(**{**sums, "pixels": self.pixels})

    @classmethod
    def concatenated(cls, ledgers: Sequence["Ledger"]) -> "Ledger":
        """The ledger of several batches, one after the other."""
        return cls(**{f.name: torch.cat([getattr(ledger, f.name) for ledger in ledgers]) for f in fields(cls)})

    def with_pilots(self, pilot_uses: Counts) -> "Ledger":
        """This ledger with `pilot_uses` more channel uses spent on pilots."""
        more = torch.as_tensor(pilot_uses, dtype=torch.float64)
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Ledger(**{**values, "pilot_uses": self.pilot_uses + more})

    @property
    def bpp(self) -> Tensor:
        """Source bits per pixel [B]."""
        return self.source_bits / self.pixels

    @property
    def cbr(self) -> Tensor:
        """Channel bandwidth ratio [B]: channel uses / (3·H·W), pilots apart."""
        return self.channel_uses / (3 * self.pixels)

    @property
    def code_rate(self) -> Tensor:
        """Source bits / coded bits as sent [B]."""
        return self.source_bits / self.coded_bits

    @property
    def spectral_efficiency(self) -> Tensor:
        """Source bits per channel use [B], pilots counted as uses."""
        return self.source_bits / (self.channel_uses + self.pilot_uses)

    @property
    def total_bpp(self) -> Tensor:
        """Bits per pixel with everything [B]: source, side and model bits, and pilots.

        A pilot takes the place of a data symbol, so it counts as the source bits of one.
        """
        per_use = torch.where(self.channel_uses > 0, self.source_bits / self.channel_uses, 0.0)
        pilots = self.pilot_uses * per_use
        return (self.source_bits + self.side_bits + self.model_bits + pilots) / self.pixels
