"""Lossless coding of images in black and white, such as edge maps: context modelling and arithmetic coding."""

import struct

import numpy as np
from numba import njit
from torch import Tensor

from semcomm.codecs.base import SourceCodec
from semcomm.errors import DecodeError, RateError
from semcomm.images import from_bytes

_HEADER = struct.Struct(">HH")
"""Height and width."""

MOST_PIXELS = 2**22
"""More are not coded, so that a damaged header keeps no decoder busy for long."""

_CONTEXTS = 1 << 10
_RENEW = 1024
"""Decisions after which a context's counts are halved, so that it follows changes."""


class Bilevel(SourceCodec):
    """Black and white, exactly.

    Each pixel is coded with the probability that its ten neighbours above and to the left have had so far (the
    three-line template of JBIG, ITU-T T.82, Figure 4), by a binary range coder of our own: the stream is not JBIG's.
    An image is white where the mean of its channels is at least 1/2. Damage is not noticed: what follows it is rubbish.
    """

    def encode(self, image: Tensor, max_bytes: int) -> bytes:
        """Code an image [3, H, W] exactly, whatever that takes.

        Raises:
            RateError: when that is more than `max_bytes`, or there are more than 2^22 pixels.
        """
        white = (image.mean(0) >= 0.5).numpy().astype(np.int64)
        height, width = white.shape
        if height * width > MOST_PIXELS or max(height, width) > 0xFFFF:
            raise RateError(f"Bilevel: {width}x{height} pixels; it takes at most {MOST_PIXELS:,}, and 65,535 a side")
        stream = _encoded(np.pad(white, ((2, 0), (2, 2)))).tobytes().rstrip(b"\0")  # the decoder goes on with zeros
        payload = _HEADER.pack(height, width) + stream
        if len(payload) > max_bytes:
            raise RateError(f"Bilevel: this image takes {len(payload)} bytes, and {max_bytes} are allowed")
        return payload

    def decode(self, payload: bytes) -> Tensor:
        """Decode into [3, H, W], 0 or 1.

        Raises:
            DecodeError: when there is no header, or one of an impossible size.
        """
        if len(payload) < _HEADER.size:
            raise DecodeError("Bilevel: no header arrived")
        height, width = _HEADER.unpack(payload[: _HEADER.size])
        if not 0 < height * width <= MOST_PIXELS:
            raise DecodeError(f"Bilevel: the header says {width}x{height} pixels")
        pixels = _decoded(np.frombuffer(payload[_HEADER.size :], np.uint8), height, width)
        white = pixels[2:, 2:-2].astype(np.uint8)
        return from_bytes(np.repeat(255 * white[:, :, None], 3, axis=2))


@njit(cache=True, nogil=True)
def _context(pixels, y, x):
    """Ten neighbours, in an image with a margin of two rows above and two columns on each side."""
    above, before = pixels[y], pixels[y + 1]
    row = pixels[y + 2]
    context = (above[x + 1] << 9) | (above[x + 2] << 8) | (above[x + 3] << 7)
    context |= (before[x] << 6) | (before[x + 1] << 5) | (before[x + 2] << 4) | (before[x + 3] << 3)
    return context | (before[x + 4] << 2) | (row[x] << 1) | row[x + 1]


@njit(cache=True, nogil=True)
def _black(counts, context):
    """Probability of 0 in 65,536ths (Krichevsky and Trofimov's estimate), never quite 0 or 1."""
    zeros, ones = counts[context, 0], counts[context, 1]
    return min(max(((2 * zeros + 1) << 16) // (2 * (zeros + ones) + 2), 16), 65520)


@njit(cache=True, nogil=True)
def _learn(counts, context, bit):
    counts[context, bit] += 1
    if counts[context, 0] + counts[context, 1] >= _RENEW:
        counts[context, 0] //= 2
        counts[context, 1] //= 2


@njit(cache=True, nogil=True)
def _encoded(pixels):
    height, width = pixels.shape[0] - 2, pixels.shape[1] - 4
    counts = np.zeros((_CONTEXTS, 2), np.int64)
    out = np.empty(2 * height * width + 16, np.uint8)
    state = np.array([0, -1, 0, 0], np.int64)
    extent = np.int64(0xFFFFFFFF)
    for y in range(height):
        for x in range(width):
            context = _context(pixels, y, x)
            bound = (extent * _black(counts, context)) >> 16
            bit = pixels[y + 2, x + 2]
            if bit:
                state[0] += bound
                extent -= bound
            else:
                extent = bound
            _learn(counts, context, bit)
            while extent < 1 << 24:
                extent <<= 8
                _shift(state, out)
    for _ in range(5):
        _shift(state, out)
    return out[: state[3]]


@njit(cache=True, nogil=True)
def _shift(state, out):
    """Move the highest byte of `low` out, holding it back while a carry may still change it.

    The state: `low`, the byte held back (-1 for none), how many 0xFF follow it, the bytes that are out.
    """
    low, held, pending, size = state
    if low < 0xFF000000 or low > 0xFFFFFFFF:
        carry = low >> 32
        if held >= 0:
            out[size] = held + carry
            size += 1
        while pending > 0:
            out[size] = (0xFF + carry) & 0xFF
            size += 1
            pending -= 1
        held = (low >> 24) & 0xFF
    else:
        pending += 1
    state[0], state[1], state[2], state[3] = (low & 0x00FFFFFF) << 8, held, pending, size


@njit(cache=True, nogil=True)
def _decoded(stream, height, width):
    pixels = np.zeros((height + 2, width + 4), np.int64)
    counts = np.zeros((_CONTEXTS, 2), np.int64)
    code, extent, at = np.int64(0), np.int64(0xFFFFFFFF), 0
    for _ in range(4):
        code = (code << 8) | (stream[at] if at < len(stream) else 0)
        at += 1
    for y in range(height):
        for x in range(width):
            context = _context(pixels, y, x)
            bound = (extent * _black(counts, context)) >> 16
            if code < bound:
                bit = 0
                extent = bound
            else:
                bit = 1
                code -= bound
                extent -= bound
            pixels[y + 2, x + 2] = bit
            _learn(counts, context, bit)
            while extent < 1 << 24:
                extent <<= 8
                code = ((code << 8) | (stream[at] if at < len(stream) else 0)) & 0xFFFFFFFF
                at += 1
    return pixels
