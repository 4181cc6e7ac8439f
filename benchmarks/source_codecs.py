"""Rate, PSNR and speed of the source codecs on a folder of images, one thread, as a table in Markdown.

    python -m benchmarks.source_codecs FOLDER [--limit N] [--bpp 0.25 0.5 1 2] [--codecs JPEG2000 ...]

PSNR is the mean of the images' own. Encoding includes the search for the budget.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from semcomm import memo
from semcomm.codecs.source import AVIF, HEIF, JPEG, JPEG2000, JPEGXL, WebP
from semcomm.errors import RateError
from semcomm.images import ImageSet


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="a folder of images, or builtin")
    parser.add_argument("--limit", type=int, help="the first so many images only")
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.125, 0.25, 0.5, 1.0, 2.0])
    parser.add_argument("--codecs", nargs="+", help="these classes only, such as JPEG2000")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = [image for _, image in ImageSet(arguments.folder, limit=arguments.limit)]
    print(f"{len(images)} images of {Path(arguments.folder).name}\n")
    print("| codec | bpp asked | bpp reached | least filled | PSNR dB | below floor | encode ms | decode ms |")
    print("|---|---|---|---|---|---|---|---|")
    codecs = [JPEG2000(), JPEG2000(layers=1), JPEG(), JPEG(subsampling="4:4:4"), WebP()]
    codecs += [AVIF(), HEIF(), HEIF(chroma="4:2:0"), JPEGXL()]
    for codec in codecs:
        if arguments.codecs and type(codec).__name__ not in arguments.codecs:
            continue
        for bpp in arguments.bpp:
            memo.current().clear()  # so that every encode is a real one
            reached, filled, quality, times, refused = [], [], [], [], 0
            for image in images:
                pixels = image[0].numel()
                max_bytes = int(bpp * pixels / 8)
                start = time.perf_counter()
                try:
                    stream = codec.encode(image, max_bytes)
                except RateError:
                    refused += 1
                    continue
                middle = time.perf_counter()
                decoded = codec.decode(stream)
                times.append((middle - start, time.perf_counter() - middle))
                reached.append(8 * len(stream) / pixels)
                filled.append(len(stream) / max_bytes)
                quality.append(-10 * float(torch.log10(((image - decoded) ** 2).mean())))
            row = f"| {codec} | {bpp} | "
            if reached:
                encode, decode = 1000 * np.mean(times, axis=0)
                row += f"{np.mean(reached):.4f} | {min(filled):.1%} | {np.mean(quality):.3f} | "
                row += f"{refused} | {encode:.0f} | {decode:.0f} |"
            else:
                row += f"- | - | - | {refused} | - | - |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
