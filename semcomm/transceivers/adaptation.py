"""Link adaptation: the best constellation, or constellation and code rate, for the SNR that the transmitter is told."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import isfinite, isnan, log2, log10
from pathlib import Path

import numpy as np

from semcomm.codecs.base import ChannelCode
from semcomm.codecs.qam import QAM, Name
from semcomm.component import Component, class_path
from semcomm.errors import ConfigurationError
from semcomm.parsing import parse_json

Mode = tuple[ChannelCode, QAM]


SHIPPED = Path(__file__).with_name("thresholds.json")
"""The thresholds that come with semcomm, for `LDPC5G`."""


class Adaptive(Component):
    """Chooses the mode with the most bits per symbol whose image error rate stays below a target on AWGN.

    An image is lost when one of its C code blocks is, so a block may fail with probability 1 - (1 - target)^(1/C). The
    SNR at which it does comes from measured thresholds (`semcomm thresholds` measures them again), interpolated
    linearly over log10 of the block error rate and log2 of the block length. Below the lowest threshold the most robust
    mode is used.

    Args:
        constellations: to choose from.
        rates: code rates to choose from; none keeps the rate of the link's code.
        target_image_error_rate: between 0 and 1.
        thresholds: a file of thresholds; none uses those that come with semcomm, for `LDPC5G`.
    """

    def __init__(
        self,
        constellations: Sequence[Name] = ("bpsk", "qpsk", "16qam", "64qam"),
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
        """Return every (code, constellation) to choose from."""
        return list(_modes(self, code))

    def choose(self, snr_db: float, code: ChannelCode, payload_bits: Callable[[ChannelCode, QAM], int]) -> Mode:
        """Return the mode for one image.

        Args:
            snr_db: what the transmitter is told.
            code: the link's code, whose other settings every mode keeps.
            payload_bits: how many payload bits an image has in a mode.

        Raises:
            ConfigurationError: when the SNR is not known, or there are no thresholds for a mode.
        """
        if isnan(snr_db):
            raise ConfigurationError(
                "adaptive needs to know the SNR, and this channel tells the transmitter nothing: set its csi to "
                "'average', or name a constellation"
            )
        needed = {mode: self.required_snr_db(*mode, payload_bits(*mode)) for mode in _modes(self, code)}
        met = [mode for mode, required in needed.items() if required <= snr_db]
        if not met:
            return min(needed, key=needed.get)
        return max(met, key=lambda mode: (getattr(mode[0], "rate", 1.0) * mode[1].bits_per_symbol, -needed[mode]))

    def required_snr_db(self, code: ChannelCode, constellation: QAM, payload_bits: int) -> float:
        """Return the Es/N0 in dB on AWGN at which images of `payload_bits` meet the target."""
        blocks = code.blocks(max(1, payload_bits))
        block_error_rate = 1 - (1 - self.target_image_error_rate) ** (1 / blocks)
        table = load_thresholds(self.thresholds)
        rows = table.rows(code, constellation)
        wanted = log2(max(1, payload_bits) / blocks)
        required = [np.interp(wanted, [log2(r["payload_bits"]) for r in rows], column) for column in zip(*_snrs(rows))]
        return _extrapolated(log10(block_error_rate), [log10(b) for b in table.block_error_rates], required)


class Thresholds:
    """Measured block error rates: the SNR at which each mode reaches some block error rates, by block length."""

    def __init__(self, data: dict, where: str) -> None:
        try:
            self.code: str = data["code"]
            self.block_error_rates: list[float] = data["block_error_rates"]
            self._rows: list[dict] = data["rows"]
            known = all(
                isinstance(row["constellation"], str)
                and all(isfinite(number) for number in (row["code_rate"], *row["snr_db"]))
                and isinstance(row["payload_bits"], int)
                and row["payload_bits"] > 0
                and len(row["snr_db"]) == len(self.block_error_rates)
                for row in self._rows
            )
            if not (known and isinstance(self.code, str) and all(0 < rate < 1 for rate in self.block_error_rates)):
                raise ValueError
        except (LookupError, TypeError, ValueError, OverflowError):
            raise ConfigurationError(f"{where}: no file of thresholds; `semcomm thresholds` writes one") from None
        self._where = where

    def rows(self, code: ChannelCode, constellation: QAM) -> list[dict]:
        """Return the rows of a mode, by ascending payload length.

        Raises:
            ConfigurationError: when the mode was not measured.
        """
        rate = getattr(code, "rate", None)
        found = [
            row
            for row in self._rows
            if self.code == class_path(type(code))
            and row["constellation"] == constellation.name
            and rate is not None
            and abs(row["code_rate"] - rate) < 1e-3
        ]
        if not found:
            rates = sorted({row["code_rate"] for row in self._rows})
            raise ConfigurationError(
                f"no thresholds for {constellation.name} with {code!r}: {self._where} has {self.code} at the rates "
                f"{rates}. Measure it with `semcomm thresholds`, and name the file in Adaptive(thresholds=...)"
            )
        return sorted(found, key=lambda row: row["payload_bits"])


def load_thresholds(path: Path | None = None) -> Thresholds:
    """Read a file of thresholds, again when it has changed; those that come with semcomm if none is named."""
    path = path or SHIPPED
    try:
        stat = path.stat()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read as thresholds ({error})") from None
    return _read_thresholds(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _read_thresholds(path: Path, *stamp: int) -> Thresholds:
    try:
        return Thresholds(parse_json(path.read_text()), str(path))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read as thresholds ({error})") from None


def _modes(adaptive: Adaptive, code: ChannelCode) -> tuple[Mode, ...]:
    codes = [code] if adaptive.rates is None else [code.replaced(rate=rate) for rate in adaptive.rates]
    return tuple((c, q) for c in codes for q in adaptive.constellations)


def _snrs(rows: list[dict]) -> list[list[float]]:
    return [row["snr_db"] for row in rows]


def _extrapolated(x: float, xs: list[float], ys: list[float]) -> float:
    """Interpolate linearly, and go on along the outermost pieces. `xs` descend."""
    xs, ys = np.array(xs)[::-1], np.array(ys)[::-1]
    if x < xs[0]:
        return float(ys[0] + (x - xs[0]) * (ys[1] - ys[0]) / (xs[1] - xs[0]))
    if x > xs[-1]:
        return float(ys[-1] + (x - xs[-1]) * (ys[-1] - ys[-2]) / (xs[-1] - xs[-2]))
    return float(np.interp(x, xs, ys))
