"""The native decoders: bytes into `uint8` [H, W, 3], nothing but NumPy, Pillow and the like imported.

The size that a header claims is checked before anything is decoded.
"""

import io
import struct

import numpy as np
from PIL import Image

from semcomm.errors import DecodeError

PILLOW_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    RuntimeError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # where warnings are errors
)
"""Errors of Pillow and its plugins over damaged files, apart from MemoryError, which the guard sees to."""


def check_size(width: int, height: int, codec: str, max_pixels: int) -> None:
    """Refuse to decode an image of more than `max_pixels`.

    Raises:
        DecodeError: when it is larger or empty.
    """
    if not 0 < width * height <= max_pixels:
        raise DecodeError(f"{codec}: the header claims {width}x{height} pixels; the limit is {max_pixels:,}")


def pillow(payload: bytes, format: str, max_pixels: int) -> np.ndarray:
    """Decode a file of one of Pillow's formats.

    Raises:
        DecodeError: whatever is wrong with it.
    """
    try:
        with Image.open(io.BytesIO(payload), formats=[format]) as file:
            check_size(*file.size, format, max_pixels)
            return np.asarray(file.convert("RGB"))
    except PILLOW_ERRORS as error:
        raise DecodeError(f"{format}: {error}") from None


def heif(payload: bytes, max_pixels: int) -> np.ndarray:
    """Decode a HEIF file by libheif and libde265.

    Raises:
        DecodeError: whatever is wrong with it.
    """
    import pillow_heif

    try:
        file = pillow_heif.open_heif(payload)
        check_size(*file.size, "HEIF", max_pixels)
        return np.asarray(file.to_pillow().convert("RGB"))
    except PILLOW_ERRORS as error:
        raise DecodeError(f"HEIF: {error}") from None


def jpegxl(payload: bytes, max_pixels: int) -> np.ndarray:
    """Decode a bare JPEG XL codestream by libjxl.

    Raises:
        DecodeError: whatever is wrong with it.
    """
    import imagecodecs

    check_size(*jpegxl_size(payload), "JPEG XL", max_pixels)
    try:
        pixels = imagecodecs.jpegxl_decode(payload, numthreads=1)
    except (imagecodecs.JpegxlError, ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise DecodeError(f"JPEG XL: {error}") from None
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DecodeError("JPEG XL: this is something other than one 8-bit colour image")
    return pixels


def jpegxl_size(stream: bytes) -> tuple[int, int]:
    """Return the width and height that a bare JPEG XL codestream claims (ISO/IEC 18181-1, SizeHeader).

    Raises:
        DecodeError: when it is none.
    """
    if stream[:2] != b"\xff\x0a" or len(stream) < 12:
        raise DecodeError("JPEG XL: this is no codestream")
    bits = int.from_bytes(stream[2:12], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    def side() -> int:
        return 8 * (take(5) + 1) if small else 1 + take((9, 13, 18, 30)[take(2)])

    small = take(1)
    height = side()
    ratio = take(3)
    if ratio == 0:
        return side(), height
    above, below = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * above // below, height
