"""Several antennas: precoders at the transmitter, a linear receiver that makes one scalar channel of each stream."""

from typing import Literal

import torch
from torch import Tensor

Precoding = Literal["none", "svd", "svd-water-filling"]


def precoder(known: Tensor, streams: int, precoding: Precoding, noise: Tensor | float) -> Tensor:
    """Return the precoder W `complex64` [D, Nt, S] of each resource element; the power of its columns sums up to 1.

    Args:
        known: the channel as the transmitter knows it, [D, Nr, Nt].
        streams: S, at most min(Nr, Nt) with `svd`.
        precoding: `none` sends each stream from an antenna of its own. `svd` sends along the right singular vectors,
            with equal power or with that of water-filling over the streams of the element (Telatar 1999).
        noise: N0 as the transmitter knows it, a number or [D].
    """
    count, _, antennas = known.shape
    if precoding == "none" or antennas == 1:
        equal = torch.eye(antennas, streams, dtype=torch.complex64) / streams**0.5
        return equal.expand(count, antennas, streams)
    powers, vectors = _eigen(known.mH @ known)
    powers, vectors = powers[:, :streams], vectors[:, :, :streams]
    share = torch.full_like(powers, 1 / streams)
    if precoding == "svd-water-filling":
        share = water_filling(powers, noise)
    return vectors * share.sqrt()[:, None]


def water_filling(powers: Tensor, noise: Tensor | float) -> Tensor:
    """Return the shares of a power of 1 [D, S] that maximise the sum of log2(1 + share·power/noise).

    Args:
        powers: power gains of parallel channels [D, S], descending.
        noise: N0, a number or [D].
    """
    floor = torch.as_tensor(noise).reshape(-1, 1) / powers.clamp_min(1e-12)
    used = torch.arange(1, powers.shape[1] + 1)
    levels = (1 + floor.cumsum(1)) / used  # the water's level if just so many channels were used
    best = (levels > floor).sum(1, keepdim=True).clamp_min(1)  # the best channel is always used
    return (levels.gather(1, best - 1) - floor).clamp_min(0) * (used <= best)


def receive(y: Tensor, channel: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return (received, gain) of each stream, [D, S] each: received = gain · symbol + noise of the given variance.

    The linear MMSE receiver, made unbiased: what other streams leave counts as noise, and the gain is real and such
    that gain²/noise is the SNR. With one stream it is maximum ratio combining.

    Args:
        y: received on each antenna [D, Nr].
        channel: from streams to antennas [D, Nr, S], precoder included.
        noise: variance on each antenna [D].
    """
    matched = (channel.conj() * y[..., None]).sum(1)
    if channel.shape[2] == 1:
        gain = channel.abs().square().sum(1).sqrt()
        return matched / gain.clamp_min(1e-12), gain
    gain, inverse, error = _lmmse(channel, noise)
    estimate = (inverse * matched[:, None]).sum(2)
    return estimate * (noise[:, None] / (error * (1 - error)).clamp_min(1e-12)).sqrt(), gain


def stream_gains(channel: Tensor, noise: Tensor) -> Tensor:
    """Return the gains of `receive` alone, `float32` [D, S]."""
    if channel.shape[2] == 1:
        return channel.abs().square().sum(1).sqrt()
    return _lmmse(channel, noise)[0]


def whitening(channel: Tensor, noise: Tensor, distortion: Tensor) -> Tensor:
    """Return the filter [D, Nr, Nr] after which distortion and noise are white, of the variance of the noise alone.

    Args:
        channel: from antennas to antennas [D, Nr, Nt].
        noise: variance on each receive antenna [D].
        distortion: variance of what each transmit antenna adds to its signal [Nt].
    """
    identity = torch.eye(channel.shape[1], dtype=channel.dtype)
    covariance = (channel * distortion) @ channel.mH / noise[:, None, None] + identity
    return torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), identity, upper=False)


def _lmmse(channel: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return gains [D, S], (G^H G + N0)^-1 [D, S, S] and the mean squared error of each stream [D, S]."""
    gram = channel.mH @ channel + noise[:, None, None] * torch.eye(channel.shape[2])
    inverse = torch.linalg.inv(gram)
    error = (noise[:, None] * inverse.diagonal(dim1=1, dim2=2).real).clamp(1e-12, 1)
    return (noise[:, None] * (1 - error) / error).sqrt(), inverse, error


def _eigen(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues [D, n], descending, and eigenvectors [D, n, n] of Hermitian matrices; 2x2 in closed form."""
    if gram.shape[1] != 2:
        values, vectors = torch.linalg.eigh(gram)
        return values.flip(1).clamp_min(0), vectors.flip(2)
    a, d, b = gram[:, 0, 0].real, gram[:, 1, 1].real, gram[:, 0, 1]
    half = (a - d) / 2
    root = (half**2 + b.abs() ** 2).sqrt()
    values = torch.stack([(a + d) / 2 + root, (a + d) / 2 - root], 1).clamp_min(0)
    # the vector is (cos, sin·e^-j·arg b), at half the angle of the point (half, |b|)
    angle = torch.atan2(b.abs(), half) / 2
    phase = torch.polar(torch.ones_like(angle), b.angle())
    cos, sin = angle.cos().to(b.dtype), angle.sin().to(b.dtype)
    vectors = torch.stack([torch.stack([cos, -sin * phase], 1), torch.stack([sin * phase.conj(), cos], 1)], 1)
    return values, vectors
