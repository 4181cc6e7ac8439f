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
    assert draw(Seed("0/abc/0"))[:2].tolist() == torch.randn(8, generator=_expected())[:2].tolist()


def _expected():
    import hashlib

    digest = hashlib.sha256(b"0/abc/0/noise").digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))
