"""Constellations of the learned codecs' symbols: analog, or the points of a QAM; DFT spreading and quantisation.

Symbols are pairs of real channels here, `float32` [B, 2c, h, w]: the first c are in phase, the rest quadrature.
"""

from dataclasses import dataclass
from math import pi, sqrt
from typing import Literal, get_args

import torch
from torch import Tensor

from semcomm.caches import cached
from semcomm.errors import ConfigurationError

Name = Literal["analog", "qpsk", "16qam", "64qam"]
BITS_PER_SYMBOL: dict[str, int] = {"qpsk": 2, "16qam": 4, "64qam": 6}
LOAD = {"qpsk": 1.0, "16qam": 1.25, "64qam": 0.95}
"""Loading factor of the quantiser: values of unit power times it are rounded to points of nearly unit power."""
BACKOFFS = (1.0, 0.95, 0.9, 0.8, 0.6, 0.3, 0.05)
"""Factors of the load, tried in turn until the points' power is at most 1; with the last, no point is at a corner."""
LEAST_NOISE, MOST_NOISE = 1e-6, 1e6
"""Limits of the noise power, relative to unit symbol power, in an estimate."""
CHIRP = 1327217885
"""Rate of the quadratic phases: odd, and near 2^31 times the golden ratio's fractional part."""


def checked(name: str) -> str:
    """Return `name`, if there is such a constellation.

    Raises:
        ConfigurationError: if not.
    """
    if name not in get_args(Name):
        raise ConfigurationError(f"there is no constellation {name!r} here; choose from {', '.join(get_args(Name))}")
    return name


def levels(name: str) -> tuple[float, int]:
    """Return the divisor that scales the odd integers to the axis of a square QAM of unit power; the axis's levels."""
    count = 2 ** (BITS_PER_SYMBOL[name] // 2)
    return sqrt(2 * (count**2 - 1) / 3), count


def nearest(values: Tensor, name: str) -> Tensor:
    """Return the level of the constellation's axis that is nearest to each value."""
    divisor, count = levels(name)
    steps = ((values * divisor + count - 1) / 2).round().clamp(0, count - 1)
    return (2 * steps - (count - 1)) / divisor


def dft_spread(grid: Tensor, present: Tensor, inverse: bool = False) -> Tensor:
    """Return DFT-spread symbols: each a sum over all present positions of an image by a unitary transform.

    It is the discrete Fourier transform after quadratic phases, which keep smooth patterns from becoming peaks. A
    spread symbol is nearly Gaussian: quantising it costs the same wherever in the image the power is, and the error
    comes back as noise spread evenly (DFT spreading does the same for the peaks of OFDM).

    Args:
        grid: [B, 2c, h, w], zero where `present` is not.
        present: 0 or 1, [B, 1, h, w].
        inverse: despread.
    """
    symbols = torch.complex(*grid.float().chunk(2, 1))
    there = (present > 0).expand_as(symbols)
    counts = [count for count in there.sum((1, 2, 3)).tolist() if count]
    spread = torch.zeros_like(symbols)
    if counts:
        phases = torch.cat([_phases((count - 1).bit_length(), grid.device)[:count] for count in counts])
        transform = torch.fft.ifft if inverse else torch.fft.fft
        flat = symbols[there] if inverse else symbols[there] * phases
        flat = torch.cat([transform(one, norm="ortho") for one in flat.split(counts)])
        spread[there] = flat * phases.conj() if inverse else flat
    return torch.cat([spread.real, spread.imag], 1)


def normalised(values: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Return values [B, 2c, h, w] of mean power 1 over each image's present symbols, and the factors [B, 1, 1, 1]."""
    values = values.float() * present
    uses = (present.sum((1, 2, 3), keepdim=True) * (values.shape[1] // 2)).clamp_min(1)
    factor = torch.rsqrt((values**2).sum((1, 2, 3), keepdim=True) / uses + 1e-12)
    return values * factor, factor


def quantise_to_constellation(values: Tensor, present: Tensor, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return the symbols to send for a network's `values`, their gains, and the noiseless receiver's values.

    Symbols are values of mean power 1 over the present positions of each image, DFT-spread and, for a constellation,
    rounded to its nearest points, whose mean power is at most 1. Forwards they are exactly on the grid. By Bussgang's
    theorem the points are a gain times the spread values plus uncorrelated noise; backwards only that gain is used.

    Args:
        values: [B, 2c, h, w].
        present: 0 or 1, [B, 1, h, w].
        name: of the constellation.

    Returns:
        Symbols [B, 2c, h, w]; gains [B, 1, 1, 1]: conditional means of the symbols, despread and divided by them, are
        values and noise; and the values that a receiver has without channel noise, [B, 2c, h, w], whose gradient
        passes straight through to `values`.
    """
    unit, factor = normalised(values, present)
    spread = dft_spread(unit, present)
    if name == "analog":
        return spread, factor, values.float() * present
    fixed = spread.detach()
    points, backoff = _quantised(fixed, present, name)
    gain = factor * backoff
    none = torch.zeros_like(gain)
    estimates = conditional_mean(points, none, name) / wiener_gain(none, name) * present
    known = dft_spread(estimates, present, inverse=True) / gain
    values = values.float() * present
    symbols = points + _axis(name, spread.device).bussgang_gain * (spread - fixed)
    return symbols, gain, known.detach() + values - values.detach()


def conditional_mean(symbols: Tensor, noise_variance: Tensor, name: str) -> Tensor:
    """Return the conditional means of DFT-spread values, Gaussian of unit power, given the received `symbols`.

    Args:
        symbols: equalised and unbiased; real parts or imaginary parts or both.
        noise_variance: of both parts of these symbols together, to be broadcast.
        name: of the constellation.
    """
    noise = noise_variance.clamp(LEAST_NOISE, MOST_NOISE)
    if name == "analog":
        return symbols / (1 + noise)
    axis = _axis(name, symbols.device)
    exponents = [prior - (symbols - level) ** 2 / noise for prior, level in zip(axis.log_probability, axis.levels)]
    probabilities = torch.stack(exponents).softmax(0)
    return sum(probability * centroid for probability, centroid in zip(probabilities, axis.centroids))


def wiener_gain(noise_variance: Tensor, name: str) -> Tensor:
    """Return the gain g of the conditional means (Wiener's for analog symbols): mean = g·value + uncorrelated error.

    The error has g - g² of the values' power: the means are worth an SNR of g / (1 - g), quantisation included.
    """
    noise = noise_variance.clamp(LEAST_NOISE, MOST_NOISE)
    if name == "analog":
        return 1 / (1 + noise)
    gains = _axis(name, noise.device).gains
    place = ((10 * noise.log10() - TABLE_DB[0]) / TABLE_STEP_DB).to(gains.dtype)
    below = place.floor().clamp(0, len(gains) - 2).long()
    return torch.lerp(gains[below], gains[below + 1], (place - below).clamp(0, 1))


def snr_of_estimates(snr_db: Tensor, name: str) -> Tensor:
    """Return the SNR in dB, quantisation included, of the conditional means over AWGN of `snr_db`, any shape."""
    gain = wiener_gain(10 ** (-snr_db / 10), name)
    return 10 * torch.log10(gain / (1 - gain))


@cached(most=32)
def quantisation_error(name: str) -> float:
    """Return the RMS quantisation error of values of unit power: 0.6 for QPSK, 0 for analog."""
    return sqrt(1 - wiener_gain(torch.zeros(()), name).item())


def straight_through(noisy: Tensor, noise_variance: Tensor, name: str) -> Tensor:
    """Return 0 with the gradient that conditional means of unquantised symbols would have with respect to `noisy`."""
    if name == "analog":
        return torch.zeros_like(noisy)
    return (noisy - noisy.detach()) / _axis(name, noisy.device).bussgang_gain * wiener_gain(noise_variance, name)


TABLE_DB, TABLE_STEP_DB = (-60.0, 40.0), 0.25
"""Noise powers in dB for which gains are tabulated."""


@dataclass(frozen=True)
class _Axis:
    """One axis of a constellation, and Gaussian values of variance 1/2 that are quantised to its levels.

    Attributes:
        levels: [n].
        log_probability: of each level [n].
        centroids: mean of the values that are rounded to each level [n].
        gains: of the conditional means, for the noise powers of the table.
        bussgang_gain: of the values in the levels.
    """

    levels: Tensor
    log_probability: Tensor
    centroids: Tensor
    gains: Tensor
    bussgang_gain: float


@cached(most=32)
@torch.inference_mode(False)  # as the result is kept
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
    posterior = (probability.log() - (arriving[..., None] - grid) ** 2 / noise[:, None, None, None]).softmax(-1)
    power = ((posterior @ centroids) ** 2 @ probability) @ (weights / weights.sum())
    bussgang_gain = float(2 * (grid * centroids) @ probability)
    tables = (x.float().to(device) for x in (grid, probability.log(), centroids, 2 * power))
    return _Axis(*tables, bussgang_gain)


@torch.no_grad()
def _quantised(unit: Tensor, present: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Return the points for DFT-spread values of unit power, and the factors [B, 1, 1, 1] of their load."""
    uses = (present.sum((1, 2, 3), keepdim=True) * (unit.shape[1] // 2)).clamp_min(1)
    points, found = torch.zeros_like(unit), torch.zeros_like(uses)
    for backoff in BACKOFFS:
        tried = nearest(unit * (LOAD[name] * backoff), name) * present
        fits = (found == 0) & ((tried**2).sum((1, 2, 3), keepdim=True) <= uses * (1 + 1e-6))
        points, found = torch.where(fits, tried, points), torch.where(fits, backoff, found)
        if found.all():
            break
    return points, found


@cached(most=32)
@torch.inference_mode(False)
def _phases(bits: int, device: torch.device) -> Tensor:
    """Return 2^bits numbers of modulus 1; phases are the fractional parts of i² times an irrational number."""
    index = torch.arange(2**bits, device=device)
    phase = (index * index % 2**31) * CHIRP % 2**31
    return torch.polar(torch.ones(2**bits, device=device), (2 * pi / 2**31 * phase.double()).float())
