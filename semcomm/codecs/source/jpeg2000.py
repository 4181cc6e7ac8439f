"""JPEG 2000 (ISO/IEC 15444-1) by OpenJPEG, as Pillow brings it."""

import numpy as np
from PIL import features
from torch import Tensor

from semcomm.codecs.source.budget import CLOSE, BudgetedCodec, decode_with_pillow, encode_with_pillow
from semcomm.codecs.source.codestream import MAX_LAYERS, MAX_SIDE, mend, shorten, without_comment
from semcomm.errors import ConfigurationError

_SMALLEST_LAYER = 2048
_TRIM = 1.02  # a stream that is over its budget by less loses its last code blocks
_ENOUGH, _MAX_ENCODES = 4, 12  # encodes, once there is a stream within the budget and until there is one
_COMMENT = 7  # bytes of the shortest comment segment; without one OpenJPEG would write its own


class JPEG2000(BudgetedCodec):
    """JPEG 2000: 9/7 wavelet, irreversible colour transform, 64x64 code blocks, 5 decompositions, a bare codestream.

    Coded by OpenJPEG (Pillow's), whose rate control is asked for the budget and asked again until the stream is
    within it. The headers take 116 bytes, of which OpenJPEG's comment is removed, and each of the 18 packets of a layer
    at least one, so the floor is about 140 bytes: 0.003 bpp at 768x512, but 1.1 bpp at 32x32.

    The stream is embedded: any prefix that holds the headers decodes, to all code blocks that are complete in it
    (`semcomm.codecs.source.codestream`). Layer budgets are halves of each other, so that a prefix is good whatever its
    length. Mean PSNR of kodim01, 05, 13 and 23 at 0.5 bpp, whole and cut to 90/75/50/25/10 %: four layers
    29.19, then 28.47/27.64/26.55/24.39/21.80 dB; one layer 29.23, then 27.22/26.20/23.72/21.58/20.09 dB. Four are the
    default because they cost 0.04 dB in a whole stream and bring up to 3 dB in a cut one
    (`benchmarks/damaged_jpeg2000.py`). A packet header with a flipped bit counts as the end of the stream when it asks
    for more bytes than there are; damage in the main header (the first 102 bytes) is not repaired.

    Args:
        layers: at most so many quality layers; fewer where the first would have less than 512 bytes. One is the best
            for streams that arrive whole or not at all.
    """

    _max_side = MAX_SIDE

    def __init__(self, layers: int = 3) -> None:
        if not 1 <= layers <= MAX_LAYERS:
            raise ConfigurationError(f"JPEG2000.layers is {layers}; it must be between 1 and {MAX_LAYERS}")
        self.layers = layers

    def _library(self) -> str:
        return f"OpenJPEG {features.version('jpg_2000')}"

    def _encode(self, pixels: np.ndarray, max_bytes: int) -> bytes:
        layers = min(self.layers, max(1, (max_bytes // _SMALLEST_LAYER).bit_length()))
        smallest, everything = 1.0, float(pixels.size)  # what OpenJPEG can be asked for, in bytes
        low, high = smallest, everything
        target = min(max(max_bytes + _COMMENT, smallest), everything)
        best = b""
        for attempt in range(_MAX_ENCODES):
            stream = _openjpeg(pixels, target, layers)
            if len(stream) <= max_bytes:
                low, candidate = target, stream
            else:
                high, candidate = target, b""
                if len(stream) <= _TRIM * max_bytes:
                    candidate = shorten(stream, max_bytes)
            best = max(best, candidate, key=len)
            if len(best) >= CLOSE * max_bytes or low == everything or (best and attempt + 1 >= _ENOUGH):
                return best
            # sizes follow the target within 2 %, in steps; a target outside the bracket means that a step is in between
            target += max_bytes - len(stream)
            if not low < target < high:
                target = (low + high) / 2
        if not best:
            best = _openjpeg(pixels, smallest, layers=1)
            if len(best) > max_bytes:
                raise self._below_floor(pixels, len(best), max_bytes)
        return best

    def decode(self, payload: bytes) -> Tensor:
        """Decode a codestream, whole, cut short or damaged, into [3, H, W], as far as it goes.

        Raises:
            DecodeError: when its headers are incomplete or damaged, or claim more than MAX_PIXELS.
        """
        return decode_with_pillow(mend(payload), "JPEG2000")


def _openjpeg(pixels: np.ndarray, target: float, layers: int) -> bytes:
    """Code `uint8` [H, W, 3] into about `target` bytes and a comment segment, which is removed."""
    stream = encode_with_pillow(
        pixels,
        "JPEG2000",
        quality_mode="rates",
        quality_layers=[pixels.size / target * 2**n for n in reversed(range(layers))],
        irreversible=True,
        mct=1,
        no_jp2=True,
        comment="-",
    )
    return without_comment(stream)
