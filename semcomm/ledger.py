"""Cost of a transmission. The only place where bpp, CBR and spectral efficiency are computed."""

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
        pilot_uses: resource elements spent on pilots.
        overhead_uses: samples of the signal that carry no symbol: cyclic prefixes, guard carriers, what a frame leaves
            empty.
        streams: symbols that share a resource element, over several antennas; 1 elsewhere.
    """

    pixels: Tensor
    source_bits: Tensor
    coded_bits: Tensor
    channel_uses: Tensor
    side_bits: Tensor
    model_bits: Tensor
    pilot_uses: Tensor
    overhead_uses: Tensor
    streams: Tensor

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
        overhead_uses: Counts = 0,
        streams: Counts = 1,
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
            overhead_uses=column(overhead_uses),
            streams=column(streams),
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def __add__(self, other: "Ledger") -> "Ledger":
        """The cost of two streams that carry the same images over the same channel."""
        for name in ("pixels", "streams"):
            if not torch.equal(getattr(self, name), getattr(other, name)):
                raise ValueError(f"two ledgers add up only when they are of the same images, and so of equal {name}")
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Ledger(**{**sums, "pixels": self.pixels, "streams": self.streams})

    @classmethod
    def concatenated(cls, ledgers: Sequence["Ledger"]) -> "Ledger":
        """The ledger of several batches, one after the other."""
        return cls(**{f.name: torch.cat([getattr(ledger, f.name) for ledger in ledgers]) for f in fields(cls)})

    def with_channel(self, pilot_uses: Counts = 0, overhead_uses: Counts = 0, streams: Counts = 1) -> "Ledger":
        """This ledger with what the channel adds: `pilot_uses` and `overhead_uses` more, and its `streams`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        added = {"pilot_uses": pilot_uses, "overhead_uses": overhead_uses}
        sums = {name: values[name] + torch.as_tensor(count, dtype=torch.float64) for name, count in added.items()}
        layers = torch.as_tensor(streams, dtype=torch.float64).expand(len(self)).clone()
        return Ledger(**{**values, **sums, "streams": layers})

    @property
    def bpp(self) -> Tensor:
        """Source bits per pixel [B]."""
        return self.source_bits / self.pixels

    @property
    def cbr(self) -> Tensor:
        """Channel bandwidth ratio [B]: channel uses / (3·H·W), pilots and overhead apart; see `total_cbr`."""
        return self.channel_uses / (3 * self.pixels)

    @property
    def code_rate(self) -> Tensor:
        """Source bits / coded bits as sent [B]."""
        return self.source_bits / self.coded_bits

    @property
    def resource_uses(self) -> Tensor:
        """Samples of the signal that all took [B]: resource elements of data and of pilots, and overhead."""
        return self.channel_uses / self.streams + self.pilot_uses + self.overhead_uses

    @property
    def total_cbr(self) -> Tensor:
        """Bandwidth ratio with everything [B]: `resource_uses` / (3·H·W)."""
        return self.resource_uses / (3 * self.pixels)

    @property
    def spectral_efficiency(self) -> Tensor:
        """Source bits per sample of the signal [B], pilots and overhead counted."""
        return self.source_bits / self.resource_uses

    @property
    def total_bpp(self) -> Tensor:
        """Bits per pixel with everything [B]: source, side and model bits, pilots and overhead.

        What carries a pilot or nothing could carry data, so it counts as the source bits of a resource element.
        """
        elements = self.channel_uses / self.streams
        lost = (self.pilot_uses + self.overhead_uses) * torch.where(elements > 0, self.source_bits / elements, 0.0)
        return (self.source_bits + self.side_bits + self.model_bits + lost) / self.pixels
