"""A transceiver of one's own: a shrunken image sent as it is, two pixel values to a symbol, without any coding."""

from math import sqrt

import torch
from torch.nn.functional import interpolate

from semcomm import Ledger, Signal, Transceiver


class Analog(Transceiver):
    """Analog transmission: no cliff, no gain from coding. Mean and scale cross for free: 64 `side_bits`, counted.

    Args:
        channel_uses_per_pixel: budget in complex symbols per pixel, at most 1.5.
    """

    def __init__(self, channel_uses_per_pixel: float = 0.25):
        self.shrink = sqrt(channel_uses_per_pixel / 1.5)  # three values a pixel, two values a symbol

    def send(self, images, snr_db, rng):
        height, width = (max(2, int(side * self.shrink) // 2 * 2) for side in images.shape[-2:])
        values = interpolate(images, (height, width), mode="area").flatten(1)
        mean = values.mean(1, keepdim=True)
        scale = sqrt(2) * (values - mean).square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
        symbols = torch.view_as_complex(((values - mean) / scale).unflatten(1, (-1, 2)).contiguous())
        ledger = Ledger.of(images, source_bits=float("nan"), channel_uses=symbols.shape[1], side_bits=64)
        size = (height, width, *images.shape[-2:])
        return Signal(ledger, list(symbols), control=[(*c, *size) for c in zip(mean, scale)])

    def receive(self, output, control, rng):
        images = []
        for symbols, (mean, scale, height, width, *original) in zip(output.equalised(), control):
            small = (torch.view_as_real(symbols).flatten() * scale + mean).view(1, 3, height, width)
            images.append(interpolate(small, original, mode="bicubic"))
        return torch.cat(images).clamp(0, 1), {}
