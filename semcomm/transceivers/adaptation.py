"""Link adaptation: the best constellation and code rate for what the transmitter knows of the channel."""

from collections.abc import Callable, Sequence
from math import isnan
from pathlib import Path

import numpy as np

from semcomm.codecs.base import ChannelCode
from semcomm.codecs.qam import QAM, Name
from semcomm.component import Component
from semcomm.errors import ConfigurationError
from semcomm.transceivers.knowledge import States
from semcomm.transceivers.thresholds import SHIPPED, load_thresholds

Mode = tuple[ChannelCode, QAM]
Quality = Callable[[float, float], float]
"""PSNR in dB expected of a receiver that has the first so many of so many payload bits."""

_QPSK = (120, 193, 308, 449, 602)
_TABLE = {
    "bpsk": _QPSK,  # not in the table
    "qpsk": _QPSK,
    "16qam": (378, 434, 490, 553, 616, 658),
    "64qam": (466, 517, 567, 616, 666, 719, 772, 822, 873),
    "256qam": (682.5, 711, 754, 797, 841, 885, 916.5, 948),
}
TABLE_RATES = {name: tuple(rate / 1024 for rate in rates) for name, rates in _TABLE.items()}
"""The code rates of each constellation in 3GPP TS 38.214, table 5.1.3.1-2; BPSK's are those of QPSK."""


MARGIN_DB = 0.05
"""Margin on thresholds: counts have errors, and between measured lengths sizes and filler differ."""


class Adaptive(Component):
    """Chooses constellation and code rate, the mode, for each image by what the transmitter knows of its channel.

    **One SNR, or one for each channel use, is known** (AWGN; fading with instantaneous CSI): the mode with the most
    bits per symbol whose image error rate stays within the target. An image is lost when one of its C code blocks is.
    A block's error rate comes from thresholds measured on AWGN (`semcomm thresholds` measures them again), at the SNR
    that has the mean mutual information of the block's symbols: the effective SNR of system simulators (Brueninghaus et
    al., PIMRC 2005). Where no mode meets the target, the most robust is used.

    **The statistics of the fading are known** (average CSI): the mode with the greatest PSNR expected, over courses
    drawn from them. A target would then take hardly any rate wherever an image sees few fades, for the sake of the
    worst of them. With a budget in bits, there is no rate to weigh against errors, and the target holds for the mean.

    Args:
        constellations: to choose from.
        rates: code rates, each with every constellation; none takes those of 3GPP TS 38.214, table 5.1.3.1-2, for QPSK
            to 256QAM, and those of QPSK for BPSK: 33 modes. The set of the SeSS paper, "rate 1/2", is
            `Adaptive(["bpsk", "qpsk", "16qam", "64qam"], rates=[0.5])`.
        target_image_error_rate: between 0 and 1.
        thresholds: a file of thresholds; none uses those that come with semcomm, for `LDPC5G`.
    """

    version = 2

    def __init__(
        self,
        constellations: Sequence[Name] = ("bpsk", "qpsk", "16qam", "64qam", "256qam"),
        rates: Sequence[float] | None = None,
        target_image_error_rate: float = 0.01,
        thresholds: str | None = None,
    ) -> None:
        if not 0 < target_image_error_rate < 1:
            raise ConfigurationError(
                f"target_image_error_rate is {target_image_error_rate}; it is a probability between 0 and 1"
            )
        if not constellations or (rates is not None and not rates):
            raise ConfigurationError("Adaptive needs at least one constellation, and one rate if rates are given")
        self.constellations = [QAM(name) for name in constellations]
        self.rates = rates
        self.target_image_error_rate = target_image_error_rate
        self.thresholds = Path(thresholds) if thresholds else SHIPPED

    def modes(self, code: ChannelCode) -> list[Mode]:
        """Return every (code, constellation) to choose from; `code` gives all but the rate.

        Raises:
            ConfigurationError: for a code whose constructor takes no rate.
        """
        rate_of = {q.name: TABLE_RATES[q.name] if self.rates is None else self.rates for q in self.constellations}
        codes = {rate: code.replaced(rate=rate) for rates in rate_of.values() for rate in rates}
        return [(codes[rate], qam) for qam in self.constellations for rate in rate_of[qam.name]]

    def choose(
        self,
        states: States,
        code: ChannelCode,
        payload_bits: Callable[[ChannelCode, QAM], int],
        quality: Quality | None = None,
    ) -> Mode:
        """Return the mode for one image.

        Args:
            states: of its channel, as far as the transmitter knows.
            code: the link's code, whose other settings every mode keeps.
            payload_bits: how many payload bits the image has in a mode; 0 where the mode can carry none.
            quality: what the payload is worth; needed where only the statistics of the channel are known and modes
                differ in their payload.

        Raises:
            ConfigurationError: when there are no thresholds for a mode.
        """
        modes = self.modes(code)
        lengths = [payload_bits(*mode) for mode in modes]
        usable = [(mode, bits) for mode, bits in zip(modes, lengths) if bits] or [(mode, 1) for mode in modes]
        if len(states) > 1 and quality is not None:
            worth = [self._expected(states, mode, bits, quality) for mode, bits in usable]
            return usable[int(np.argmax(worth))][0]
        met = [
            mode for mode, bits in usable if self.image_error_rate(states, mode, bits) <= self.target_image_error_rate
        ]
        if met:
            return max(met, key=efficiency)
        return min(usable, key=lambda one: self.required_snr_db(*one[0], one[1]))[0]

    def required_snr_db(self, code: ChannelCode, constellation: QAM, payload_bits: int) -> float:
        """Return the Es/N0 in dB on AWGN at which images of `payload_bits` meet the target."""
        blocks = code.blocks(payload_bits)
        block_error_rate = 1 - (1 - self.target_image_error_rate) ** (1 / blocks)
        waterfall = load_thresholds(self.thresholds).waterfall(code, constellation, payload_bits)
        return waterfall.snr_db(block_error_rate) + MARGIN_DB

    def image_error_rate(self, states: States, mode: Mode, payload_bits: int) -> float:
        """Return how often an image of `payload_bits` is expected not to arrive whole."""
        rates = self._block_error_rates(states, mode, payload_bits, MARGIN_DB)
        return float(1 - (1 - rates).prod(axis=1).mean() - 1e-9)

    def _block_error_rates(self, states: States, mode: Mode, payload_bits: int, margin_db: float = 0.0) -> np.ndarray:
        """Return the error rate of each code block in each course of the channel, [courses, blocks]."""
        code, constellation = mode
        blocks, bits_per_symbol = code.blocks(payload_bits), constellation.bits_per_symbol
        uses = payload_bits / efficiency(mode)
        effective = states.effective_snr_db(bits_per_symbol, uses, blocks)
        waterfall = load_thresholds(self.thresholds).waterfall(code, constellation, payload_bits)
        return waterfall.block_error_rate(effective - margin_db)

    def _expected(self, states: States, mode: Mode, payload_bits: int, quality: Quality) -> float:
        """Return the mean of the quality of what arrives before the first block that is lost."""
        arrives = np.cumprod(1 - self._block_error_rates(states, mode, payload_bits), axis=1).mean(axis=0)
        ends_after = -np.diff(arrives, prepend=1.0, append=0.0)  # so many blocks: 0, 1, ..., all
        blocks = len(arrives)
        worth = [quality(payload_bits * n / blocks, payload_bits) for n in range(blocks + 1)]
        return float(ends_after @ np.array(worth))


def efficiency(mode: Mode) -> float:
    """Return the payload bits per channel use of a mode."""
    code, constellation = mode
    return getattr(code, "rate", 1.0) * constellation.bits_per_symbol


def known(snr_db: float) -> None:
    """Refuse to adapt to nothing.

    Raises:
        ConfigurationError: when the SNR is not known.
    """
    if isnan(snr_db):
        raise ConfigurationError(
            "adaptive needs to know the SNR, and this channel tells the transmitter nothing: set its csi to "
            "'average', or name a constellation"
        )
