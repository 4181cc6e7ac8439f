"""Channel estimates from pilots, slot by slot, and the error that they are expected to have."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from semcomm.channels.ofdm.grid import SYMBOLS, Grid
from semcomm.channels.ofdm.models import Expected

Estimation = Literal["perfect", "ls", "lmmse"]


@dataclass(frozen=True)
class Interpolator:
    """A linear estimator of one antenna's channel over a slot: B_t [W ∘ (U_t^H Y U_f*)] B_f^T from pilots Y [P_t, P_f].

    Attributes:
        in_time: B_t [SYMBOLS, m].
        from_time: U_t [P_t, m].
        in_frequency: B_f [F, n].
        from_frequency: U_f [P_f, n].
        weights: W [m, n].
        error: expected |h - ĥ|² of each resource element, `float32` [SYMBOLS, F].
    """

    in_time: Tensor
    from_time: Tensor
    in_frequency: Tensor
    from_frequency: Tensor
    weights: Tensor
    error: Tensor

    def __call__(self, pilots: Tensor) -> Tensor:
        """Return estimates [..., SYMBOLS, F] of observations divided by the pilots sent, [..., P_t, P_f]."""
        seen = self.from_time.mH @ pilots @ self.from_frequency.conj()
        return self.in_time @ (self.weights * seen) @ self.in_frequency.mT


def interpolators(
    estimation: Estimation, grid: Grid, expected: Expected, doppler: float, noise: float
) -> list[Interpolator]:
    """Return the estimator for each transmit antenna.

    `ls` divides by the pilots and interpolates linearly, first over carriers and then over time; beyond the outermost
    pilots the last value stays. `lmmse` is the linear MMSE estimator in both dimensions for the expected correlation,
    taken as a product of one in time and one in frequency (Edfors et al. 1998; exact but for `tdl-d` and `tdl-e`). The
    error is that of the channel as expected, not as the estimator takes it.

    Args:
        estimation: `ls` or `lmmse`.
        grid: with pilot symbols.
        expected: statistics of the channel.
        doppler: the largest Doppler shift in Hz.
        noise: variance of a pilot's observation, pilots having power 1.
    """
    times = torch.arange(SYMBOLS) * grid.seconds
    powers = (expected.powers / expected.powers.sum()).to(torch.complex128)
    at = list(grid.pilot_symbols)
    by_tap = expected.in_time(doppler, times[:, None] - times)  # [paths, SYMBOLS, SYMBOLS]
    phases = torch.exp(-2j * torch.pi * grid.frequencies().double()[:, None] * expected.delays.double())  # [F, paths]
    found = []
    for antenna in range(grid.antennas):
        carriers = torch.arange(antenna, grid.subcarriers, grid.antennas)
        if estimation == "ls":
            in_time, in_frequency = _linear(SYMBOLS, at), _linear(grid.subcarriers, carriers.tolist())
            from_time, from_frequency = (torch.eye(m.shape[1], dtype=torch.complex128) for m in (in_time, in_frequency))
            weights = torch.ones(len(at), len(carriers), dtype=torch.complex128)
        else:
            time = (powers[:, None, None] * by_tap).sum(0)
            values_t, from_time = torch.linalg.eigh(time[at][:, at])
            pilots = phases[carriers] * powers.sqrt()  # its Gram matrix is the correlation of the pilots' carriers
            values_f, from_frequency = torch.linalg.eigh(pilots @ pilots.mH)
            in_time = time[:, at] @ from_time
            in_frequency = (phases * powers.sqrt()) @ pilots.mH @ from_frequency
            weights = 1 / (values_t.clamp_min(0)[:, None] * values_f.clamp_min(0) + noise).to(torch.complex128)
            kept = values_f > 1e-9  # the rest of the space holds noise alone
            in_frequency, from_frequency, weights = in_frequency[:, kept], from_frequency[:, kept], weights[:, kept]
        parts = (in_time, from_time, in_frequency, from_frequency, weights)
        error = _error(parts, powers, by_tap, at, phases, carriers, noise)
        found.append(Interpolator(*(part.to(torch.complex64) for part in parts), error.float()))
    return found


def _error(
    parts: tuple[Tensor, ...],
    powers: Tensor,
    by_tap: Tensor,
    at: list[int],
    phases: Tensor,
    carriers: Tensor,
    noise: float,
) -> Tensor:
    """Return E|h - ĥ|² [SYMBOLS, F] of a channel of independent taps, tap by tap."""
    in_time, from_time, in_frequency, from_frequency, weights = parts
    # of tap l, seen at all pilots' carriers: what each mode in time is multiplied with at each carrier [paths, m, F]
    through = torch.einsum("jl,mj,fj->lmf", from_frequency.mH @ phases[carriers], weights, in_frequency)
    seen = from_time.mH @ by_tap[:, at]  # correlation of the modes with each OFDM symbol [paths, m, SYMBOLS]
    wanted = torch.einsum("l,tm,lmt,lmf,fl->tf", powers, in_time, seen, through, phases.conj())
    modes = seen[:, :, at] @ from_time  # [paths, m, m]
    kept = torch.einsum("l,tm,lmf,lmn,tn,lnf->tf", powers, in_time, through, modes, in_time.conj(), through.conj())
    added = noise * (in_time.abs() ** 2) @ (weights.abs() ** 2) @ (in_frequency.abs() ** 2).T
    return (1 - 2 * wanted.real + kept.real + added).clamp_min(0)


def _linear(count: int, at: list[int]) -> Tensor:
    """Return the matrix [count, len(at)] that interpolates linearly from the points `at`, constant beyond them."""
    rows = np.array([np.interp(np.arange(count), at, row) for row in np.eye(len(at))])
    return torch.from_numpy(rows.T).to(torch.complex128)
