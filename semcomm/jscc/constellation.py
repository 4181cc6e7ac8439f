"""What the symbols of a learned codec may be: any complex number, or the points of a QAM, and of what power.

Symbols are kept as pairs of real channels here, `float32` [B, 2c, h, w]: the first c are in phase, the rest quadrature.
"""

from math import pi, sqrt
from typing import Literal, get_args

import torch
from torch import Tensor

from semcomm.channels import noise_variance
from semcomm.errors import ConfigurationError

Name = Literal["analog", "qpsk", "16qam", "64qam"]
BITS_PER_SYMBOL: dict[str, int] = {"qpsk": 2, "16qam": 4, "64qam": 6}
LOADS = (0.05, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
"""Factors of unit power that are tried before rounding; the first is for so few symbols that all may be at corners."""
ROUNDING = {"analog": 0.0, "qpsk": 0.363, "16qam": 0.1, "64qam": 0.03}
"""About the power of the noise that rounding adds to points (tests compare it with what there is)."""
TURNS = 1327217885
"""Odd, and near 2^31 times the golden ratio's fractional part."""


def checked(name: str) -> str:
    """Return `name`, if there is such a constellation.

    Raises:
        ConfigurationError: if not.
    """
    if name not in get_args(Name):
        raise ConfigurationError(f"there is no constellation {name!r} here; choose from {', '.join(get_args(Name))}")
    return name


def levels(name: str) -> tuple[float, int]:
    """Return what divides the odd integers into the levels of one axis of a square QAM of unit power; their number."""
    count = 2 ** (BITS_PER_SYMBOL[name] // 2)
    return sqrt(2 * (count**2 - 1) / 3), count


def nearest(values: Tensor, name: str) -> Tensor:
    """Return the level of the constellation's axis that is nearest to each value."""
    divisor, count = levels(name)
    steps = ((values * divisor + count - 1) / 2).round().clamp(0, count - 1)
    return (2 * steps - (count - 1)) / divisor


def spread(grid: Tensor, present: Tensor, back: bool = False) -> Tensor:
    """Return symbols mixed over all present positions of an image by a unitary transform, or mixed symbols unmixed.

    It is the discrete Fourier transform after a turn by quadratic phases, which keeps smooth patterns from becoming
    peaks. Each mixed symbol is a sum of all others, so nearly Gaussian: rounding it to a constellation costs the same
    wherever in the image the power is, and comes back as noise spread evenly (as spreading does to the peaks of OFDM).

    Args:
        grid: [B, 2c, h, w], zero where `present` is not.
        present: 0 or 1, [B, 1, h, w].
        back: unmix.
    """
    mixed = []
    for one, there in zip(grid.float(), present[:, 0] > 0):
        symbols = torch.complex(*one.chunk(2))
        flat = symbols[:, there].flatten()
        if len(flat):
            turns = _turns(len(flat), grid.device)
            flat = (
                torch.fft.ifft(flat, norm="ortho") * turns.conj() if back else torch.fft.fft(flat * turns, norm="ortho")
            )
        full = torch.zeros_like(symbols)
        full[:, there] = flat.view(len(symbols), -1)
        mixed.append(torch.cat([full.real, full.imag]))
    return torch.stack(mixed)


def normalised(values: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Return values [B, 2c, h, w] of mean power 1 over each image's present symbols, and the factors [B, 1, 1, 1]."""
    values = values.float() * present
    uses = (present.sum((1, 2, 3), keepdim=True) * (values.shape[1] // 2)).clamp_min(1)
    factor = torch.rsqrt((values**2).sum((1, 2, 3), keepdim=True) / uses + 1e-12)
    return values * factor, factor


def emitted(values: Tensor, present: Tensor, snr_db: Tensor, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return the symbols that are sent for a network's `values`, their gains, and what a receiver would still lack.

    Symbols are values of mean power 1 over the present positions of each image, mixed (`spread`) and, for a
    constellation, rounded to its nearest points: at the scale that leaves the least noise beside the channel's, with a
    mean power of the points of at most 1. Forwards they are exactly on the grid. By Bussgang's theorem the points are
    the mixed values times a gain, and noise that is not correlated with them; backwards only the gain is seen.

    `symbols`, unmixed and divided by the gain, are the values and noise. What is lacking is that noise before the
    channel adds to it, without gradient; zero for `analog`.

    Args:
        values: [B, 2c, h, w].
        present: 0 or 1, [B, 1, h, w].
        snr_db: that the transmitter knows, [B].
        name: of the constellation.

    Returns:
        [B, 2c, h, w], [B, 1, 1, 1] and [B, 2c, h, w].
    """
    unit, factor = normalised(values, present)
    mixed = spread(unit, present)
    if name == "analog":
        return mixed, factor, torch.zeros_like(unit)
    fixed = mixed.detach()
    points = nearest(fixed * _load(fixed, present, snr_db, name), name) * present
    kept = (points * fixed).sum((1, 2, 3), keepdim=True) / (fixed**2).sum((1, 2, 3), keepdim=True).clamp_min(1e-12)
    kept = kept.clamp_min(1e-3)  # where there are no values at all
    lacking = (unit.detach() - spread(points, present, back=True) / kept) / factor.detach()
    return points + kept * (mixed - fixed), kept * factor, lacking


def noise_with_rounding(snr_db: Tensor, name: str) -> Tensor:
    """Return the noise power of the channel and of rounding together, at points of power about 1, [B]."""
    return noise_variance(snr_db) + ROUNDING[name]


@torch.no_grad()
def _load(unit: Tensor, present: Tensor, snr_db: Tensor, name: str) -> Tensor:
    """Return the factor for each image [B, 1, 1, 1] whose points correlate best with the values after the channel."""
    total = (unit**2).sum((1, 2, 3)).clamp_min(1e-12)
    uses = (present.sum((1, 2, 3)) * (unit.shape[1] // 2)).clamp_min(1)
    n0 = noise_variance(snr_db).to(unit.device)
    best, found = torch.full_like(total, -1.0), torch.full_like(total, LOADS[0])
    for load in LOADS:
        points = nearest(unit * load, name) * present
        power = (points**2).sum((1, 2, 3)) / uses
        correlation = (points * unit).sum((1, 2, 3)) ** 2 / (total * uses * (power + n0))
        better = (correlation > best) & (power <= 1 + 1e-6)
        best, found = torch.where(better, correlation, best), torch.where(better, load, found)
    return found[:, None, None, None]


def _turns(count: int, device: torch.device) -> Tensor:
    """Return numbers of modulus 1 whose phases are the fractional parts of i² times an irrational number, [count]."""
    index = torch.arange(count, device=device)
    phase = (index * index % 2**31) * TURNS % 2**31
    return torch.polar(torch.ones(count, device=device), (2 * pi / 2**31 * phase.double()).float())
