"""Measured block error rates: the SNR that each mode needs, by block length, as `semcomm thresholds` finds it."""

from math import isfinite, log10, sqrt
from pathlib import Path

import numpy as np

from semcomm.caches import cached
from semcomm.codecs.base import ChannelCode
from semcomm.codecs.qam import QAM
from semcomm.errors import ConfigurationError
from semcomm.parsing import parse_json
from semcomm.recipes import class_path

SHIPPED = Path(__file__).with_name("thresholds.json")
"""The thresholds that come with semcomm, for `LDPC5G`."""


class Waterfall:
    """The block error rate of one mode at one block length, over the SNR: straight lines in log10 of the rate.

    Args:
        snr_db: rising, in dB.
        block_error_rates: at each of them, falling.
    """

    def __init__(self, snr_db: np.ndarray, block_error_rates: list[float]) -> None:
        self._snr_db = np.asarray(snr_db, dtype=float)
        self._log_rate = np.log10(block_error_rates)

    def snr_db(self, block_error_rate: float) -> float:
        """Return the Es/N0 in dB that a block error rate takes; the outermost lines go on."""
        return float(_extrapolated(log10(block_error_rate), self._log_rate[::-1], self._snr_db[::-1]))

    def block_error_rate(self, snr_db: np.ndarray | float) -> np.ndarray:
        """Return the block error rate at each SNR in dB, at most 1."""
        return 10 ** np.minimum(_extrapolated(snr_db, self._snr_db, self._log_rate), 0.0)


class Thresholds:
    """Measurements of one code: for each mode and block length, the SNR at some block error rates."""

    def __init__(self, data: dict, where: str) -> None:
        try:
            self.code: str = data["code"]
            self.block_error_rates: list[float] = data["block_error_rates"]
            self._rows: list[dict] = data["rows"]
            known = all(
                isinstance(row["constellation"], str)
                and isinstance(row["construction"], str)
                and all(isfinite(number) and abs(number) < 1000 for number in (row["code_rate"], *row["snr_db"]))
                and isinstance(row["payload_bits"], int)
                and 0 < row["payload_bits"] < 2**31
                and len(row["snr_db"]) == len(self.block_error_rates)
                and all(low < high for low, high in zip(row["snr_db"], row["snr_db"][1:]))
                for row in self._rows
            )
            keys = [(row["constellation"], row["code_rate"], row["payload_bits"]) for row in self._rows]
            falling = all(1 > high > low > 0 for high, low in zip(self.block_error_rates, self.block_error_rates[1:]))
            once = len(keys) == len(set(keys))
            if not (known and once and isinstance(self.code, str) and falling and len(self.block_error_rates) > 1):
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
        measured = rate is not None and self.code == class_path(type(code))
        found = [
            row
            for row in (self._rows if measured else [])
            if row["constellation"] == constellation.name and abs(row["code_rate"] - rate) < 5e-4
        ]
        if not found:
            rates = sorted({round(row["code_rate"], 4) for row in self._rows})
            raise ConfigurationError(
                f"no thresholds for {constellation.name} with {code!r}: {self._where} has {self.code} at the rates "
                f"{rates}. Measure it with `semcomm thresholds`, and name the file in Adaptive(thresholds=...)"
            )
        return sorted(found, key=lambda row: row["payload_bits"])

    def waterfall(self, code: ChannelCode, constellation: QAM, payload_bits: int) -> Waterfall:
        """Return the waterfall of the blocks that images of `payload_bits` are cut into.

        Between block lengths n that were measured with the same construction of the code, thresholds lie on straight
        lines over 1/sqrt(n), as the normal approximation at finite length has them; the outermost lines go on.
        """
        rows = self.rows(code, constellation)
        construction = code.construction(payload_bits)
        alike = [row for row in rows if row["construction"] == construction] or rows
        length = payload_bits / code.blocks(payload_bits)
        at = [1 / sqrt(row["payload_bits"]) for row in alike][::-1]
        columns = zip(*[row["snr_db"] for row in alike][::-1])
        snr_db = [_extrapolated(1 / sqrt(length), np.array(at), np.array(column)) for column in columns]
        return Waterfall(np.array(snr_db, dtype=float), self.block_error_rates)


def load_thresholds(path: Path | None = None) -> Thresholds:
    """Read a file of thresholds, again when it has changed; those that come with semcomm if none is named."""
    path = path or SHIPPED
    try:
        stat = path.stat()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read as thresholds ({error})") from None
    return _read_thresholds(path, stat.st_size, stat.st_mtime_ns)


@cached(most=16)
def _read_thresholds(path: Path, *stamp: int) -> Thresholds:
    try:
        return Thresholds(parse_json(path.read_text()), str(path))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read as thresholds ({error})") from None


def _extrapolated(x: np.ndarray | float, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Interpolate linearly over rising `xs`, and go on along the outermost pieces; a single point holds everywhere."""
    if len(xs) == 1:
        return np.full_like(np.asarray(x, dtype=float), ys[0])
    x = np.asarray(x, dtype=float)
    low = ys[0] + (x - xs[0]) * (ys[1] - ys[0]) / (xs[1] - xs[0])
    high = ys[-1] + (x - xs[-1]) * (ys[-1] - ys[-2]) / (xs[-1] - xs[-2])
    return np.where(x < xs[0], low, np.where(x > xs[-1], high, np.interp(x, xs, ys)))
