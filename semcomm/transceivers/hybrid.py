"""Hybrid digital-analog coding: a robust digital layer, and what it leaves as analog symbols."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from semcomm.channels import ChannelOutput
from semcomm.codecs.base import ChannelCode, SourceCodec
from semcomm.codecs.qam import QAM, Name
from semcomm.errors import ConfigurationError
from semcomm.ledger import Ledger
from semcomm.transceivers.base import Info, Signal, Transceiver
from semcomm.transceivers.separate import Separate
from semcomm.transceivers.softcast import Coefficients, analog_symbols, analog_values, checked_block

SHARES = (0.05, *(n / 10 for n in range(1, 10)))
"""Digital shares of the channel uses to choose from."""
SHARE_BITS = 4
POINTS = 5
"""SNRs of a range at which shares are compared."""


@dataclass(frozen=True)
class HybridControl:
    """Side information of one image: that of its digital layer and of its residual."""

    digital: Any
    digital_uses: int
    residual: Coefficients
    height: int
    width: int


class Hybrid(Transceiver):
    """A digital layer in a share of the channel uses, and its residual as analog symbols in the others.

    The digital layer is separate coding in a fixed mode; what its reconstruction leaves of the image is sent as
    `SoftCast` sends images. Above the SNR that the mode needs, quality goes on rising with the SNR (Mittal and Phamdo
    2002, Hybrid digital-analog joint source-channel codes). Where blocks of the digital layer are lost, the residual is
    added to what is left of it.

    The analog part takes what the digital one leaves, so all uses of the budget carry something. `side_bits` are those
    of `Separate`, 32 for the residual's scale, 5 for the variance of each of its 3·block² bands and, with `meant_for`,
    4 for the share.

    Args:
        source: image to bytes, of the digital layer.
        code: bits to coded bits.
        constellation: bits to symbols.
        channel_uses_per_pixel: budget in complex symbols per pixel, both layers together.
        share: of the channel uses, for the digital layer: 0 to 1, both excluded. This or `meant_for`.
        meant_for: lowest and highest SNR in dB that the link is meant for. Of ten shares each image takes that with the
            highest PSNR expected on average over the range, on AWGN and with the digital layer arriving: its mode must
            fit the lowest.
        block: side of the blocks of the residual's transform: 4, 8, 16 or 32.
        fill: what stands for the digital layer when nothing of it can be decoded: the `mean` colour, or mid `grey`.
    """

    def __init__(
        self,
        source: SourceCodec,
        code: ChannelCode,
        constellation: Name | QAM,
        channel_uses_per_pixel: float,
        share: float | None = None,
        meant_for: tuple[float, float] | None = None,
        block: int = 16,
        fill: Literal["mean", "grey"] = "mean",
    ) -> None:
        if (share is None) == (meant_for is None):
            raise ConfigurationError("Hybrid takes either a share of the channel uses or the SNRs it is meant_for")
        if share is not None and not 0 < share < 1:
            raise ConfigurationError(f"share is {share}; it is above 0 (SoftCast) and below 1 (Separate)")
        if meant_for is not None and not meant_for[0] <= meant_for[1]:
            raise ConfigurationError(f"meant_for is {meant_for}; it is the lowest SNR in dB and the highest")
        if constellation == "adaptive":
            raise ConfigurationError("the digital layer of Hybrid has a fixed mode: name a constellation")
        self.source = source
        self.code = code
        self.constellation = QAM(constellation) if isinstance(constellation, str) else constellation
        self.block = checked_block(block)
        self.share = share
        self.meant_for = meant_for
        self.channel_uses_per_pixel = channel_uses_per_pixel
        self.digital = {
            this: Separate(source, code, self.constellation, this * channel_uses_per_pixel, fill=fill)
            for this in (SHARES if share is None else (share,))
        }

    def send(self, images: Tensor, snr_db: Tensor, rng: Sequence[torch.Generator]) -> Signal:
        """Turn `images` [B, 3, H, W] into the symbols of both layers, one after the other."""
        layers = [self._best(image[None], snr_db[n : n + 1], rng[n : n + 1]) for n, image in enumerate(images)]
        digital, control, symbols = zip(*layers)
        ledger = Ledger.concatenated([signal.ledger for signal in digital])
        ledger += Ledger.of(
            images,
            source_bits=float("nan"),
            channel_uses=[len(x) - this.digital_uses for x, this in zip(symbols, control)],
            side_bits=[this.residual.side_bits + SHARE_BITS * (self.share is None) for this in control],
        )
        return Signal(ledger, symbols=list(symbols), control=list(control))

    def _best(
        self, image: Tensor, snr_db: Tensor, rng: Sequence[torch.Generator]
    ) -> tuple[Signal, HybridControl, Tensor]:
        """Return the digital signal, the control and all symbols of one image, with the share that suits it best."""
        found = [self._layers(digital, image, snr_db, rng) for digital in self.digital.values()]
        if len(found) == 1:
            return found[0]
        low, high = self.meant_for
        snrs_db = torch.linspace(low, high, POINTS).tolist()
        errors = [[layers[1].residual.expected_error(snr) for snr in snrs_db] for layers in found]
        return found[int(torch.tensor(errors).clamp_min(1e-12).log().mean(1).argmin())]

    def _layers(
        self, digital: Separate, image: Tensor, snr_db: Tensor, rng: Sequence[torch.Generator]
    ) -> tuple[Signal, HybridControl, Tensor]:
        signal = digital.send(image, snr_db, rng)
        (symbols,), control = signal.symbols, signal.control
        arrived = ChannelOutput(received=[symbols], noise_variance=torch.zeros(1))
        base, _ = digital.receive(arrived, control, rng)
        height, width = image.shape[2:]
        uses = int(self.channel_uses_per_pixel * height * width) - len(symbols)
        analog, residual = analog_symbols(image[0] - base[0], self.block, uses)
        return signal, HybridControl(control[0], len(symbols), residual, height, width), torch.cat([symbols, analog])

    def receive(
        self, output: ChannelOutput, control: Sequence[HybridControl], rng: Sequence[torch.Generator]
    ) -> tuple[Tensor, Info]:
        """Decode the digital layer and add the estimate of its residual: images [B, 3, H, W]."""
        digital = next(iter(self.digital.values()))  # a receiver of any share: the mode is in the control
        first = output.part([slice(this.digital_uses) for this in control])
        images, info = digital.receive(first, [this.digital for this in control], rng)
        rest = output.part([slice(this.digital_uses, None) for this in control])
        residuals = [
            analog_values(*pair, this.residual, self.block, this.height, this.width)
            for pair, this in zip(rest.zero_forced(), control)
        ]
        shares = [this.digital_uses / max(1, len(y)) for y, this in zip(output.received, control)]
        return (images + torch.stack(residuals)).clamp(0, 1), {**info, "digital_share": shares}
