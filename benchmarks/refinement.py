"""LSCI's refinement at the transmitter: PSNR with and without, and its time, on crops of a folder's images.

    python -m benchmarks.refinement FOLDER [--steps 20] [--images 3] [--size 192] [--realisations 2]

Scores are of fresh noise. Seconds are of one core's time per step and megapixel.
"""

import argparse
import time
from itertools import islice

import torch

import semcomm as sc

SETTINGS = ((10, 6), (10, 4), (0, 6), (15, 7))
"""SNR in dB and layers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--realisations", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    crops = [middle(image, arguments.size) for _, image in islice(sc.ImageSet(arguments.folder), arguments.images)]
    print(
        "| symbols | SNR | layers | PSNR | refined | gain | s per step and megapixel |\n|---|---|---|---|---|---|---|"
    )
    for constellation in ("analog", "16qam"):
        for snr_db, layers in SETTINGS:
            options = {"layers": layers, "constellation": constellation, "device": "cpu"}
            plain, _ = measured(sc.LSCI(**options), crops, snr_db, arguments.realisations)
            better, seconds = measured(
                sc.LSCI(**options, refine=arguments.steps), crops, snr_db, arguments.realisations
            )
            pixels = sum(crop.shape[2] * crop.shape[3] for crop in crops) / 1e6
            values = f"{plain:.2f} | {better:.2f} | {better - plain:+.2f} | {seconds / arguments.steps / pixels:.1f}"
            print(f"| {constellation} | {snr_db} | {layers} | {values} |", flush=True)


def middle(image: torch.Tensor, size: int) -> torch.Tensor:
    """Return the middle square of an image, [1, 3, size, size]."""
    top, left = ((side - size) // 2 for side in image.shape[1:])
    return image[None, :, top : top + size, left : left + size]


def measured(link: sc.Link, crops: list[torch.Tensor], snr_db: float, realisations: int) -> tuple[float, float]:
    """Return the mean PSNR in dB, and the seconds of the processor."""
    began, values = time.process_time(), []
    for crop in crops:
        for realisation in range(realisations):
            reception = link.transmit(crop, sc.AWGN(snr_db), sc.seeds_of(crop, realisation=realisation))
            values.append(sc.PSNR()(crop, reception.images).item())
    return sum(values) / len(values), time.process_time() - began


if __name__ == "__main__":
    main()
