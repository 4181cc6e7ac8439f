"""Measuring block error rates on AWGN: the thresholds that `Adaptive` goes by."""

import json
from collections.abc import Callable, Sequence
from math import ceil, log10
from pathlib import Path

import torch

from semcomm.channels import AWGN
from semcomm.codecs.base import ChannelCode
from semcomm.codecs.qam import QAM
from semcomm.component import class_path
from semcomm.files import write_whole
from semcomm.seeds import Seed
from semcomm.transceivers.random_bits import RandomBits

BLOCK_ERROR_RATES = (0.1, 0.01, 0.001)
STEP_DB = 0.1
LEAP = 5
"""Steps to go at once as long as every block fails."""
_IMAGE = torch.zeros(1, 3, 1, 1)


def measure(
    codes: Sequence[ChannelCode],
    constellations: Sequence[str],
    payload_bits: Sequence[int],
    errors: int,
    out: Path,
    on_row: Callable[[str], None] = lambda row: None,
) -> None:
    """Measure the Es/N0 at which each mode reaches `BLOCK_ERROR_RATES`, and write the file that `Adaptive` reads.

    The file is written after each mode, and modes that it already has are left alone, so a stopped measurement goes on.

    Args:
        codes: of one class, with their rates.
        constellations: names.
        payload_bits: lengths of one-block messages.
        errors: block errors to wait for at each SNR, at most 100 times as many blocks per expected error.
        out: the file.
        on_row: told of each finished mode.
    """
    data = {"code": class_path(type(codes[0])), "block_error_rates": list(BLOCK_ERROR_RATES), "rows": []}
    if out.exists():
        data = json.loads(out.read_text())
    known = {(row["constellation"], row["code_rate"], row["payload_bits"]) for row in data["rows"]}
    for code in codes:
        for name in constellations:
            for length in payload_bits:
                if (name, code.rate, length) in known:
                    continue
                snr_db = [round(snr, 3) for snr in _snrs(code, QAM(name), length, errors)]
                row = {"constellation": name, "code_rate": code.rate, "payload_bits": length, "snr_db": snr_db}
                data["rows"].append(row)
                write_whole(out, json.dumps(data, indent=1).encode())
                on_row(json.dumps(row))


def _snrs(code: ChannelCode, constellation: QAM, payload_bits: int, errors: int) -> list[float]:
    """Go up in small steps from the last SNR where all blocks fail; interpolate log10 of the block error rate."""

    def rate_at(step: int) -> float:
        return _block_error_rate(code, constellation, payload_bits, step * STEP_DB, errors)

    step = ceil((_shannon_db(getattr(code, "rate", 1.0) * constellation.bits_per_symbol) - 1) / STEP_DB)
    while rate_at(step + LEAP) == 1:
        step += LEAP
    curve = [(step * STEP_DB, 1.0)]
    while curve[-1][1] > BLOCK_ERROR_RATES[-1]:
        step += 1
        curve.append((step * STEP_DB, rate_at(step)))
    found = []
    for rate in BLOCK_ERROR_RATES:
        at = next(n for n, point in enumerate(curve) if point[1] <= rate)
        (x0, y0), (x1, y1) = curve[at - 1], curve[at]
        y0, y1 = log10(y0), log10(max(y1, 1e-6))
        found.append(float(x0 + (x1 - x0) * (log10(rate) - y0) / (y1 - y0)))
    return found


def _shannon_db(bits_per_use: float) -> float:
    return 10 * log10(2**bits_per_use - 1)


def _block_error_rate(code: ChannelCode, constellation: QAM, payload_bits: int, snr_db: float, errors: int) -> float:
    """Return block errors over blocks, after `errors` of them or the blocks that 1e-3 would need for as many."""
    link = RandomBits(code, constellation, payload_bits, messages=64)
    channel = AWGN(snr_db)
    wrong = blocks = realisation = 0
    while wrong < errors and blocks < errors / BLOCK_ERROR_RATES[-1]:
        seed = Seed(f"thresholds/{constellation.name}/{code.recipe()}/{payload_bits}/{snr_db:.3f}/{realisation}")
        info = link.transmit(_IMAGE, channel, [seed]).info
        wrong += info["block_errors"][0]
        blocks += info["blocks"][0]
        realisation += 1
    return wrong / blocks
