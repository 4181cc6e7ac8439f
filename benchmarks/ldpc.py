"""Speed and quality of our LDPC decoder beside Sionna's and pyldpc's, on the same LLRs in the same run.

Code blocks of 5G NR, BPSK over AWGN, Es/N0 with complex noise of variance N0. The code rate and Eb/N0 are those of
the code block, its CRC counted as information. Sionna runs 20 iterations of flooding belief propagation with the
exact check-node update ("boxplus"), 16 words at a time, which is its best and fastest setting on a CPU. All decoders
may use all of torch's threads. Where other work shares the cores, set OMP_NUM_THREADS=1: PyTorch's threads wait for one
another, and Sionna with two of them can fall to a tenth, which would flatter ours.

    python -m benchmarks.ldpc [speed] [regular] [curves] [quality] [--quick] [--json FILE]
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from semcomm.codecs.ldpc import LDPC5G, RegularLDPC
from semcomm.codecs.ldpc.kernel import decode_blocks
from semcomm.codecs.ldpc.nr import _plan
from semcomm.codecs.ldpc.regular import gallager_matrix

SPEED_POINTS = ((1024, 1.55), (4224, 1.25), (8448, 1.15), (1024, 1.40), (4224, 1.08), (8448, 0.98))
"""Block bits and Eb/N0 in dB at rate 1/2: where Sionna loses about one block in a hundred, then where ours does."""

QUALITY_POINTS = {
    (1024, "1/3"): 0.70,
    (1024, "1/2"): 1.25,
    (1024, "2/3"): 1.95,
    (4224, "1/3"): 0.45,
    (4224, "1/2"): 1.10,
    (4224, "2/3"): 1.85,
    (8448, "1/3"): 0.45,
    (8448, "1/2"): 1.00,
    (8448, "2/3"): 1.85,
}
"""Eb/N0 in dB where Sionna's decoder loses some 10 to 30 blocks in a hundred."""

PARTS = ("speed", "regular", "curves", "quality")

SIONNA_BATCH = 16


class Words(NamedTuple):
    """Noisy code words of one size.

    Attributes:
        bits: `uint8` [words, payload], the truth.
        llr: `float32` [words, n].
        plan: all that `LDPC5G` knows of this size.
    """

    bits: np.ndarray
    llr: torch.Tensor
    plan: tuple


def noisy_words(block_bits: int, code_rate: float, ebno_db: float, words: int, seed: int) -> Words:
    """Draw payloads, encode and send them."""
    payload = block_bits - (24 if block_bits - 24 > 3824 else 16)
    coded = round(block_bits / code_rate)
    code = LDPC5G(payload / coded)
    generator = torch.Generator().manual_seed(seed)
    bits = torch.randint(0, 2, (words, payload), dtype=torch.uint8, generator=generator)
    sent = torch.stack([code.encode(word, coded, 1) for word in bits])
    noise_variance = 10 ** (-ebno_db / 10) / code_rate
    received = 1.0 - 2.0 * sent + math.sqrt(noise_variance / 2) * torch.randn(sent.shape, generator=generator)
    return Words(bits.numpy(), -4 * received / noise_variance, _plan(payload, coded, 1))


def ours(words: Words, iterations: int = 40) -> np.ndarray:
    """Return which words our decoder loses, `bool` [words]."""
    count, coded = words.llr.shape
    starts = np.arange(count + 1) * coded
    bits, _ = decode_blocks(words.llr.numpy().reshape(-1), starts, words.plan.buffer, words.plan.schedule, iterations)
    return (bits[:, : words.bits.shape[1]] != words.bits).any(axis=1)


def sionna_decoder(words: Words) -> Callable[[Words], np.ndarray]:
    """Return a function like `ours` on Sionna's decoder."""
    from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

    segmentation, coded = words.plan.segmentation, words.llr.shape[1]
    encoder = LDPC5GEncoder(segmentation.block_bits, coded, 1, bg=f"bg{segmentation.base_graph}", device="cpu")
    decoder = LDPC5GDecoder(encoder, cn_update="boxplus", num_iter=20, device="cpu")

    def lost(words: Words) -> np.ndarray:
        bits = torch.cat([decoder(batch) for batch in words.llr.split(SIONNA_BATCH)])
        return (bits.numpy()[:, : words.bits.shape[1]] != words.bits).any(axis=1)

    return lost


def least_seconds(run: Callable, *arguments: object, repeats: int = 1) -> float:
    """Return the least time that `run(*arguments)` takes; it has run once before."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


def compare_speed(quick: bool) -> list[dict]:
    """Return information bits per second and block error rates at rate 1/2."""
    rows = []
    for block_bits, ebno_db in SPEED_POINTS:
        words = noisy_words(block_bits, 1 / 2, ebno_db, 512 if quick else 2048, seed=1)
        few = Words(words.bits[:64], words.llr[:64], words.plan)
        sionna = sionna_decoder(words)
        lost_ours, lost_sionna = ours(words), sionna(few)
        # Alternating, so that other work on the machine meets both.
        time_ours, time_sionna = math.inf, math.inf
        for _ in range(3):
            time_sionna = min(time_sionna, least_seconds(sionna, few))
            time_ours = min(time_ours, least_seconds(ours, words, repeats=5))
        fast, slow = len(words.bits) * block_bits / time_ours / 1e6, len(few.bits) * block_bits / time_sionna / 1e6
        rows.append(
            {
                "k": block_bits,
                "Eb/N0 dB": ebno_db,
                "ours Mbit/s": round(fast, 1),
                "Sionna Mbit/s": round(slow, 3),
                "ratio": round(fast / slow),
                "ours BLER": f"{lost_ours.sum()}/{len(lost_ours)}",
                "Sionna BLER": f"{lost_sionna.sum()}/{len(lost_sionna)}",
            }
        )
    return rows


def compare_regular(quick: bool) -> list[dict]:
    """Return the same for a regular (3, 6) code of 2048 bits, beside pyldpc where it is installed."""
    length, ebno_db, words = 2048 // 6 * 6, 2.2, 64 if quick else 512
    code = RegularLDPC(length, 3, 6, seed=0)
    generator = torch.Generator().manual_seed(2)
    bits = torch.randint(0, 2, (code.payload_bits(words * length),), dtype=torch.uint8, generator=generator)
    sent = code.encode(bits, words * length, 1)
    noise_variance = 10 ** (-ebno_db / 10) * 2
    received = 1.0 - 2.0 * sent + math.sqrt(noise_variance / 2) * torch.randn(sent.shape, generator=generator)
    llr = -4 * received / noise_variance
    decoded = code.decode(llr, len(bits), 1)
    speed = len(bits) / least_seconds(code.decode, llr, len(bits), 1, repeats=3) / 1e6
    row = {
        "code": f"regular (3, 6), n = {length}",
        "Eb/N0 dB": ebno_db,
        "ours Mbit/s": round(speed, 2),
        "ours BLER": f"{int((~decoded.block_ok).sum())}/{words}",
    }
    if find_spec("pyldpc") is None:
        return [row | {"pyldpc Mbit/s": "not installed"}]
    import pyldpc

    # Its decoder wants a matrix only. The zero word is as good as any, so it is given another matrix of the ensemble.
    matrix = gallager_matrix(length, 3, 6, seed=0).astype(int)
    few = 8
    noise = torch.randn((length, few), generator=generator).double().numpy()
    heard = 1.0 + math.sqrt(noise_variance / 2) * noise
    snr_db = 10 * math.log10(2 / noise_variance)
    pyldpc.decode(matrix, heard, snr_db, maxiter=1)
    elapsed = least_seconds(pyldpc.decode, matrix, heard, snr_db, 20)
    slow = few * len(bits) / words / elapsed / 1e6
    return [row | {"pyldpc Mbit/s": round(slow, 4), "ratio": round(speed / slow)}]


def compare_quality(quick: bool, errors: int) -> list[dict]:
    """Return block errors on the same LLRs, until Sionna has lost `errors` blocks."""
    rows = []
    for (block_bits, rate), ebno_db in QUALITY_POINTS.items():
        numerator, denominator = map(int, rate.split("/"))
        lost = np.zeros((2, 0), bool)
        sionna, seed = None, 100
        while lost[1].sum() < errors and lost.shape[1] < (256 if quick else 8192):
            words = noisy_words(block_bits, numerator / denominator, ebno_db, 128, seed)
            sionna = sionna or sionna_decoder(words)
            lost = np.concatenate([lost, np.stack([ours(words), sionna(words)])], axis=1)
            seed += 1
        rows.append(
            {
                "k": block_bits,
                "rate": rate,
                "Eb/N0 dB": ebno_db,
                "blocks": lost.shape[1],
                "ours lost": int(lost[0].sum()),
                "Sionna lost": int(lost[1].sum()),
                "only ours": int((lost[0] & ~lost[1]).sum()),
                "only Sionna": int((lost[1] & ~lost[0]).sum()),
            }
        )
        print("|", " | ".join(str(value) for value in rows[-1].values()), "|", flush=True)
    return rows


def error_curves(quick: bool) -> list[dict]:
    """Return our block error rate over Eb/N0 at rate 1/2."""
    rows = []
    for block_bits in (256, 1024, 4224, 8448):
        row = {"k": block_bits}
        for ebno_db in np.arange(0.6, 3.01, 0.2):
            lost = np.zeros(0, bool)
            seed = 1000
            while lost.sum() < 100 and len(lost) < (512 if quick else 8192):
                lost = np.concatenate([lost, ours(noisy_words(block_bits, 1 / 2, float(ebno_db), 512, seed))])
                seed += 1
            row[f"{ebno_db:.1f} dB"] = f"{lost.mean():.2g}" if lost.any() else f"< {1 / len(lost):.1g}"
            if not lost.any():
                break
        rows.append(row)
    return rows


def print_table(rows: list[dict]) -> None:
    """Print `rows` as a Markdown table; a row may lack the last columns."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    print("\n| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row.get(name, "")) for name in columns) + " |", flush=True)


def main() -> None:
    """Run all comparisons and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"what to measure, of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer words: about two minutes, coarse error rates")
    parser.add_argument("--errors", type=int, default=200, help="lost blocks to wait for in the paired comparison")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the tables there")
    arguments = parser.parse_args()
    if not set(arguments.parts) <= set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}")

    measure = {
        "speed": lambda: compare_speed(arguments.quick),
        "regular": lambda: compare_regular(arguments.quick),
        "curves": lambda: error_curves(arguments.quick),
        "quality": lambda: compare_quality(arguments.quick, arguments.errors),
    }
    print(f"{torch.get_num_threads()} threads")
    results = {"threads": torch.get_num_threads()}
    for part in arguments.parts:
        results[part] = measure[part]()
        print(f"\n## {part}")
        print_table(results[part])
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
