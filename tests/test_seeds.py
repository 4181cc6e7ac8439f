import pytest
import torch

from semcomm.seeds import Seed, seeds_of


def draw(seed, purpose="noise"):
    return torch.randn(8, generator=seed.generator(purpose))


def test_a_seed_is_its_experiment_image_and_realisation(noise_images):
    first = seeds_of(noise_images, seed=1, realisation=2)
    assert torch.equal(draw(first[0]), draw(seeds_of(noise_images[:1], 1, 2)[0]))  # not of its batch
    others = [first[1], *seeds_of(noise_images[:1], 2, 2), *seeds_of(noise_images[:1], 1, 3)]
    for other in others:
        assert not torch.equal(draw(first[0]), draw(other))


def test_purposes_are_independent():
    noise, fading = (torch.randn(100_000, generator=Seed("x").generator(p)) for p in ("noise", "fading"))
    assert abs((noise * fading).mean()) < 4 / 100_000**0.5


def test_numbers_are_these_and_stay_these():
    """`printf 0/abc/0/noise | sha256sum` begins with bcdf19ee."""
    assert Seed("0/abc/0").generator("noise").initial_seed() == int.from_bytes(bytes.fromhex("bcdf19ee"), "little")
    assert draw(Seed("0/abc/0"))[:2].tolist() == pytest.approx([0.2403999, -1.2277092], abs=1e-6)
    image = torch.arange(60.0).reshape(1, 3, 4, 5) / 255
    key = "1/d87fbd2ea2a8f5c0bfcf02027b91069be34bfbc33f6c0067cb643c175bc324eb/2"
    assert seeds_of(image, 1, 2) == [Seed(key)]
