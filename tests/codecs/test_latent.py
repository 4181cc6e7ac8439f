import struct

import numpy as np
import pytest
import torch

from semcomm import ConfigurationError, FloatLatent, QuantisedLatent

SHAPE = (4, 64, 64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def latent():
    return torch.randn(SHAPE, generator=generator())


def bits_of(*values, pack=">d"):
    return torch.from_numpy(np.unpackbits(np.frombuffer(b"".join(struct.pack(pack, v) for v in values), np.uint8)))


def test_the_papers_latent_takes_131072_bytes(latent):
    bits, side = FloatLatent().encode(latent)
    assert bits.numel() == 8 * 131_072 == FloatLatent().bits(SHAPE)
    assert bits.dtype == torch.uint8
    assert side is None


@pytest.mark.parametrize(("format", "pack"), {"float64": ">d", "float32": ">f", "float16": ">e"}.items())
def test_bits_are_those_of_ieee_754(latent, format, pack):
    values = latent.flatten()[:50].tolist()
    bits, _ = FloatLatent(format).encode(torch.tensor(values))
    assert torch.equal(bits, bits_of(*values, pack=pack))


def test_bfloat16_is_the_upper_half_of_float32():
    values = torch.tensor([1.0, -2.5, 0.15625])  # exact in bfloat16
    bits, _ = FloatLatent("bfloat16").encode(values)
    assert torch.equal(bits.reshape(3, 16), bits_of(*values.tolist(), pack=">f").reshape(3, 32)[:, :16])


@pytest.mark.parametrize(
    ("format", "error"), {"float64": 0, "float32": 0, "float16": 2**-11, "bfloat16": 2**-8}.items()
)
def test_values_come_back_as_exactly_as_the_format_has_them(latent, format, error):
    codec = FloatLatent(format, "clip")
    found = codec.decode(codec.encode(latent)[0], SHAPE, None, generator())
    assert ((found.latent - latent).abs() <= error * latent.abs() + 1e-7 * bool(error)).all()
    assert found.repaired == 0


def test_the_authors_repair():
    values = (0.5, float("nan"), float("inf"), -11.0, 0.009, -10.0, 0.01, 1e300, 0.0)
    bits = bits_of(*values)
    found, repaired = FloatLatent().decode(bits, (9,), None, generator(3))
    drawn = torch.randn(6, generator=generator(3)).tolist()
    expected = [0.5, *drawn[:4], -10, 0.01, *drawn[4:]]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)
    assert repaired == 6


def test_clipping():
    bits = bits_of(0.5, float("nan"), float("-inf"), -11.0, 0.009, 1e300)
    found, repaired = FloatLatent(repair="clip", limit=4).decode(bits, (6,), None, generator())
    assert found.tolist() == pytest.approx([0.5, 0, -4, -4, 0.009, 4])
    assert repaired == 4


@pytest.mark.parametrize("format", ["float64", "float32", "float16", "bfloat16"])
def test_a_latent_that_is_all_nan_is_all_noise(format):
    codec = FloatLatent(format)
    bits, _ = codec.encode(torch.full(SHAPE, float("nan")))
    found, repaired = codec.decode(bits, SHAPE, None, generator())
    assert repaired == 16_384
    assert found.std().item() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("format", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("repair", ["replace", "clip"])
def test_random_bits_make_a_bounded_latent(format, repair):
    codec = FloatLatent(format, repair)
    bits = torch.randint(0, 2, (codec.bits(SHAPE),), generator=generator(), dtype=torch.uint8)
    found, repaired = codec.decode(bits, SHAPE, None, generator())
    assert found.shape == SHAPE and found.dtype == torch.float32
    assert found.abs().max() <= 10
    assert repaired > 1000


@pytest.mark.parametrize("bits", range(4, 9))
def test_quantisation_errs_by_half_a_level(latent, bits):
    codec = QuantisedLatent(bits)
    sent, side = codec.encode(latent)
    assert len(sent) == bits * 16_384 == codec.bits(SHAPE)
    found = codec.decode(sent, SHAPE, side, generator()).latent
    step = (latent.max() - latent.min()) / (2**bits - 1)
    assert (found - latent).abs().max() <= step / 2 * 1.001
    assert found.amin() == latent.amin() and found.amax().item() == pytest.approx(latent.amax().item(), rel=1e-6)


def test_levels_are_natural_binary():
    sent, side = QuantisedLatent(4).encode(torch.tensor([0.0, 15.0, 6.0]))
    assert sent.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 1, 0]
    assert side == (0, 15)


@pytest.mark.parametrize("latent", [torch.zeros(3), torch.full((3,), float("nan")), torch.zeros(0)])
def test_a_flat_latent_is_no_division_by_nothing(latent):
    codec = QuantisedLatent(8)
    sent, side = codec.encode(latent)
    assert torch.equal(codec.decode(sent, latent.shape, side, generator()).latent, torch.zeros(len(latent)))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: FloatLatent("float8"), "format is 'float8'; choose from"),
        (lambda: FloatLatent(repair="hope"), "repair is 'hope'; choose from"),
        (lambda: FloatLatent(limit=0.001), "smallest < limit"),
        (lambda: QuantisedLatent(9), "4 to 8"),
    ],
)
def test_impossible_codecs(make, reason):
    with pytest.raises(ConfigurationError, match=reason):
        make()
