"""Targets that a channel reaches: source codecs, demapper, channel decoders."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from fuzzing.target import Target
from semcomm.codecs import (
    AVIF,
    HEIF,
    JPEG,
    JPEG2000,
    JPEGXL,
    LDPC5G,
    QAM,
    ChannelCode,
    RegularLDPC,
    SourceCodec,
    Uncoded,
    WebP,
)
from semcomm.codecs.base import Decoded
from semcomm.codecs.source.codestream import mend, read_header
from semcomm.images import quantise


def picture(height: int, width: int) -> Tensor:
    """Return waves with some noise, [3, H, W]."""
    generator = torch.Generator().manual_seed(0)
    y = torch.linspace(0, 6, height)[None, :, None]
    x = torch.linspace(0, 9, width)[None, None, :]
    phase = torch.rand(3, 1, 1, generator=generator) * 6
    noise = torch.randn(3, height, width, generator=generator)
    return quantise(0.5 + 0.35 * torch.sin(x + y + phase) + 0.05 * noise)


def source(name: str, codec: SourceCodec) -> Target:
    """Return the target that is a source codec's `decode`."""

    def decode(data: bytes) -> None:
        image = codec.decode(data)
        assert image.ndim == 3 and image.shape[0] == 3 and image.dtype == torch.float32
        assert image.min() >= 0 and image.max() <= 1

    return Target(name, lambda: [codec.encode(picture(40, 52), 1600), codec.encode(picture(9, 130), 2500)], decode)


def _codestreams() -> Sequence[bytes]:
    sizes = ((40, 52), (130, 9), (200, 300))
    return [JPEG2000(layers).encode(picture(*size), 6000) for size in sizes for layers in (1, 3)]


def _mend(data: bytes) -> None:
    whole = mend(data)
    assert read_header(whole).length == len(whole)
    assert mend(whole) == whole


@cache
def _code(number: int) -> ChannelCode:
    return (LDPC5G(0.5), LDPC5G(0.9), LDPC5G(1 / 5), RegularLDPC(120), Uncoded())[number % 5]


def _llrs() -> Sequence[bytes]:
    rng = np.random.default_rng(0)
    values = [rng.normal(0, 4, n).astype(np.float32) for n in (96, 240, 600)]
    values += [np.full(240, special, np.float32) for special in (np.nan, np.inf, -np.inf, 0, 1e38)]
    return [bytes([code, 8, 1]) + v.tobytes() for code, v in enumerate(values)]


def _channel_decoder(data: bytes) -> None:
    code, length, per_symbol = _code(data[0] if data else 0), *(data[1:3].ljust(2, b"\1"))
    llr = torch.from_numpy(np.frombuffer(data[3 : 3 + (len(data) - 3) // 4 * 4], np.float32).copy())
    # most often a length that could have been sent, now and then another
    payload_bits = length if length % 5 == 0 else max(code.payload_bits(len(llr)) - length % 7, -1)
    per_symbol = (1, 2, 4, 6, 8)[per_symbol % 5]
    decoded = code.decode(llr, payload_bits, per_symbol)
    _is_decoded(decoded, payload_bits)


def _is_decoded(decoded: Decoded, payload_bits: int) -> None:
    assert decoded.bits.shape == (payload_bits,) and decoded.bits.dtype == torch.uint8
    assert bool((decoded.bits <= 1).all())
    assert len(decoded.block_ok) == len(decoded.block_bits)
    assert 0 <= decoded.intact_bits() <= payload_bits


def _demapper(data: bytes) -> None:
    name = ("bpsk", "qpsk", "16qam", "64qam", "256qam")[data[0] % 5 if data else 0]
    constellation = QAM(name, "maxlog" if data[1:2] > b"\x7f" else "exact")
    numbers = np.frombuffer(data[2 : 2 + (len(data) - 2) // 12 * 12], np.float32).copy()
    symbols = torch.from_numpy(numbers[: len(numbers) // 3 * 2].view(np.complex64).copy())
    variance = torch.from_numpy(numbers[len(numbers) // 3 * 2 :])
    llr = constellation.demodulate(symbols, variance)
    assert llr.shape == (len(symbols) * constellation.bits_per_symbol,) and llr.dtype == torch.float32
    code = _code(data[1] if len(data) > 1 else 0)
    payload_bits = code.payload_bits(len(llr))
    _is_decoded(code.decode(llr, payload_bits, 1), payload_bits)


def _symbols() -> Sequence[bytes]:
    rng = np.random.default_rng(0)
    return [bytes([n, 40 * n]) + rng.normal(0, 1, 360).astype(np.float32).tobytes() for n in range(5)]


FLOATS = [np.float32(v).tobytes() for v in (np.nan, np.inf, -np.inf, 0, -0.0, 1e-45, 3.4e38, -3.4e38, 127, -128)]
MARKERS = [bytes([0xFF, b]) for b in (0x4F, 0x51, 0x52, 0x5C, 0x64, 0x90, 0x93, 0xD9, 0xD8, 0xC0, 0xC2, 0xC4, 0xDA)]

STREAMS = [
    Target("codestream", _codestreams, _mend, MARKERS),
    source("jpeg2000", JPEG2000()),
    source("jpeg", JPEG()),
    source("webp", WebP()),
    source("avif", AVIF(speed=9)),
    source("heif", HEIF()),
    source("jpegxl", JPEGXL(3)),
    Target("channel-decoder", _llrs, _channel_decoder, FLOATS),
    Target("demapper", _symbols, _demapper, FLOATS),
]
