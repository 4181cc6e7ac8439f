"""Measuring block error rates on AWGN: the thresholds that `Adaptive` goes by."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch

from semcomm.channels import AWGN
from semcomm.codecs.base import ChannelCode
from semcomm.codecs.information import mutual_information
from semcomm.codecs.qam import BITS_PER_SYMBOL, QAM
from semcomm.errors import RateError
from semcomm.files import write_whole
from semcomm.recipes import class_path
from semcomm.seeds import Seed
from semcomm.transceivers.random_bits import RandomBits

BLOCK_ERROR_RATES = (0.1, 0.01, 0.001)
COMMON_RATES = (1 / 2, 1 / 3, 2 / 3, 3 / 4, 5 / 6)
"""Measured with every constellation, besides the modes of the table in 3GPP TS 38.214."""
STEP_DB = 0.2
SAMPLED_RATES = (0.2, 0.03, 0.01)
"""Block error rates near which blocks are counted, once the waterfall has been found."""
CLOSE_LENGTHS = 1.01
_MESSAGES = 64
_IMAGE = torch.zeros(1, 3, 1, 1)
_NORMAL = NormalDist()


def measure(
    modes: Sequence[tuple[ChannelCode, str]],
    payload_bits: Sequence[int],
    errors: int,
    out: Path,
    on_row: Callable[[str], None] = lambda row: None,
) -> None:
    """Measure the Es/N0 at which each mode reaches `BLOCK_ERROR_RATES`, and write the file that `Adaptive` reads.

    The file is written after each row, and rows that it already has are left alone, so a stopped measurement goes on.
    A length that the mode cannot carry, or carries as the next one (the same construction, 1 % longer), is left out.

    Args:
        modes: codes of one class, with their rates, and names of constellations.
        payload_bits: lengths of one-block messages.
        errors: block errors to wait for at each SNR.
        out: the file.
        on_row: called with each finished row.
    """
    data = {"code": class_path(type(modes[0][0])), "block_error_rates": list(BLOCK_ERROR_RATES), "rows": []}
    if out.exists():
        data = json.loads(out.read_text())
    known = {(row["constellation"], row["code_rate"], row["payload_bits"]) for row in data["rows"]}
    for code, name in modes:
        for length in _lengths(code, name, payload_bits):
            if (name, code.rate, length) in known:
                continue
            row = {
                "constellation": name,
                "code_rate": code.rate,
                "payload_bits": length,
                "construction": code.construction(length),
                "snr_db": [round(snr, 3) for snr in _snrs(code, QAM(name), length, errors)],
            }
            data["rows"].append(row)
            write_whole(out, json.dumps(data, indent=1).encode())
            on_row(json.dumps(row))


def _lengths(code: ChannelCode, name: str, payload_bits: Sequence[int]) -> list[int]:
    """Return those of the lengths that tell one from another and are sent in one block."""
    lengths: list[int] = []
    for length in sorted(payload_bits, reverse=True):
        try:
            coded_bits = code.coded_bits(length, BITS_PER_SYMBOL[name])
        except RateError:
            continue
        if coded_bits * code.rate > length + BITS_PER_SYMBOL[name]:  # so short a block takes a lower rate
            continue
        alike = lengths and code.construction(length) == code.construction(lengths[-1])
        if code.blocks(length) == 1 and not (alike and lengths[-1] < CLOSE_LENGTHS * length):
            lengths.append(length)
    return lengths[::-1]


def _snrs(code: ChannelCode, constellation: QAM, payload_bits: int, errors: int) -> list[float]:
    """Return the SNRs in dB at `BLOCK_ERROR_RATES`, of a waterfall that is a normal distribution's over the SNR in dB.

    That is what coding at finite length gives (Polyanskiy, Poor, Verdú 2010). Its mean and width are those of the
    greatest likelihood for the blocks counted at `SAMPLED_RATES`.
    """
    counts: list[tuple[float, int, int]] = []  # SNR, blocks, those lost

    def count(snr_db: float, errors: int, most: int) -> float:
        counts.append((snr_db, *_count(code, constellation, payload_bits, snr_db, errors, most)))
        return counts[-1][2] / counts[-1][1]

    snr_db = ideal_snr_db(constellation.bits_per_symbol, getattr(code, "rate", 1.0))
    while count(snr_db, _MESSAGES, _MESSAGES) > SAMPLED_RATES[0]:
        snr_db += STEP_DB
    for rate in SAMPLED_RATES:
        middle, width = _fit(counts)
        count(middle - width * _NORMAL.inv_cdf(rate), errors, int(10 * errors / rate))
    middle, width = _fit(counts)
    return [middle - width * _NORMAL.inv_cdf(rate) for rate in BLOCK_ERROR_RATES]


def ideal_snr_db(bits_per_symbol: int, code_rate: float) -> float:
    """Return the Es/N0 in dB at which the constellation's mutual information is what the code sends."""
    grid = np.linspace(-20, 40, 1201)
    return float(np.interp(code_rate * bits_per_symbol, mutual_information(bits_per_symbol, grid), grid))


def _fit(counts: list[tuple[float, int, int]]) -> tuple[float, float]:
    """Return middle and width of the waterfall, in dB, by greatest likelihood."""
    from scipy.optimize import minimize
    from scipy.stats import norm

    snr_db, blocks, lost = (np.array(column, dtype=float) for column in zip(*counts))

    def unlikely(parameters: np.ndarray) -> float:
        at = (snr_db - parameters[0]) * np.exp(parameters[1])
        return -(lost * norm.logsf(at) + (blocks - lost) * norm.logcdf(at)).sum()

    start = [float(np.interp(-0.5, -lost / blocks, snr_db)), np.log(1 / 0.15)]
    # one count of 64 does not show how wide a waterfall is: between 0.03 and 1.5 dB
    best = minimize(unlikely, start, method="L-BFGS-B", bounds=[(None, None), (np.log(1 / 1.5), np.log(1 / 0.03))])
    return float(best.x[0]), float(np.exp(-best.x[1]))


def _count(
    code: ChannelCode, constellation: QAM, payload_bits: int, snr_db: float, errors: int, most: int
) -> tuple[int, int]:
    """Return how many blocks were sent, and how many of them lost, after `errors` of those or `most` blocks."""
    link = RandomBits(code, constellation, payload_bits, messages=_MESSAGES)
    channel = AWGN(snr_db)
    lost = blocks = realisation = 0
    while lost < errors and blocks < most:
        seed = Seed(f"thresholds/{constellation.name}/{code.recipe()}/{payload_bits}/{snr_db:.3f}/{realisation}")
        info = link.transmit(_IMAGE, channel, [seed]).info
        lost += info["block_errors"][0]
        blocks += info["blocks"][0]
        realisation += 1
    return blocks, lost
