"""Shared parts of the source codecs: the memo, the search for the quality that fills a budget, the guarded decoding."""

import io
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import Image
from torch import Tensor

from semcomm import guard, memo
from semcomm.codecs.base import SourceCodec
from semcomm.errors import ConfigurationError, ImageError, RateError
from semcomm.images import MAX_PIXELS, content_hash, from_bytes, to_bytes

Header = Literal["own", "shared"]

CLOSE = 0.996
"""A stream that fills this much of its budget is not improved on."""


class BudgetedCodec(SourceCodec):
    """A source codec whose streams are kept in the memo, so that an image is coded once for each budget."""

    _max_side: int
    """Of an image, in pixels: what the format or its library allows."""

    def encode(self, image: Tensor, max_bytes: int) -> bytes:
        """Code `image` [3, H, W] in [0, 1] into at most `max_bytes` bytes, as near to them as the codec can.

        Raises:
            RateError: when the codec has nothing that small for this image.
            ImageError: when `image` does not have this shape or is too long for the format.
        """
        if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
            raise ImageError(f"a source codec takes one image [3, H, W], not {list(image.shape)}")
        if max(image.shape) > self._max_side:
            raise ImageError(f"{type(self).__name__} takes sides of at most {self._max_side} pixels; cut the image up")
        description = {
            **self.recipe(),
            "library": self._library(),
            "image": content_hash(image),
            "max_bytes": int(max_bytes),
        }
        return memo.current().get(description, lambda: self._encode(to_bytes(image), int(max_bytes)))

    @abstractmethod
    def _encode(self, pixels: np.ndarray, max_bytes: int) -> bytes:
        """Code `uint8` [H, W, 3]; raises RateError as `encode` does."""

    @abstractmethod
    def _library(self) -> str:
        """Name the library that does the coding, with its version: part of the memo's key."""

    def _below_floor(self, pixels: np.ndarray, floor: int, max_bytes: int) -> RateError:
        height, width = pixels.shape[:2]
        count = width * height
        return RateError(
            f"{type(self).__name__} needs at least {floor} bytes ({8 * floor / count:.4g} bpp) for this "
            f"{width}x{height} image; the budget is {max_bytes} bytes ({8 * max_bytes / count:.4g} bpp). Allow more "
            "bits or channel uses, or take larger images or a codec with a lower floor."
        )


class QualityCodec(BudgetedCodec):
    """A codec with a knob for quality but none for the rate: the budget is met by trying."""

    _levels: int
    """The knob's positions, from 0, the smallest streams, to `_levels` - 1, the largest."""

    @abstractmethod
    def _encode_at(self, pixels: np.ndarray, level: int) -> bytes:
        """Code `uint8` [H, W, 3] with the knob in one position."""

    def _encode(self, pixels: np.ndarray, max_bytes: int) -> bytes:
        stream, smallest = largest_within(lambda level: self._encode_at(pixels, level), self._levels, max_bytes)
        if stream is None:
            raise self._below_floor(pixels, smallest, max_bytes)
        return stream


def largest_within(encode: Callable[[int], bytes], levels: int, max_bytes: int) -> tuple[bytes | None, int]:
    """Find the level whose stream fills `max_bytes` best without exceeding them.

    Sizes are taken to grow with the level, about exponentially; where they do not, the result is still within the
    budget, only perhaps not the largest that is.

    Returns:
        the stream, or None when even level 0 exceeds the budget; and the smallest size that was seen.
    """
    low, high = -1, levels  # low fits, high does not
    sizes: dict[int, int] = {}
    best: bytes | None = None
    while high - low > 1:
        level = _guess(sizes, low, high, levels, max_bytes)
        stream = encode(level)
        sizes[level] = len(stream)
        if len(stream) > max_bytes:
            high = level
            continue
        low = level
        if best is None or len(stream) > len(best):
            best = stream
        if len(stream) >= CLOSE * max_bytes:
            break
    return best, min(sizes.values())


def _guess(sizes: dict[int, int], low: int, high: int, levels: int, max_bytes: int) -> int:
    """Return a level strictly between `low` and `high`, where log(size) should reach log(max_bytes)."""
    if not sizes or max_bytes < 1:
        return (low + high) // 2 if not sizes else low + 1
    if len(sizes) % 3 == 0:  # interpolation alone can creep along one side
        return (low + high) // 2
    near = low if low in sizes else high
    slope = 5 / levels  # from one end to the other sizes grow about e^5 times
    if low in sizes and high in sizes:
        slope = math.log(sizes[high] / sizes[low]) / (high - low)
    step = math.log(max_bytes / sizes[near]) / slope
    return min(max(near + math.floor(step), low + 1), high - 1)


def checked_header(codec: str, value: str) -> str:
    """Return `value`, if a stream may have such a header."""
    if value not in ("own", "shared"):
        raise ConfigurationError(f"{codec}.header is {value!r}; it must be 'own' or 'shared'")
    return value


def needs_size(codec: str) -> ConfigurationError:
    """Return the error for a payload that does not say how large its image is."""
    return ConfigurationError(
        f"{codec}(header='shared') does not send the size: call decode_sized(payload, height, width)"
    )


def decode_guarded(decoder: Callable[..., np.ndarray], payload: bytes, *arguments: str) -> Tensor:
    """Decode into [3, H, W] by one of `semcomm.guard.decoders`, in the guard's process.

    Raises:
        DecodeError: whatever is wrong with the payload, or comes of it.
    """
    return from_bytes(guard.shared().decode(decoder, payload, *arguments, MAX_PIXELS))


def encode_with_pillow(pixels: np.ndarray, format: str, **options: object) -> bytes:
    """Return `uint8` [H, W, 3] as a file of one of Pillow's formats."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()
