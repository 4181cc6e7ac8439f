"""SoftCast: an image as analog symbols, without entropy coding or a channel code, so that quality follows the SNR."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor

from semcomm.channels import ChannelOutput, noise_variance
from semcomm.errors import ConfigurationError
from semcomm.images import quantise
from semcomm.ledger import Ledger
from semcomm.transceivers.base import Info, Signal, Transceiver

SIZE_BITS, MEAN_BITS, SCALE_BITS, LEVEL_BITS = 32, 24, 32, 5
"""Side information: height and width, mean colour, the scale that gives power 1, the variance of a band."""
LEVELS = 2**LEVEL_BITS - 1
LARGEST, STEP = 8.0, 0.9
"""Variances are rounded to powers of 2 from 2^8 down in steps of 0.9 octaves; level 0 is a band of nothing."""
BLOCKS = (4, 8, 16, 32)


@dataclass(frozen=True)
class Coefficients:
    """Side information on one image's transform coefficients.

    Attributes:
        levels: of the variance of each band, `uint8` [bands].
        scale: of all symbols.
        blocks: how many coefficients a band has.
        sent: how many coefficients were sent.
    """

    levels: Tensor
    scale: float
    blocks: int
    sent: int

    @property
    def side_bits(self) -> int:
        """Bits of it on the control channel; the rest follows from the image's size and the budget."""
        return SCALE_BITS + LEVEL_BITS * len(self.levels)

    @property
    def variances(self) -> Tensor:
        """Variance of each band `float64` [bands]."""
        return torch.where(self.levels > 0, 2.0 ** (LARGEST - STEP * (LEVELS - self.levels.double())), 0.0)

    def order(self) -> Tensor:
        """Return the places, band by band, of the coefficients sent: those of the largest variances, shuffled.

        So neighbours in time belong to all bands, and a fade costs a little everywhere.
        """
        bands = torch.argsort(self.levels, descending=True, stable=True)
        places = (bands[:, None] * self.blocks + torch.arange(self.blocks)).flatten()[: self.sent]
        return places[torch.from_numpy(np.random.RandomState(self.sent % 2**32).permutation(self.sent))]

    def gains(self) -> Tensor:
        """Return the factor of each band's coefficients [bands], inverse to the fourth root of the variance."""
        return self.scale * self.variances.clamp_min(1e-12) ** -0.25

    def expected_error(self, snr_db: float) -> float:
        """Return the mean squared error of a coefficient over AWGN, by the variances."""
        variances, noise = self.variances, noise_variance(snr_db).double().item() / 2
        counts = torch.bincount(self.order() // self.blocks, minlength=len(variances)).double() / self.blocks
        remaining = variances * noise / (self.gains() ** 2 * variances + noise)
        return float((counts * remaining + (1 - counts) * variances).mean())


def analog_symbols(values: Tensor, block: int, uses: int) -> tuple[Tensor, Coefficients]:
    """Return symbols `complex64` [k] of mean power 1, at most `uses`, and what the receiver must know of them.

    The coefficients of largest variance are sent, each multiplied with the inverse fourth root of its band's variance,
    which minimises the squared error of a linear code at high SNR (Lee and Petersen 1976, Optimal linear coding).

    Args:
        values: [3, H, W] of zero mean, an image less its mean or a residual.
        block: side of the transform's blocks.
        uses: channel uses at most.
    """
    coefficients = transformed(values, block)
    blocks = coefficients.shape[1]
    power = coefficients.double().square().mean(1).clamp_min(1e-30)
    levels = (LEVELS + (torch.log2(power) - LARGEST) / STEP).round().clamp(0, LEVELS).to(torch.uint8)
    sent = min(2 * uses, blocks * int((levels > 0).sum()))
    known = Coefficients(levels, 1.0, blocks, sent)
    weighted = (coefficients * known.gains()[:, None].float()).flatten()[known.order()]
    symbols = torch.view_as_complex(torch.nn.functional.pad(weighted, (0, sent % 2)).reshape(-1, 2))
    mean_power = float(symbols.abs().square().mean()) if sent else 1.0
    scale = float(np.float32(mean_power**-0.5)) if mean_power else 1.0
    return symbols * scale, Coefficients(levels, scale, blocks, sent)


def analog_values(
    symbols: Tensor, variance: Tensor, known: Coefficients, block: int, height: int, width: int
) -> Tensor:
    """Return the linear least-squares estimate of the values [3, H, W], from symbols without bias [k].

    Args:
        symbols: received over their gain, [k].
        variance: of their noise, [k] or [].
        known: as `analog_symbols` returned it.
        block: side of the transform's blocks.
        height: of the values.
        width: of the values.
    """
    received = torch.view_as_real(symbols).flatten()[: known.sent].double()
    noise = (variance.double() / 2).expand(len(symbols)).repeat_interleave(2)[: known.sent]
    order = known.order()
    band = order // known.blocks
    variances, gains = known.variances[band], known.gains()[band]
    coefficients = torch.zeros(len(known.levels) * known.blocks, dtype=torch.float64)
    coefficients[order] = variances * gains / (gains**2 * variances + noise) * received
    return restored(coefficients.float().reshape(-1, known.blocks), block, height, width)


def transformed(values: Tensor, block: int) -> Tensor:
    """Return the orthonormal DCT of `values` [3, H, W] over colours and blocks: [bands, blocks]."""
    height, width = values.shape[1:]
    pad = (0, -width % block, 0, -height % block)
    tiles = torch.nn.functional.pad(values[None], pad, mode="replicate")[0]
    tiles = tiles.unflatten(2, (-1, block)).unflatten(1, (-1, block))  # [3, rows, block, columns, block]
    across, colours = _dct(block), _dct(3)
    bands = torch.einsum("uc,yi,xj,crisj->uyxrs", colours, across, across, tiles)
    return bands.reshape(3 * block * block, -1)


def restored(coefficients: Tensor, block: int, height: int, width: int) -> Tensor:
    """Return the values [3, H, W] of coefficients [bands, blocks]: `transformed` undone."""
    rows, columns = ceil(height / block), ceil(width / block)
    bands = coefficients.reshape(3, block, block, rows, columns)
    across, colours = _dct(block), _dct(3)
    tiles = torch.einsum("uc,yi,xj,uyxrs->crisj", colours, across, across, bands)
    return tiles.reshape(3, rows * block, columns * block)[:, :height, :width]


def _dct(size: int) -> Tensor:
    """Return the orthonormal DCT-II as a matrix [frequency, place]."""
    from scipy.fft import dct

    return torch.from_numpy(dct(np.eye(size), axis=0, norm="ortho")).float()


@dataclass(frozen=True)
class SoftCastControl:
    """Side information of one image."""

    height: int
    width: int
    mean: Tensor
    known: Coefficients


class SoftCast(Transceiver):
    """Analog transmission of transform coefficients, after Jakubczak and Katabi (MobiCom 2011), for still images.

    An orthonormal DCT over colours and blocks; of each band of equal frequency the variance is side information. The
    bands of largest variance are sent, as many as the budget holds, with power by the square root of their variance
    (amplitudes by its fourth root). The receiver is the linear least-squares estimator. There is nothing to decode that
    could fail: quality follows the SNR of each image, known to the transmitter or not.

    Unlike the original, single images are sent, bands are not mixed by a Hadamard transform but shuffled over time, and
    symbols have the peaks that the coefficients have (`papr_db`).

    `side_bits`: 5 for the variance of each of 3·block² bands, 88 for size, mean colour and scale.

    Args:
        channel_uses_per_pixel: budget in complex symbols per pixel, at most 1.5 (each coefficient once).
        block: side of the blocks in pixels: 4, 8, 16 or 32. Large ones suit large images.
    """

    def __init__(self, channel_uses_per_pixel: float, block: int = 16) -> None:
        checked_block(block)
        if not 0 < channel_uses_per_pixel <= 1.5:
            raise ConfigurationError(
                f"channel_uses_per_pixel is {channel_uses_per_pixel}; SoftCast takes more than 0, and at most "
                "1.5, with which every coefficient is sent"
            )
        self.channel_uses_per_pixel = channel_uses_per_pixel
        self.block = block

    def send(self, images: Tensor, snr_db: Tensor, rng: Sequence[torch.Generator]) -> Signal:
        """Turn `images` [B, 3, H, W] into symbols of mean power 1."""
        height, width = images.shape[2:]
        uses = int(self.channel_uses_per_pixel * height * width)
        symbols, control = [], []
        for image in images:
            mean = quantise(image.mean((1, 2)))
            sent, known = analog_symbols(image - mean[:, None, None], self.block, uses)
            symbols.append(sent)
            control.append(SoftCastControl(height, width, mean, known))
        ledger = Ledger.of(
            images,
            source_bits=float("nan"),
            channel_uses=[len(x) for x in symbols],
            side_bits=[SIZE_BITS + MEAN_BITS + this.known.side_bits for this in control],
        )
        return Signal(ledger, symbols=symbols, control=control)

    def receive(
        self, output: ChannelOutput, control: Sequence[SoftCastControl], rng: Sequence[torch.Generator]
    ) -> tuple[Tensor, Info]:
        """Estimate the coefficients of each image and turn them back into images [B, 3, H, W]."""
        images = [
            this.mean[:, None, None] + analog_values(*pair, this.known, self.block, this.height, this.width)
            for pair, this in zip(output.zero_forced(), control)
        ]
        return torch.stack(images).clamp(0, 1), {}


def checked_block(block: int) -> int:
    """Return `block`, if it is a side of blocks."""
    if block not in BLOCKS:
        raise ConfigurationError(f"block is {block}; it is one of {', '.join(map(str, BLOCKS))} pixels")
    return block
