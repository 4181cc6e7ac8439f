"""What the symbols of a learned codec may be: any complex number, or the points of a QAM, and of what power.

Symbols are kept as pairs of real channels here, `float32` [B, 2c, h, w]: the first c are in phase, the rest quadrature.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import pi, sqrt
from typing import Literal, get_args

import torch
from torch import Tensor

from semcomm.errors import ConfigurationError

Name = Literal["analog", "qpsk", "16qam", "64qam"]
BITS_PER_SYMBOL: dict[str, int] = {"qpsk": 2, "16qam": 4, "64qam": 6}
LOAD = {"qpsk": 1.0, "16qam": 1.25, "64qam": 0.95}
"""Factor of values of unit power before they are rounded: the points then have most of the power that they may have."""
SMALLER = (1.0, 0.95, 0.9, 0.8, 0.6, 0.3, 0.05)
"""What the load is multiplied with until the points' power is at most 1; with the last, no point is at a corner."""
LEAST_NOISE, MOST_NOISE = 1e-6, 1e6
"""Noise power, to unit power of symbols, that an estimate reckons with."""
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
    symbols = torch.complex(*grid.float().chunk(2, 1))
    there = (present > 0).expand_as(symbols)
    counts = [count for count in there.sum((1, 2, 3)).tolist() if count]
    mixed = torch.zeros_like(symbols)
    if counts:
        turns = torch.cat([_turns((count - 1).bit_length(), grid.device)[:count] for count in counts])
        transform = torch.fft.ifft if back else torch.fft.fft
        flat = symbols[there] if back else symbols[there] * turns
        flat = torch.cat([transform(one, norm="ortho") for one in flat.split(counts)])
        mixed[there] = flat * turns.conj() if back else flat
    return torch.cat([mixed.real, mixed.imag], 1)


def normalised(values: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Return values [B, 2c, h, w] of mean power 1 over each image's present symbols, and the factors [B, 1, 1, 1]."""
    values = values.float() * present
    uses = (present.sum((1, 2, 3), keepdim=True) * (values.shape[1] // 2)).clamp_min(1)
    factor = torch.rsqrt((values**2).sum((1, 2, 3), keepdim=True) / uses + 1e-12)
    return values * factor, factor


def quantise_to_constellation(values: Tensor, present: Tensor, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return the symbols that are sent for a network's `values`, their gains, and the values as far as symbols tell.

    Symbols are values of mean power 1 over the present positions of each image, mixed (`spread`) and, for a
    constellation, rounded to its nearest points, whose mean power is at most 1. Forwards they are exactly on the grid;
    by Bussgang's theorem the points are a factor times the mixed values, and noise that is not correlated with them:
    backwards only that factor is seen.

    Args:
        values: [B, 2c, h, w].
        present: 0 or 1, [B, 1, h, w].
        name: of the constellation.

    Returns:
        Symbols [B, 2c, h, w]; gains [B, 1, 1, 1]: `estimated` symbols, unmixed and divided by them, are values and
        noise; and what they are where the channel adds none, [B, 2c, h, w], whose gradient passes to `values`.
    """
    unit, factor = normalised(values, present)
    mixed = spread(unit, present)
    if name == "analog":
        return mixed, factor, values.float() * present
    fixed = mixed.detach()
    points, smaller = _rounded(fixed, present, name)
    gain = factor * smaller
    none = torch.zeros_like(gain)
    told = spread(estimated(points, none, name) / share_of(none, name) * present, present, back=True) / gain
    values = values.float() * present
    return points + _axis(name, mixed.device).kept * (mixed - fixed), gain, told.detach() + values - values.detach()


def estimated(symbols: Tensor, noise_variance: Tensor, name: str) -> Tensor:
    """Return the conditional means of mixed values, which are Gaussian of unit power, when `symbols` arrive.

    Args:
        symbols: equalised and not biased, real parts or imaginary parts or both.
        noise_variance: of both parts of these symbols together, to be broadcast.
        name: of the constellation.
    """
    noise = noise_variance.clamp(LEAST_NOISE, MOST_NOISE)
    if name == "analog":
        return symbols / (1 + noise)
    axis = _axis(name, symbols.device)
    exponents = [likely - (symbols - level) ** 2 / noise for likely, level in zip(axis.log_probability, axis.levels)]
    probabilities = torch.stack(exponents).softmax(0)
    return sum(probability * centroid for probability, centroid in zip(probabilities, axis.centroids))


def share_of(noise_variance: Tensor, name: str) -> Tensor:
    """Return the share of the values that their conditional means are, any shape.

    The rest of the means is noise that is not correlated with the values, of `share - share²` of their power: they are
    worth an SNR of `share / (1 - share)`, rounding included.
    """
    noise = noise_variance.clamp(LEAST_NOISE, MOST_NOISE)
    if name == "analog":
        return 1 / (1 + noise)
    shares = _axis(name, noise.device).shares
    place = ((10 * noise.log10() - TABLE_DB[0]) / TABLE_STEP_DB).to(shares.dtype)
    below = place.floor().clamp(0, len(shares) - 2).long()
    return torch.lerp(shares[below], shares[below + 1], (place - below).clamp(0, 1))


def snr_of_estimates(snr_db: Tensor, name: str) -> Tensor:
    """Return the SNR in dB, rounding included, of what is `estimated` over AWGN of `snr_db`, any shape."""
    share = share_of(10 ** (-snr_db / 10), name)
    return 10 * torch.log10(share / (1 - share))


@lru_cache
def rounding(name: str) -> float:
    """Return the amplitude that rounding leaves out, to unit amplitude of the values: 0.6 for QPSK, none for analog."""
    return sqrt(1 - share_of(torch.zeros(()), name).item())


def passed(noisy: Tensor, noise_variance: Tensor, name: str) -> Tensor:
    """Return 0, whose gradient to `noisy` is that of its estimate, as if points had not been rounded nor estimated."""
    if name == "analog":
        return torch.zeros_like(noisy)
    return (noisy - noisy.detach()) / _axis(name, noisy.device).kept * share_of(noise_variance, name)


TABLE_DB, TABLE_STEP_DB = (-60.0, 40.0), 0.25
"""Noise powers in dB for which shares are tabled."""


@dataclass(frozen=True)
class _Axis:
    """One axis of a constellation, and Gaussian values of variance 1/2 that are rounded to its levels.

    Attributes:
        levels: [n].
        log_probability: of each level [n].
        centroids: mean of the values that are rounded to each level [n].
        shares: of the values in their conditional mean, for the noise powers of the table.
        kept: by Bussgang's theorem, the factor of the values in the levels.
    """

    levels: Tensor
    log_probability: Tensor
    centroids: Tensor
    shares: Tensor
    kept: float


@lru_cache
@torch.inference_mode(False)  # as what it returns is kept
def _axis(name: str, device: torch.device) -> _Axis:
    divisor, count = levels(name)
    grid = (2 * torch.arange(count, dtype=torch.float64) - (count - 1)) / divisor
    normal = torch.distributions.Normal(0.0, 1.0)
    borders = (grid[1:] + grid[:-1]) / 2 / LOAD[name] * sqrt(2)
    zero = torch.zeros(1, dtype=torch.float64)
    probability = torch.cat([zero, normal.cdf(borders), zero + 1]).diff()
    density = torch.cat([zero, normal.log_prob(borders).exp(), zero])
    centroids = -density.diff() / probability / sqrt(2)
    noise = 10 ** (torch.arange(TABLE_DB[0], TABLE_DB[1] + TABLE_STEP_DB / 2, TABLE_STEP_DB).double() / 10)
    steps = torch.linspace(-6, 6, 241, dtype=torch.float64)  # of the noise, in standard deviations
    weights = normal.log_prob(steps).exp()
    arriving = grid + (noise[:, None, None] / 2).sqrt() * steps[:, None]  # [noise, step, level sent]
    likely = (probability.log() - (arriving[..., None] - grid) ** 2 / noise[:, None, None, None]).softmax(-1)
    power = ((likely @ centroids) ** 2 @ probability) @ (weights / weights.sum())
    kept = float(2 * (grid * centroids) @ probability)
    tables = (x.float().to(device) for x in (grid, probability.log(), centroids, 2 * power))
    return _Axis(*tables, kept)


@torch.no_grad()
def _rounded(unit: Tensor, present: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Return the points for mixed values of unit power, and by which factors [B, 1, 1, 1] their load was smaller."""
    uses = (present.sum((1, 2, 3), keepdim=True) * (unit.shape[1] // 2)).clamp_min(1)
    points, found = torch.zeros_like(unit), torch.zeros_like(uses)
    for smaller in SMALLER:
        tried = nearest(unit * (LOAD[name] * smaller), name) * present
        fits = (found == 0) & ((tried**2).sum((1, 2, 3), keepdim=True) <= uses * (1 + 1e-6))
        points, found = torch.where(fits, tried, points), torch.where(fits, smaller, found)
        if found.all():
            break
    return points, found


@lru_cache
@torch.inference_mode(False)
def _turns(bits: int, device: torch.device) -> Tensor:
    """Return 2^bits numbers of modulus 1; phases are the fractional parts of i² times an irrational number."""
    index = torch.arange(2**bits, device=device)
    phase = (index * index % 2**31) * TURNS % 2**31
    return torch.polar(torch.ones(2**bits, device=device), (2 * pi / 2**31 * phase.double()).float())
