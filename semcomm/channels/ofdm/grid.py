"""The grid of resource elements: what lies where in time and frequency, and what a grid costs."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import torch
from torch import Tensor

SYMBOLS = 14
"""OFDM symbols of a slot (3GPP TS 38.211, normal cyclic prefix)."""


@dataclass(frozen=True)
class Grid:
    """One slot of OFDM symbols; an image takes as many as it needs.

    Data fill the carriers of the first OFDM symbol, then those of the next, as in 5G NR. Pilots fill whole OFDM
    symbols; the transmit antennas take turns on their carriers.

    Attributes:
        subcarriers: those that carry data or pilots.
        spacing: between subcarriers, in Hz.
        guard_carriers: further carriers of the transform, at its edges, that carry nothing.
        cyclic_prefix: in samples, of which an OFDM symbol has `subcarriers` + `guard_carriers` more.
        pilot_symbols: OFDM symbols of a slot that carry pilots; may be none.
        antennas: of the transmitter, each with pilots of its own.
    """

    subcarriers: int
    spacing: float
    guard_carriers: int
    cyclic_prefix: int
    pilot_symbols: tuple[int, ...]
    antennas: int

    @property
    def carriers(self) -> int:
        """Length of the transform."""
        return self.subcarriers + self.guard_carriers

    @property
    def prefix_share(self) -> float:
        """Length of the cyclic prefix over that of the rest of an OFDM symbol."""
        return self.cyclic_prefix / self.carriers

    @property
    def seconds(self) -> float:
        """Duration of an OFDM symbol with its cyclic prefix."""
        return (1 + self.prefix_share) / self.spacing

    @cached_property
    def data_symbols(self) -> list[int]:
        """The OFDM symbols of a slot that carry data."""
        return [n for n in range(SYMBOLS) if n not in self.pilot_symbols]

    @property
    def elements(self) -> int:
        """Resource elements of a slot that carry data."""
        return len(self.data_symbols) * self.subcarriers

    @property
    def pilots(self) -> int:
        """Resource elements of a slot that carry pilots."""
        return len(self.pilot_symbols) * self.subcarriers

    def slots(self, elements: int) -> int:
        """Return the slots that so many resource elements of data take."""
        return ceil(elements / self.elements)

    def overhead(self, elements: int) -> int:
        """Return the channel uses that carry no symbol: cyclic prefixes, guard carriers, the rest of the last slot.

        A channel use is a complex sample of the signal, and so is a resource element.
        """
        samples = SYMBOLS * (self.carriers + self.cyclic_prefix)
        return self.slots(elements) * (samples - self.pilots) - elements

    def frequencies(self) -> Tensor:
        """Return the frequency of each subcarrier in Hz, `float32` [F], around that of the carrier."""
        return (torch.arange(self.subcarriers) - self.subcarriers // 2) * self.spacing

    def data(self, grid: Tensor, elements: int) -> Tensor:
        """Return the first `elements` data elements [elements, ...] of a grid [slots · SYMBOLS, F, ...]."""
        if len(self.data_symbols) < SYMBOLS:
            grid = grid.unflatten(0, (-1, SYMBOLS))[:, self.data_symbols].flatten(0, 1)
        return grid.flatten(0, 1)[:elements]
