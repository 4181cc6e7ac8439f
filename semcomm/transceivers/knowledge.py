"""Channel knowledge of a transmitter, and its expectations."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from semcomm.caches import Cache
from semcomm.channels import Channel
from semcomm.codecs.information import mutual_information, snr_db_of_information
from semcomm.recipes import key_of
from semcomm.seeds import Seed

MOST_DRAWS, FEWEST_DRAWS, DRAWN_STRETCHES = 200, 40, 1_000_000
"""Realisations of a fading channel that a transmitter with statistical CSI averages over."""
_SEGMENTS = 512
_recent = Cache("semcomm.transceivers.knowledge.states", most=4)
"""The states of a channel's statistics, which are the same for every image."""


class States:
    """The courses that a channel may take over one image, equally likely: one where the transmitter knows it.

    Args:
        snr_db: per course, the SNR in dB of each stretch of constant gain.
        ends: per course, the use before which each stretch ends, rising to the image's channel uses.
    """

    def __init__(self, snr_db: Sequence[np.ndarray], ends: Sequence[np.ndarray]) -> None:
        self._snr_db, self._ends = list(snr_db), list(ends)
        self._uses = max(1.0, float(self._ends[0][-1]))
        self._sums: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._snr_db)

    def effective_snr_db(self, bits_per_symbol: int, uses: float, blocks: int) -> np.ndarray:
        """Return the SNR on AWGN, in dB, [courses, blocks], with the mean mutual information of each block's symbols.

        Args:
            bits_per_symbol: of the constellation.
            uses: that the blocks share evenly, from the first on; beyond what is known it goes on as before.
            blocks: code blocks, sent one after the other.
        """
        if all(len(course) == 1 for course in self._snr_db):
            return np.repeat(np.stack(self._snr_db), blocks, axis=1)
        means = self._means(bits_per_symbol, np.linspace(0, min(uses, self._uses), blocks + 1))
        lowest = np.array([course.min() for course in self._snr_db])[:, None]
        return snr_db_of_information(bits_per_symbol, means, lowest)

    def capacity(self) -> np.ndarray:
        """Return the mean of log2(1 + SNR), in bits per channel use, [courses]."""
        return self._means(0, np.array([0.0, self._uses]))[:, 0]

    def _means(self, bits_per_symbol: int, edges: np.ndarray) -> np.ndarray:
        """Return the mean information, [courses, edges - 1], between edges in channel uses."""
        if bits_per_symbol not in self._sums:
            self._sums[bits_per_symbol] = np.stack(
                [self._summed(bits_per_symbol, *course) for course in zip(self._snr_db, self._ends)]
            )
        sums = self._sums[bits_per_symbol]
        at = edges / self._uses * _SEGMENTS
        low = np.minimum(at.astype(int), _SEGMENTS - 1)
        values = sums[:, low] + (at - low) * (sums[:, low + 1] - sums[:, low])
        return np.diff(values, axis=1) / np.diff(edges)

    def _summed(self, bits_per_symbol: int, snr_db: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return the information up to the ends of equal segments of the uses, from 0 on."""
        values = mutual_information(bits_per_symbol, snr_db) if bits_per_symbol else np.log2(1 + 10 ** (snr_db / 10))
        sums = np.cumsum(values * np.diff(ends, prepend=0.0))
        return np.interp(np.linspace(0, self._uses, _SEGMENTS + 1), np.append(0.0, ends), np.append(0.0, sums))


class ChannelKnowledge:
    """Knowledge of the transmitter about the channels that a batch of images will meet, and nothing else.

    Args:
        snr_db: what it knows, per image [B]; NaN for nothing.
        channel: whose fading it knows: each gain as `known_gains` has it, or the statistics of `gains`. None for no
            fading.
        seeds: one per image, with `channel`.
    """

    def __init__(self, snr_db: Tensor, channel: Channel | None = None, seeds: Sequence[Seed] = ()) -> None:
        self.snr_db = snr_db
        self._channel = channel
        self._seeds = list(seeds)

    @classmethod
    def of(cls, channel: Channel, seeds: Sequence[Seed]) -> "ChannelKnowledge":
        """Return what `channel` lets a transmitter know."""
        return cls(channel.csi(seeds), channel, seeds)

    def states(self, image: int, channel_uses: int) -> States:
        """Return the courses that the channel may take over an image's first `channel_uses`.

        There is one where the SNR is known for each use: without fading, or with instantaneous knowledge of it. Else
        they are drawn from the statistics of the fading, by seeds that no image has.
        """
        snr_db, channel, uses = float(self.snr_db[image]), self._channel, max(1, channel_uses)
        if channel is not None:
            known = channel.known_gains(self._seeds[image : image + 1], [uses])
            if known is not None:
                return _states(known, channel.snr_db)
            key = key_of({"channel": channel.recipe(), "uses": uses, "snr_db": snr_db})
            return _recent.get(key, lambda: _states(_typical_gains(channel, uses), snr_db))
        return States([np.array([snr_db])], [np.array([float(uses)])])


def _typical_gains(channel: Channel, uses: int) -> list[Tensor]:
    """Return the gains of so many courses that what varies from one to the next can be seen."""
    courses: list[Tensor] = []
    stretches = 0
    while len(courses) < MOST_DRAWS and (len(courses) < FEWEST_DRAWS or stretches < DRAWN_STRETCHES):
        gains = channel.gains([Seed(f"typical/{len(courses)}")], [uses])
        if gains is None:
            return [torch.ones(uses)]
        courses += gains
        stretches += int((gains[0].diff().abs() > 0).sum()) + 1
    return courses


def _states(gains: Sequence[Tensor], snr_db: float) -> States:
    """Return the states of gains [k] each, runs of equal ones joined."""
    courses, ends = [], []
    for one in gains:
        power = one.abs().double().numpy() ** 2
        ends.append(np.append(np.flatnonzero(np.diff(power)) + 1.0, float(len(power))))
        with np.errstate(divide="ignore"):
            courses.append(10 * np.log10(power[ends[-1].astype(int) - 1]) + snr_db)
    return States(courses, ends)
