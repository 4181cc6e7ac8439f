"""What a payload is worth before it is sent: the PSNR that a budget buys for an image."""

from collections.abc import Sequence
from functools import cached_property
from math import log, log10

import numpy as np
from torch import Tensor

from semcomm.codecs.base import SourceCodec
from semcomm.errors import RateError

ANCHORS = 6


class ExpectedPSNR:
    """The PSNR of an image in dB over the payload bits that arrive, from the image coded at a few budgets.

    Between the budgets, evenly spaced in their logarithm over those that are possible, it is interpolated linearly
    over the logarithm. Below the codec's floor there is the mean colour. It is measured when it is first asked for.

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
        self._payload_bits = [bits for bits in payload_bits if bits >= 8]
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

    @cached_property
    def _curve(self) -> tuple[np.ndarray, np.ndarray]:
        """What was measured: log(bits), rising, and the PSNR at each."""
        at, psnr = [], []
        if self._payload_bits:
            budgets = np.geomspace(min(self._payload_bits), max(self._payload_bits), ANCHORS)
            for bits in sorted({int(budget) // 8 * 8 for budget in budgets}):
                try:
                    payload = self._source.encode(self._image, bits // 8)
                    reconstruction = self._source.decode_sized(payload, *self._image.shape[1:])
                except RateError:
                    continue
                at.append(log(bits))
                psnr.append(self._psnr(reconstruction))
        return np.array(at), np.maximum.accumulate(psnr) if psnr else np.array([])

    def _psnr(self, reconstruction: Tensor) -> float:
        error = float(((reconstruction - self._image) ** 2).mean())
        return -10 * log10(max(error, 1e-10))
