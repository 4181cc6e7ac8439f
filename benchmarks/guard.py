"""Cost of the guard's process: decoding in it beside decoding in this one, in one run.

python -m benchmarks.guard [FOLDER]
"""

import sys
from statistics import median
from time import perf_counter

import torch

from semcomm.codecs import AVIF, HEIF, JPEG, JPEG2000, JPEGXL, WebP
from semcomm.guard import decoders, shared
from semcomm.images import MAX_PIXELS, ImageSet

REPEATS = 15


def main() -> None:
    torch.set_num_threads(1)
    _, image = next(iter(ImageSet(*sys.argv[1:2], limit=1)))
    payload_bytes = int(0.5 * image[0].numel() / 8)
    print("| codec | here ms | guarded ms | ratio |\n|---|---:|---:|---:|")
    for codec, decoder, *format in (
        (JPEG2000(), decoders.pillow, "JPEG2000"),
        (JPEG(), decoders.pillow, "JPEG"),
        (WebP(), decoders.pillow, "WEBP"),
        (AVIF(speed=9), decoders.pillow, "AVIF"),
        (HEIF(), decoders.heif),
        (JPEGXL(3), decoders.jpegxl),
    ):
        payload = codec.encode(image, payload_bytes)
        arguments = (payload, *format, MAX_PIXELS)
        assert (decoder(*arguments) == shared().decode(decoder, *arguments)).all()
        here, there = [], []
        for _ in range(REPEATS):
            began = perf_counter()
            decoder(*arguments)
            between = perf_counter()
            shared().decode(decoder, *arguments)
            here.append(between - began)
            there.append(perf_counter() - between)
        one, other = 1000 * median(here), 1000 * median(there)
        print(f"| {type(codec).__name__} | {one:.1f} | {other:.1f} | {other / one:.2f} |", flush=True)


if __name__ == "__main__":
    main()
