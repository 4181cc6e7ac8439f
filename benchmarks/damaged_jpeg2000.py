"""Quality of JPEG 2000 images whose codestream was cut short or has flipped bits, by layers and decoder.

    python -m benchmarks.damaged_jpeg2000 FOLDER [--limit N]

The decoders: `mended` is ours (`semcomm.codecs.source.codestream`), the others are what else one could do: OpenJPEG
with its strict mode off, padding with zeros to the length in the header, and correcting that length.
"""

import argparse
import ctypes
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import torch
from torch import Tensor

from semcomm.codecs.source import JPEG2000
from semcomm.codecs.source.budget import decode_guarded, encode_with_pillow
from semcomm.codecs.source.codestream import EOC, mend, read_header, without_comment
from semcomm.errors import DecodeError
from semcomm.guard import decoders
from semcomm.images import ImageSet, from_bytes, to_bytes

PREFIXES = (1.0, 0.9, 0.75, 0.5, 0.25, 0.1)
Decoder = Callable[[bytes, int], Tensor]


def psnr(image: Tensor, other: Tensor) -> float:
    """Return the PSNR in dB of two images in [0, 1]."""
    return -10 * float(torch.log10(((image - other) ** 2).mean()))


def coded(image: Tensor, max_bytes: int, layers: int, order: str) -> bytes:
    """Return a codestream of about `max_bytes` with layer budgets that are halves of each other."""
    ratios = [image.numel() / max_bytes * 2**n for n in reversed(range(layers))]
    options = {"irreversible": True, "mct": 1, "no_jp2": True, "progression": order}
    stream = encode_with_pillow(to_bytes(image), "JPEG2000", quality_mode="rates", quality_layers=ratios, **options)
    return without_comment(stream)


def mended(prefix: bytes, length: int) -> Tensor:
    """Decode as the codec does."""
    return decode_guarded(decoders.pillow, mend(prefix), "JPEG2000")


def padded(prefix: bytes, length: int) -> Tensor:
    """Decode after padding with zeros to the whole stream's length."""
    if len(prefix) == length:
        return decode_guarded(decoders.pillow, prefix, "JPEG2000")
    return decode_guarded(decoders.pillow, prefix + bytes(length - len(EOC) - len(prefix)) + EOC, "JPEG2000")


def corrected(prefix: bytes, length: int) -> Tensor:
    """Decode after correcting the tile-part's length and adding the end marker."""
    start = read_header(prefix).tile_part
    body = prefix if len(prefix) < length else prefix[: -len(EOC)]
    size = (len(body) - start).to_bytes(4, "big")
    return decode_guarded(decoders.pillow, body[: start + 6] + size + body[start + 10 :] + EOC, "JPEG2000")


def lenient(prefix: bytes, length: int) -> Tensor:
    """Decode with Pillow's OpenJPEG in non-strict mode."""
    library = ctypes.CDLL(str(_openjpeg()))
    pointer, number = ctypes.c_void_p, ctypes.c_uint32
    library.opj_create_decompress.restype = library.opj_stream_create_default_file_stream.restype = pointer
    width, height = (int.from_bytes(prefix[n : n + 4], "big") for n in (8, 12))
    with tempfile.NamedTemporaryFile() as file:
        file.write(prefix)
        file.flush()
        codec = pointer(library.opj_create_decompress(0))
        stream = pointer(library.opj_stream_create_default_file_stream(file.name.encode(), 1))
        image, parameters = pointer(), ctypes.create_string_buffer(1 << 16)
        library.opj_set_default_decoder_parameters(parameters)
        library.opj_setup_decoder(codec, parameters)
        library.opj_decoder_set_strict_mode(codec, 0)
        pixels = ctypes.create_string_buffer(3 * width * height)
        told = [number() for _ in range(8)]
        try:
            if not (
                library.opj_read_header(stream, codec, ctypes.byref(image))
                and library.opj_read_tile_header(codec, stream, *map(ctypes.byref, told))
                and told[1].value == len(pixels)
                and library.opj_decode_tile_data(codec, told[0], pixels, told[1], stream)
            ):
                raise DecodeError("OpenJPEG gave up")
        finally:
            library.opj_stream_destroy(stream)
            library.opj_destroy_codec(codec)
            library.opj_image_destroy(image)
    return from_bytes(np.frombuffer(pixels, np.uint8).reshape(3, height, width).transpose(1, 2, 0))


def _openjpeg() -> Path | None:
    folders = (Path(PIL.__file__).parent.parent / "pillow.libs", Path(PIL.__file__).parent / ".dylibs")
    return next((file for folder in folders for file in folder.glob("libopenjp2*")), None)


def prefixes(images: list[Tensor], bpp: float) -> None:
    """Print the PSNR of prefixes."""
    ways: list[tuple[int, str, Decoder]] = [(n, "LRCP", mended) for n in (1, 2, 3, 4, 6, 12)]
    ways += [(n, "LRCP", way) for n in (1, 3) for way in (padded, corrected)]
    if _openjpeg():
        ways += [(1, "LRCP", lenient), (3, "LRCP", lenient), (12, "LRCP", lenient)]
        ways += [(1, "RPCL", lenient), (12, "RLCP", lenient)]
    else:
        print("\nPillow's OpenJPEG was not found, so its non-strict mode is left out.")
    print(f"\n### {bpp} bpp: mean PSNR in dB of prefixes; in brackets how many could not be decoded\n")
    print("| layers | order | decoder |" + "".join(f" {p:.0%} |" for p in PREFIXES))
    print("|---|---|---|" + "---|" * len(PREFIXES))
    for layers, order, way in ways:
        cells = []
        streams = [coded(image, int(bpp * image[0].numel() / 8), layers, order) for image in images]
        for part in PREFIXES:
            values = []
            for image, stream in zip(images, streams, strict=True):
                try:
                    values.append(psnr(image, way(stream[: int(part * len(stream))], len(stream))))
                except DecodeError:
                    continue
            lost = len(images) - len(values)
            cells.append((f"{np.mean(values):.2f}" if values else "-") + (f" ({lost})" if lost else ""))
        print(f"| {layers} | {order} | {way.__name__} | " + " | ".join(cells) + " |", flush=True)


def flips(images: list[Tensor], bpp: float, trials: int = 5) -> None:
    """Print the PSNR of whole streams with flipped bits after the headers."""
    rng = random.Random(0)
    print(f"\n### {bpp} bpp: whole streams with bits flipped after the headers, {trials} trials an image\n")
    print("| layers | flips | median dB | 10th percentile dB | not decoded |\n|---|---|---|---|---|")
    for layers in (1, 3):
        codec = JPEG2000(layers)
        for count in (1, 4, 16, 64):
            values, lost = [], 0
            for image in images:
                stream = codec.encode(image, int(bpp * image[0].numel() / 8))
                for _ in range(trials):
                    damaged = bytearray(stream)
                    for bit in rng.sample(range(8 * read_header(stream).packets, 8 * len(stream)), count):
                        damaged[bit // 8] ^= 1 << bit % 8
                    try:
                        values.append(psnr(image, codec.decode(bytes(damaged))))
                    except DecodeError:
                        lost += 1
            low, middle = np.percentile(values, (10, 50))
            print(f"| {layers} | {count} | {middle:.2f} | {low:.2f} | {lost} of {lost + len(values)} |", flush=True)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="a folder of images, or builtin")
    parser.add_argument("--limit", type=int, help="the first so many images only")
    arguments = parser.parse_args()
    images = [image for _, image in ImageSet(arguments.folder, limit=arguments.limit)]
    print(f"{len(images)} images of {Path(arguments.folder).name}")
    for bpp in (0.5, 1.0):
        prefixes(images, bpp)
    flips(images, 0.5)


if __name__ == "__main__":
    main()
