"""The time of each metric for one pair of 768x512, what keeping references saves in a sweep of nine points, and tuning.

python -m benchmarks.metrics [IMAGE]
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch.nn.functional import interpolate

from semcomm import JPEG2000, MSE, MSSSIM, PSNR, SSIM, EmbeddedScore, ImageSet, SeSS, memo
from semcomm.images import quantise, read_image
from semcomm.metrics.sess.tuning import Rated, scores_of

POINTS = 9
PAIRS, TRIALS = 1000, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", help="an image of 768x512; else a built-in one, enlarged")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.image:
        image = read_image(arguments.image)[None]
    else:
        (_, photograph), *_ = ImageSet(limit=1)
        image = quantise(interpolate(photograph[None], (512, 768), mode="bicubic"))
    codec = JPEG2000()
    received = [codec.decode(codec.encode(image[0], 5000 * (n + 1)))[None] for n in range(POINTS)]

    print("| metric | reference ms | reconstruction ms |\n|---|---|---|")
    for metric in (MSE(), PSNR(), SSIM(), MSSSIM(), EmbeddedScore(), SeSS()):
        metric(image, received[0])  # import, compile
        memo.current().clear()
        turned = image.flip(3)  # not seen before, so nothing about it is kept
        prepared, first = timed(lambda metric=metric, turned=turned: metric.prepare(turned))
        _, second = timed(lambda metric=metric, prepared=prepared: metric.score(prepared, received[1].flip(2)))
        print(f"| {metric.name} | {1000 * first:.0f} | {1000 * second:.0f} |")

    metric = SeSS()
    prepared, _ = timed(lambda: metric.prepare(image))
    _, kept = timed(lambda: [metric.score(prepared, r) for r in received])
    _, again = timed(lambda: [metric.score([metric.backend.describe(image[0], "mask")], r) for r in received])
    saved = 1 - kept / again
    print(
        f"\nSeSS over {POINTS} points: {kept:.2f} s with the reference kept, {again:.2f} s without; saved {saved:.0%}."
    )

    scenes = [metric.backend.describe(r[0], "mask") for r in received]
    paired = [(scenes[n % POINTS], scenes[(n + 1 + n // POINTS) % POINTS]) for n in range(PAIRS)]
    pairs = [Rated(tuple(metric.backend.views(*pair)), 0.5) for pair in paired]
    predicates = metric.backend.predicate_similarity()
    _, trial = timed(lambda: scores_of(pairs, predicates, metric.parameters))
    print(f"Tuning: a trial of {PAIRS} pairs takes {trial:.2f} s, {TRIALS} of them {TRIALS * trial / 60:.1f} minutes.")


def timed(function: Callable) -> tuple[object, float]:
    with torch.inference_mode():
        began = time.perf_counter()
        value = function()
    return value, time.perf_counter() - began


if __name__ == "__main__":
    main()
