"""The time of every stage of the separate link, on 24 images of 768x512 at 0.5 bpp.

    python -m benchmarks.link [FOLDER] [--limit 24]

Without a folder, crops of the built-in photographs, enlarged to 768x512, stand in: their times are alike.
"""

import argparse
import time
from collections import defaultdict
from statistics import mean

import numpy as np
import torch
from torch.nn.functional import interpolate

from semcomm import AWGN, JPEG2000, LDPC5G, MSSSIM, PSNR, QAM, SSIM, ImageSet, memo, seeds_of
from semcomm.images import quantise

BPP, RATE = 0.5, 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="builtin")
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--constellation", default="16qam")
    parser.add_argument("--snr_db", type=float, default=10)
    arguments = parser.parse_args()
    images = [image for _, image in ImageSet(arguments.folder, limit=arguments.limit)]
    if arguments.folder == "builtin":
        images = [enlarged(images[n % len(images)], n) for n in range(arguments.limit)]
    torch.set_num_threads(1)
    measure(images[0], arguments)  # compile and warm up
    times = defaultdict(list)
    for image in images:
        for stage, seconds in measure(image, arguments).items():
            times[stage].append(1000 * seconds)
    print(f"{len(images)} images of 768x512, {BPP} bpp, {arguments.constellation}, one thread\n")
    print("| stage | ms per image |\n|---|---|")
    for stage, values in times.items():
        print(f"| {stage} | {mean(values):.1f} |")
    print(f"| all | {sum(map(mean, times.values())):.1f} |")


def enlarged(image: torch.Tensor, number: int) -> torch.Tensor:
    """An image of 768x512, different for each number."""
    turned = image.roll(7 * number, 2)
    return quantise(interpolate(turned[None], (512, 768), mode="bicubic"))[0]


def measure(image: torch.Tensor, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds of each stage for one image."""
    source, code, qam, channel = JPEG2000(), LDPC5G(RATE), QAM(arguments.constellation), AWGN(arguments.snr_db)
    (seed,) = seeds_of(image[None])
    times = {}

    def timed(stage, function):
        began = time.perf_counter()
        value = function()
        times[stage] = time.perf_counter() - began
        return value

    memo.current().clear()  # so that every encode is a real one
    payload = timed("JPEG 2000 encode", lambda: source.encode(image, int(BPP * image[0].numel()) // 8))
    bits = torch.from_numpy(np.unpackbits(np.frombuffer(payload, np.uint8)))
    coded_bits = code.coded_bits(len(bits), qam.bits_per_symbol)
    coded = timed("LDPC encode", lambda: code.encode(bits, coded_bits, qam.bits_per_symbol))
    symbols = timed("modulate", lambda: qam.modulate(coded))
    output = timed("channel", lambda: channel([symbols], [seed]))
    llr = timed("demodulate", lambda: qam.demodulate(*output.zero_forced()[0]))
    decoded = timed("LDPC decode", lambda: code.decode(llr, len(bits), qam.bits_per_symbol))
    received = np.packbits(decoded.bits.numpy()).tobytes()
    assert received == payload, "the link was to be free of errors: raise --snr_db"
    arrived = timed("JPEG 2000 decode", lambda: source.decode(received))
    for metric in (PSNR(), SSIM(), MSSSIM()):
        timed(metric.name, lambda metric=metric: metric(image[None], arrived[None]))
    return times


if __name__ == "__main__":
    main()
