"""Targets that a channel reaches: source codecs, texts, latents, plans of layers, demapper, channel decoders."""

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
    ASCIIText,
    Bilevel,
    ChannelCode,
    CompressedText,
    FloatLatent,
    LatentCodec,
    QuantisedLatent,
    RegularLDPC,
    SourceCodec,
    TextCodec,
    Uncoded,
    WebP,
)
from semcomm.codecs.base import Decoded
from semcomm.codecs.latent import BITS
from semcomm.codecs.source.codestream import mend, read_header
from semcomm.codecs.text import LONGEST
from semcomm.images import quantise
from semcomm.jscc import plans
from semcomm.transceivers.generative.captioned import printable


def wavy_image(height: int, width: int) -> Tensor:
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

    return Target(
        name, lambda: [codec.encode(wavy_image(40, 52), 1600), codec.encode(wavy_image(9, 130), 2500)], decode
    )


def _codestreams() -> Sequence[bytes]:
    sizes = ((40, 52), (130, 9), (200, 300))
    return [JPEG2000(layers).encode(wavy_image(*size), 6000) for size in sizes for layers in (1, 3)]


def _mend(data: bytes) -> None:
    whole = mend(data)
    assert read_header(whole).length == len(whole)
    assert mend(whole) == whole


def text(name: str, codec: TextCodec) -> Target:
    """Return the target that is a text codec's `decode`, and what the results say of such a text."""

    def decode(data: bytes) -> None:
        found = codec.decode(data)
        assert len(found) <= LONGEST and printable(found).isprintable()
        whole = codec.decode(codec.encode(found))
        assert whole == found or codec.altered(found) or len(found.encode()) > LONGEST - 100  # then it is cut

    captions = ["a small dog on a beach", "Zo\u00eb \u00bd \u2026 \u732b", "a" * 60_000, ""]
    return Target(name, lambda: [codec.encode(caption) for caption in captions], decode, DEFLATED, total=True)


@cache
def _latents() -> Sequence[LatentCodec]:
    floats = [FloatLatent(format, repair) for format in BITS for repair in ("replace", "clip")]
    return [*floats, *map(QuantisedLatent, range(4, 9))]


def _latent(data: bytes) -> None:
    """A codec, a shape, and what is both the latent and the bits that arrive of it, most often as many as were sent."""
    head, rest = data[:5].ljust(5, b"\1"), data[5:]
    codec, shape = _latents()[head[0] % len(_latents())], tuple(size % 6 for size in head[1:4])
    values = np.resize(np.frombuffer(rest[: len(rest) // 4 * 4], np.float32), shape)
    sent, side = codec.encode(torch.from_numpy(values))
    noise = np.unpackbits(np.frombuffer(rest, np.uint8))
    arrived = torch.from_numpy(noise if head[4] > 250 else np.resize(noise, len(sent)))
    for bits in (sent, arrived):
        found = codec.decode(bits, shape, side, torch.Generator().manual_seed(0))
        assert found.latent.shape == shape and found.latent.dtype == torch.float32
        assert bool(found.latent.isfinite().all()) and 0 <= found.repaired <= found.latent.numel()


def _sent_latents() -> Sequence[bytes]:
    values = np.random.default_rng(0).normal(size=40).astype(np.float32).tobytes()
    return [bytes([n, 2, 5, 4, 0]) + values for n in range(len(_latents()))]


def _plan(data: bytes) -> None:
    height, width = (size % 33 for size in data[:2].ljust(2, b"\1"))
    plan = plans.decode(data[2:], height, width)
    assert plan.shape == (height, width) and plan.dtype == torch.uint8
    assert plan.min() >= 1 and plan.max() <= plans.HIGHEST
    assert torch.equal(plans.decode(plans.encode(plan), height, width), plan)


def _plans() -> Sequence[bytes]:
    rng = np.random.default_rng(0)
    rough = [rng.integers(1, 16, size) for size in ((12, 16), (1, 30), (32, 32))]
    smooth = [np.clip(np.add.outer(np.arange(20) // 3, np.arange(30) // 5) + 1, 1, 15), np.full((3, 4), 15)]
    made = (torch.from_numpy(plan.astype(np.uint8)) for plan in rough + smooth)
    return [bytes(plan.shape) + plans.encode(plan) for plan in made]


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
DEFLATED = [bytes.fromhex(word) for word in ("010500faff", "010000ffff", "4b4c0400", "edc1010d000000c2a0f7", "0300")]
MARKERS = [bytes([0xFF, b]) for b in (0x4F, 0x51, 0x52, 0x5C, 0x64, 0x90, 0x93, 0xD9, 0xD8, 0xC0, 0xC2, 0xC4, 0xDA)]

STREAMS = [
    Target("codestream", _codestreams, _mend, MARKERS),
    source("jpeg2000", JPEG2000()),
    source("jpeg", JPEG()),
    source("webp", WebP()),
    source("avif", AVIF(speed=9)),
    source("heif", HEIF()),
    source("jpegxl", JPEGXL(3)),
    source("bilevel", Bilevel()),
    text("text", ASCIIText()),
    text("compressed-text", CompressedText()),
    Target("latent", _sent_latents, _latent, FLOATS),
    Target("plan", _plans, _plan),
    Target("channel-decoder", _llrs, _channel_decoder, FLOATS),
    Target("demapper", _symbols, _demapper, FLOATS),
]
