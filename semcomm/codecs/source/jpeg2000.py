"""JPEG 2000 (ISO/IEC 15444-1) by OpenJPEG, as Pillow brings it."""

import numpy as np
from PIL import features
from torch import Tensor

from semcomm.caches import cached
from semcomm.codecs.source.budget import (
    CLOSE,
    BudgetedCodec,
    Header,
    checked_header,
    decode_guarded,
    encode_with_pillow,
    needs_size,
)
from semcomm.codecs.source.codestream import EOC, MAX_LAYERS, MAX_SIDE, mend, read_header, shorten, without_comment
from semcomm.errors import ConfigurationError, DecodeError
from semcomm.guard import decoders

_SMALLEST_LAYER = 2048
_TRIM = 1.02  # a stream over its budget by less loses the last layer of its last code blocks (not all they have)
_ENOUGH, _MAX_ENCODES = 4, 12  # encodes, once there is a stream within the budget and until there is one
_COMMENT = 7  # bytes of the shortest comment segment; without one OpenJPEG would write its own


class JPEG2000(BudgetedCodec):
    """JPEG 2000: 9/7 wavelet, irreversible colour transform, 64x64 code blocks, 5 decompositions, a bare codestream.

    Coded by OpenJPEG (Pillow's), whose rate control is asked for the budget and asked again when the stream exceeds it
    or leaves room; one of several layers that exceeds it by up to 2 % loses the last layer of its last code blocks
    instead. The headers take 116 bytes (OpenJPEG's comment is removed), and each of the 18 packets of a layer at least
    one, so the floor is about 140 bytes: 0.003 bpp at 768x512, but 1.1 bpp at 32x32.

    The stream is embedded: any prefix that holds the headers decodes, to all the code blocks that are complete in it
    (`semcomm.codecs.source.codestream`). Each layer's budget is half of the next one's, so that a prefix is good
    whatever its length. Mean PSNR of the 24 Kodak images at 0.5 bpp, whole and cut to 90/75/50/25/10 %
    (`benchmarks/damaged_jpeg2000.py`):

    - three layers, the default: 32.15, then 31.36/30.42/29.23/27.02/22.99 dB;
    - one layer: 32.18, then 30.27/28.80/26.24/23.76/21.84 dB;
    - three layers, OpenJPEG's own non-strict mode: 32.15, then 30.00/29.33/19.34/20.58/22.99 dB.

    A packet header with flipped bits counts as the end of the stream when it says what cannot be; flips in the bodies
    show in the image. Damage in the headers is not repaired.

    Args:
        layers: at most so many quality layers; fewer where the first would have less than 2048 bytes. One is the best
            for streams that arrive whole or not at all.
        header: `own`, in each stream, or `shared`: main and tile-part headers are not sent, as they follow from size,
            settings and one byte for the layers. A payload is 117 bytes shorter, and the floor about 20 bytes.
    """

    embedded = True
    _max_side = MAX_SIDE

    def __init__(self, layers: int = 3, header: Header = "own") -> None:
        if not 1 <= layers <= MAX_LAYERS:
            raise ConfigurationError(f"JPEG2000.layers is {layers}; it must be between 1 and {MAX_LAYERS}")
        self.layers = layers
        self.header = checked_header("JPEG2000", header)

    def _library(self) -> str:
        return f"OpenJPEG {features.version('jpg_2000')}"

    def _encode(self, pixels: np.ndarray, max_bytes: int) -> bytes:
        if self.header == "own":
            return self._stream(pixels, max_bytes, 0)
        headers = len(_headers(*pixels.shape[:2], 1))
        saved = headers + len(EOC) - 1
        stream = self._stream(pixels, max_bytes + saved, saved)
        return bytes([read_header(stream).layers]) + stream[headers : -len(EOC)]

    def _stream(self, pixels: np.ndarray, max_bytes: int, saved: int) -> bytes:
        """Return a codestream of at most `max_bytes`, `saved` of which are not sent."""
        layers = min(self.layers, max(1, ((max_bytes - saved) // _SMALLEST_LAYER).bit_length()))
        smallest, everything = 1.0, float(pixels.size)  # what OpenJPEG can be asked for, in bytes
        low, high = smallest, everything
        target = min(max(max_bytes + _COMMENT, smallest), everything)
        best, step = b"", 1
        for attempt in range(_MAX_ENCODES):
            stream = _openjpeg(pixels, target, layers)
            if len(stream) <= max_bytes:
                low, candidate = target, stream
            else:
                high, candidate = target, b""
                step = min(2 * step, 4096)
                if layers > 1 and len(stream) <= _TRIM * max_bytes:
                    candidate = shorten(stream, max_bytes)
            best = max(best, candidate, key=len)
            if best and (len(best) >= CLOSE * max_bytes or low == everything or attempt + 1 >= _ENOUGH):
                return best
            # sizes follow the target within 2 %, but in steps, so an excess of few bytes can take a far lower target
            target += (max_bytes - len(stream)) * (step // 2 if len(stream) > max_bytes else 1)
            if not low < target < high:
                target = (low + high) / 2
        if not best:
            best = _openjpeg(pixels, smallest, layers=1)
            if len(best) > max_bytes:
                raise self._below_floor(pixels, len(best) - saved, max_bytes - saved)
        return best

    def decode(self, payload: bytes) -> Tensor:
        """Decode a codestream, whole, cut short or damaged, into [3, H, W], as far as it goes.

        Raises:
            DecodeError: when its headers are incomplete or damaged, or claim more than MAX_PIXELS.
            ConfigurationError: when the header is shared; `decode_sized` it.
        """
        if self.header == "shared":
            raise needs_size("JPEG2000")
        return decode_guarded(decoders.pillow, mend(payload), "JPEG2000")

    def decode_sized(self, payload: bytes, height: int, width: int) -> Tensor:
        """Decode a codestream whose header may be shared as `decode` does.

        Raises:
            DecodeError: as `decode` does, and for a number of layers that there cannot be.
        """
        if self.header == "own":
            return self.decode(payload)
        if not payload or not 1 <= payload[0] <= self.layers:
            raise DecodeError("JPEG 2000: the payload begins with no number of layers")
        headers = bytearray(_headers(height, width, payload[0]))
        tile_part = read_header(bytes(headers)).tile_part
        headers[tile_part + 6 : tile_part + 10] = (len(headers) - tile_part + len(payload) - 1).to_bytes(4, "big")
        return decode_guarded(decoders.pillow, mend(bytes(headers) + payload[1:]), "JPEG2000")


@cached(most=64)
def _headers(height: int, width: int, layers: int) -> bytes:
    """Return what stands before the packets of any image of this size: OpenJPEG's, of a grey one."""
    stream = _openjpeg(np.full((height, width, 3), 128, np.uint8), 3 * height * width, layers)
    return stream[: read_header(stream).packets]


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
