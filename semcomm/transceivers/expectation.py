"""Expected PSNR of an image at a budget, before it is sent."""

from collections.abc import Sequence
from functools import cached_property
from math import log, log10

import numpy as np
from torch import Tensor

from semcomm.caches import Cache
from semcomm.codecs.base import SourceCodec
from semcomm.errors import RateError
from semcomm.images import content_hash
from semcomm.recipes import key_of

ANCHORS = 6
_curves = Cache("semcomm.transceivers.expectation.curves", most=256)


class ExpectedPSNR:
    """The PSNR of an image in dB over the payload bits that arrive, from the image coded at a few budgets.

    They are some of those that are possible, from the codec's floor on and about even in their logarithm, over which
    it is interpolated linearly. Below the floor there is the mean colour. It is measured when it is first asked for.

    Args:
        source: image to bytes.
        image: [3, H, W].
        payload_bits: the budgets that are possible.
        damage: what is done with a payload of which only the beginning arrives; with all but `prefix`, and with codecs
            whose streams are not embedded, a part is worth nothing.
    """

    def __init__(self, source: SourceCodec, image: Tensor, payload_bits: Sequence[int], damage: str = "prefix") -> None:
        self._source = source
        self._image = image
        self._bytes = sorted({int(bits) // 8 for bits in payload_bits if bits >= 8})
        self._partial = source.embedded and damage == "prefix"

    def __call__(self, bits: float, of: float) -> float:
        """Return the PSNR when the first `bits` of a payload of `of` bits arrive."""
        at, psnr = self._curve
        if not len(at) or (bits < of and not self._partial) or bits < 8 or log(bits) < at[0] - 0.01:
            return self._nothing
        return float(np.interp(log(bits), at, psnr))

    @cached_property
    def _nothing(self) -> float:
        return self._psnr(self._image.mean((1, 2), keepdim=True).expand_as(self._image))

    @property
    def _curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Measured points: log(bits), rising, and the PSNR at each."""
        key = key_of({"source": self._source.recipe(), "image": content_hash(self._image), "bytes": self._bytes})
        return _curves.get(key, self._measured)

    def _measured(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = 0, len(self._bytes)  # the first budget above the codec's floor
        while low < high:
            middle = 0 if low == 0 and high == len(self._bytes) else (low + high) // 2
            low, high = (low, middle) if self._worth(self._bytes[middle]) is not None else (middle + 1, high)
        within = np.log(self._bytes[low:])
        evenly = np.linspace(within[0], within[-1], ANCHORS) if len(within) else []
        chosen = sorted({int(np.abs(within - at).argmin()) for at in evenly})
        psnr = [self._worth(self._bytes[low + n]) for n in chosen]
        return within[chosen] + log(8), np.maximum.accumulate(psnr) if psnr else np.array([])

    def _worth(self, max_bytes: int) -> float | None:
        try:
            payload = self._source.encode(self._image, max_bytes)
        except RateError:
            return None
        return self._psnr(self._source.decode_sized(payload, *self._image.shape[1:]))

    def _psnr(self, reconstruction: Tensor) -> float:
        error = float(((reconstruction - self._image) ** 2).mean())
        return -10 * log10(max(error, 1e-10))
