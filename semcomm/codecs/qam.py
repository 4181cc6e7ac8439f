"""Bits <-> symbols: BPSK and Gray-mapped square QAM of unit power, with exact or max-log LLRs.

The labels are those of 3GPP TS 38.211, section 5.1: bits alternate between the in-phase and the quadrature axis, the
first of each axis gives the sign (0 is positive). BPSK uses the real axis alone (Sionna's mapping, not 38.211's rotated
one), so the noise that matters to it has variance N0/2.
"""

from math import sqrt
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from semcomm.caches import cached
from semcomm.codecs.base import Constellation
from semcomm.errors import ConfigurationError

Name = Literal["bpsk", "qpsk", "16qam", "64qam", "256qam"]
BITS_PER_SYMBOL: dict[str, int] = {"bpsk": 1, "qpsk": 2, "16qam": 4, "64qam": 6, "256qam": 8}


class QAM(Constellation):
    """A constellation by name.

    Args:
        name: `bpsk`, `qpsk`, `16qam`, `64qam` or `256qam`.
        demapping: `exact` log-likelihood ratios, or `maxlog`, their usual approximation by the nearest points.
    """

    def __init__(self, name: Name, demapping: Literal["exact", "maxlog"] = "exact") -> None:
        if name not in BITS_PER_SYMBOL:
            raise ConfigurationError(f"there is no constellation {name!r}; choose from {', '.join(BITS_PER_SYMBOL)}")
        self.name = name
        self.demapping = demapping
        self.bits_per_symbol = BITS_PER_SYMBOL[name]

    @property
    def points(self) -> Tensor:
        """The points, `complex64` [2^bits_per_symbol], at the index that their bits spell (first bit highest)."""
        return _points(self.bits_per_symbol).clone()

    def modulate(self, bits: Tensor) -> Tensor:
        """Map bits [n·bits_per_symbol] to `complex64` symbols [n]."""
        if len(bits) % self.bits_per_symbol:
            raise ValueError(f"{len(bits)} bits do not fill symbols of {self.bits_per_symbol} bits")
        groups = bits.reshape(len(bits) // self.bits_per_symbol, self.bits_per_symbol)
        return _points(self.bits_per_symbol).index_select(0, _label(groups))

    def demodulate(self, symbols: Tensor, noise_variance: Tensor | float) -> Tensor:
        """Return the LLRs log P(1)/P(0), `float32` [n·bits_per_symbol], of `complex64` symbols [n]."""
        levels, labels = axis_of(self.bits_per_symbol)
        noise_variance = torch.as_tensor(noise_variance, dtype=torch.float32)
        if self.bits_per_symbol == 1:
            return _axis_llr(symbols.real, noise_variance, levels, labels, self.demapping).flatten()
        real = _axis_llr(symbols.real, noise_variance, levels, labels, self.demapping)
        imaginary = _axis_llr(symbols.imag, noise_variance, levels, labels, self.demapping)
        return torch.stack([real, imaginary], dim=-1).flatten()

    def decide(self, symbols: Tensor) -> Tensor:
        """Return the bits, `uint8` [n·bits_per_symbol], of the point nearest to each of the symbols [n]."""
        columns = max(1, self.bits_per_symbol // 2)
        levels, _ = axis_of(self.bits_per_symbol)
        if self.bits_per_symbol == 1:
            return (symbols.real < 0).to(torch.uint8)
        # as the labels are nested: the first bit is the sign, the next that of what is left from the middle, and so on
        left = torch.view_as_real(symbols).flatten() / levels.abs().min()
        decided = []
        for n in range(columns):
            decided.append((left < 0).view(torch.int16).numpy())  # the bits of both axes, side by side
            left = 2 ** (columns - 1 - n) - left.abs_()
        return torch.from_numpy(np.stack(decided, axis=1).view(np.uint8).ravel())  # interleaves faster than torch


@cached()
def axis_of(bits_per_symbol: int) -> tuple[Tensor, Tensor]:
    """Return the levels of one axis by label, and the bits of each label."""
    bits = max(1, bits_per_symbol // 2)
    labels = torch.tensor([[(k >> (bits - 1 - i)) & 1 for i in range(bits)] for k in range(2**bits)])
    # 38.211, 5.1.3 to 5.1.6, for one axis: (1-2b0)[2^(m-1) - (1-2b1)[2^(m-2) - ...]]
    signs = 1.0 - 2.0 * labels
    levels = torch.ones(2**bits)
    for i in range(bits - 1, 0, -1):
        levels = 2 ** (bits - i) - signs[:, i] * levels
    levels = signs[:, 0] * levels
    power = (levels**2).mean().item() * (1 if bits_per_symbol == 1 else 2)
    return levels / sqrt(power), labels.bool()


@cached()
def _points(bits_per_symbol: int) -> Tensor:
    levels, _ = axis_of(bits_per_symbol)
    shifts = torch.arange(bits_per_symbol - 1, -1, -1)
    bits = ((torch.arange(2**bits_per_symbol)[:, None] >> shifts) & 1).to(torch.uint8)
    if bits_per_symbol == 1:
        return torch.complex(levels, torch.zeros(2))
    return torch.complex(levels[_label(bits[:, 0::2])], levels[_label(bits[:, 1::2])])


def _label(bits: Tensor) -> Tensor:
    label = bits[:, 0]
    for column in bits.T[1:]:
        label = 2 * label + column
    return label.int()


def _axis_llr(received: Tensor, noise_variance: Tensor, levels: Tensor, labels: Tensor, demapping: str) -> Tensor:
    """Return [n, bits of one axis]; the real noise has variance N0/2, so -d²/N0 is the log-likelihood."""
    variance = noise_variance.reshape(-1, 1).clamp_min(1e-10)  # a noiseless channel gives large LLRs, not NaN
    metric = -((received[:, None] - levels) ** 2) / variance
    reduce = torch.logsumexp if demapping == "exact" else torch.amax
    columns = [reduce(metric[:, label], 1) - reduce(metric[:, ~label], 1) for label in labels.T]
    return torch.stack(columns, dim=-1)
