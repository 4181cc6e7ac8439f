"""What holds for every source codec: the budget, the floor, the memo, the colours, and damage of any kind."""

import contextlib
import math
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from semcomm import memo
from semcomm.codecs.source import AVIF, HEIF, JPEG, JPEG2000, WebP
from semcomm.codecs.source import JPEGXL as JXL
from semcomm.codecs.source.budget import largest_within
from semcomm.codecs.source.still import quantisation_tables
from semcomm.errors import ConfigurationError, DecodeError, ImageError, RateError
from semcomm.guard.decoders import jpegxl_size
from semcomm.images import MAX_PIXELS, ImageSet, quantise, to_bytes

CODECS = [
    JPEG2000(),
    JPEG2000(layers=1),
    JPEG(),
    JPEG("4:4:4", progressive=False),
    WebP(),
    AVIF(speed=9),
    HEIF(),
    JXL(3),
]
each_codec = pytest.mark.parametrize("codec", CODECS, ids=repr)
quick = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def psnr(image, other):
    return -10 * float(torch.log10(((image - other) ** 2).mean() + 1e-12))


@pytest.fixture(autouse=True)
def fresh_memo():
    with memo.using(memo.Memo()):
        yield


@pytest.fixture(scope="module")
def photograph():
    return next(image for name, image in ImageSet("builtin", size=128, crop=112) if name == "coffee")


def waves(height, width, seed=0):
    """A smooth image with some noise, of any size."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.linspace(0, 6, height)[None, :, None]
    x = torch.linspace(0, 9, width)[None, None, :]
    phase = torch.rand(3, 1, 1, generator=generator) * 6
    noise = torch.randn(3, height, width, generator=generator)
    return quantise(0.5 + 0.35 * torch.sin(x + y + phase) + 0.05 * noise)


@each_codec
@quick
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 9000), st.integers(0, 5))
def test_never_exceeds_the_budget(codec, height, width, max_bytes, seed):
    image = waves(height, width, seed)
    try:
        stream = codec.encode(image, max_bytes)
    except RateError:
        return
    assert len(stream) <= max_bytes
    assert codec.decode(stream).shape == image.shape


@each_codec
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (33, 31), (1, 90)])
def test_any_size_and_content(codec, size):
    grey = waves(*size)[:1].expand(3, -1, -1)
    flat = torch.tensor([51, 128, 230]).div(255)[:, None, None].expand(3, *size)
    for image in (grey, flat):
        decoded = codec.decode(codec.encode(image, 20_000))
        assert decoded.shape == image.shape and decoded.dtype == torch.float32
        assert torch.equal(decoded, quantise(decoded))
        assert psnr(image, decoded) > 38


@each_codec
def test_colours_survive_at_a_high_rate(codec):
    y, x = torch.meshgrid(torch.linspace(0, 1, 96), torch.linspace(0, 1, 96), indexing="ij")
    image = quantise(torch.stack([x, y, 1 - (x + y) / 2]))
    assert psnr(image, codec.decode(codec.encode(image, 40_000))) > 40


@each_codec
def test_floor_is_an_error_that_says_what_is_possible(codec, photograph):
    with pytest.raises(RateError, match=r"at least \d+ bytes \(\d\S* bpp\).*budget is 20 bytes") as error:
        codec.encode(photograph, 20)
    floor = int(str(error.value).split("at least ")[1].split()[0])
    assert len(codec.encode(photograph, floor)) <= floor
    for budget in (0, -5):
        with pytest.raises(RateError):
            codec.encode(photograph, budget)


@pytest.mark.parametrize(
    ("codec", "least"),
    [
        (JPEG2000(), 0.98),
        (JPEG2000(layers=1), 0.97),
        (JXL(3), 0.98),
        (JPEG(), 0.97),
        (HEIF(), 0.93),
        (WebP(), 0.94),
        (AVIF(speed=9), 0.9),
    ],
    ids=repr,
)
def test_fills_the_budget(codec, least):
    image = next(image for name, image in ImageSet("builtin", size=256) if name == "cat")
    for bpp in (0.8, 1.5, 3.0):
        max_bytes = int(bpp * image[0].numel() / 8)
        assert least * max_bytes <= len(codec.encode(image, max_bytes)) <= max_bytes


@each_codec
def test_more_bytes_are_better(codec, photograph):
    quality = [psnr(photograph, codec.decode(codec.encode(photograph, n))) for n in (1500, 3000, 6000, 12000)]
    assert quality == sorted(quality)


@each_codec
def test_an_image_is_coded_once_for_each_budget(codec, photograph, monkeypatch):
    calls = []
    encode = type(codec)._encode
    monkeypatch.setattr(type(codec), "_encode", lambda *arguments: calls.append(1) or encode(*arguments))
    first = codec.encode(photograph, 2000)
    assert codec.encode(photograph.clone(), 2000) == first
    assert len(calls) == 1
    codec.encode(photograph, 3000)
    codec.encode(1 - photograph, 2000)
    assert len(calls) == 3
    memo.current().clear()
    assert codec.encode(photograph, 2000) == first  # the same stream on every run


@each_codec
@settings(quick, max_examples=40)
@given(data=st.data())
def test_damage_gives_an_image_or_a_decode_error(codec, data):
    image = waves(40, 52)
    stream = bytearray(codec.encode(image, 1600))
    kind = data.draw(st.sampled_from(["flips", "cut", "rubbish", "header"]))
    if kind == "flips":
        for bit in data.draw(st.lists(st.integers(0, 8 * len(stream) - 1), min_size=1, max_size=12)):
            stream[bit // 8] ^= 1 << bit % 8
    elif kind == "cut":
        del stream[data.draw(st.integers(0, len(stream))) :]
    elif kind == "header":
        at = data.draw(st.integers(0, min(300, len(stream)) - 1))
        stream[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
    else:
        stream[data.draw(st.integers(0, 200)) :] = data.draw(st.binary(max_size=200))
    try:
        decoded = codec.decode(bytes(stream))
    except DecodeError:
        return
    assert decoded.ndim == 3 and decoded.shape[0] == 3 and decoded.min() >= 0 and decoded.max() <= 1


@each_codec
@settings(quick, max_examples=25)
@given(st.binary(max_size=400))
def test_rubbish_is_a_decode_error(codec, payload):
    with pytest.raises(DecodeError):
        codec.decode(payload)


@each_codec
def test_decoding_again_after_damage_is_unharmed(codec, photograph):
    stream = codec.encode(photograph, 3000)
    whole = codec.decode(stream)
    for length in range(0, len(stream), 211):
        with contextlib.suppress(DecodeError):
            codec.decode(stream[:length])
    assert torch.equal(codec.decode(stream), whole)


@each_codec
def test_wrong_shapes_are_refused(codec):
    for shape in ((1, 3, 8, 8), (1, 8, 8), (3, 0, 8), (3, 1, 300_000)):
        with pytest.raises(ImageError):
            codec.encode(torch.zeros(shape), 1000)


def test_arguments_are_checked():
    for wrong in (
        lambda: JPEG("4:2:2"),
        lambda: HEIF(chroma="400"),
        lambda: AVIF(chroma="x"),
        lambda: AVIF(speed=11),
        lambda: JXL(effort=0),
        lambda: JPEG2000(layers=0),
    ):
        with pytest.raises(ConfigurationError):
            wrong()


def test_every_argument_does_something(photograph):
    for one, other in (
        (JPEG(), JPEG("4:4:4")),
        (JPEG(), JPEG(progressive=False)),
        (HEIF(), HEIF("4:2:0")),
        (AVIF(speed=9), AVIF("4:2:0", speed=9)),
        (AVIF(speed=9), AVIF(speed=8)),
        (JXL(3), JXL(5)),
        (JPEG2000(), JPEG2000(layers=1)),
    ):
        assert one.encode(photograph, 5000) != other.encode(photograph, 5000)


@pytest.mark.parametrize("progressive", [True, False])
def test_jpeg_prefix_decodes(photograph, progressive):
    codec = JPEG(progressive=progressive)
    stream = codec.encode(photograph, 5000)
    quality = []
    for part in (0.3, 0.6, 0.9, 1):
        quality.append(psnr(photograph, codec.decode(stream[: int(part * len(stream))])))
    assert all(after > before - 0.5 for before, after in pairwise(quality))
    assert not progressive or quality[1] > 18


def test_jpeg_prefixes_decode_after_the_first_scan_wherever_they_are_cut(photograph):
    codec = JPEG()
    stream = codec.encode(photograph, 5000)
    first = stream.index(b"\xff\xda") + 20
    for length in range(first, len(stream), 5):
        codec.decode(stream[:length])


@pytest.mark.parametrize("quality", [3, 20, 50, 75, 92])
def test_jpeg_tables_are_those_of_libjpeg(quality, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "it.jpg", quality=quality)
    with Image.open(tmp_path / "it.jpg") as file:
        theirs = file.quantization
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    for ours, table in zip(quantisation_tables(math.floor(percent)), theirs.values(), strict=True):
        assert list(ours) == list(table)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 12), (40, 50), (256, 256), (300, 200), (511, 3), (1200, 900)])
def test_jpegxl_size_is_read_from_the_header(size):
    stream = JXL(1).encode(torch.full((3, *size), 0.5), 100_000)
    assert jpegxl_size(stream) == (size[1], size[0])


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_headers_that_claim_too_much_are_refused(photograph):
    side = 2 * math.isqrt(MAX_PIXELS)
    jpeg = bytearray(JPEG(progressive=False).encode(photograph, 5000))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = side.to_bytes(2, "big") * 2
    jpeg2000 = bytearray(JPEG2000().encode(photograph, 5000))
    for at in (8, 24):
        jpeg2000[at : at + 8] = side.to_bytes(4, "big") * 2
    jpegxl = b"\xff\x0a" + ((side - 1) << 3 | 2 << 1 | 1 << 21).to_bytes(8, "little") + bytes(8)
    for codec, stream in ((JPEG(), jpeg), (JPEG2000(), jpeg2000), (JXL(), jpegxl)):
        with pytest.raises(DecodeError, match=r"claims|exceeds"):
            codec.decode(bytes(stream))


@settings(quick, max_examples=200)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.integers(0, 1100))
def test_search_stays_within_the_budget_whatever_the_sizes(sizes, max_bytes):
    stream, smallest = largest_within(lambda level: bytes(sizes[level]), len(sizes), max_bytes)
    if stream is None:
        assert smallest > max_bytes and sizes[0] > max_bytes
    else:
        assert len(stream) <= max_bytes


@settings(quick, max_examples=200)
@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=300, unique=True), st.integers(0, 10**6))
def test_search_finds_the_best_of_growing_sizes(sizes, max_bytes):
    sizes = sorted(sizes)
    calls = []
    stream, _ = largest_within(lambda level: calls.append(level) or bytes(sizes[level]), len(sizes), max_bytes)
    fitting = [size for size in sizes if size <= max_bytes]
    assert (stream is None) == (not fitting)
    if fitting:
        assert len(stream) == fitting[-1] or len(stream) >= 0.99 * max_bytes
    assert len(calls) == len(set(calls))


@pytest.mark.parametrize("codec", [JPEG2000, HEIF, AVIF])
def test_a_shared_header_saves_its_bytes_and_nothing_else(codec, photograph):
    """The receiver makes the header from size and settings: the same image, from fewer bytes."""
    image = photograph[:, :110, :112]
    own, shared = codec(), codec(header="shared")
    sent = shared.encode(image, 3000)
    assert len(sent) <= 3000
    # the same stream with its header: 110 to 116 bytes and an end marker of JPEG 2000, some 370 of HEIF, 270 of AVIF
    whole = own.encode(image, len(sent) + 117) if codec is JPEG2000 else own._encode_at(to_bytes(image), sent[0])
    assert 110 < len(whole) - len(sent) < 400
    assert torch.equal(shared.decode_sized(sent, *image.shape[1:]), own.decode(whole))
    assert torch.equal(own.decode_sized(whole, *image.shape[1:]), own.decode(whole))
    with pytest.raises(ConfigurationError, match="decode_sized"):
        shared.decode(sent)
    for damaged in (b"", bytes([255]) + sent[1:]):
        with pytest.raises(DecodeError):
            shared.decode_sized(damaged, *image.shape[1:])
    with pytest.raises(ConfigurationError, match="choose from own, shared"):
        codec(header="none")


def test_jpeg2000_with_a_shared_header_goes_lower_and_can_be_cut(photograph):
    codec = JPEG2000(header="shared")
    assert len(codec.encode(photograph, 40)) <= 40
    stream = codec.encode(photograph, 6000)
    errors = [
        ((codec.decode_sized(stream[:end], *photograph.shape[1:]) - photograph) ** 2).mean()
        for end in (500, 2000, 6000)
    ]
    assert errors == sorted(errors, reverse=True)
    with pytest.raises(RateError, match="needs at least"):
        codec.encode(photograph, 10)
