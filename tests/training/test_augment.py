"""Random changes to images: what each does, and that the generator alone decides."""

import pytest
import torch
from torch.nn import functional as F

from semcomm.training import augment


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.fixture
def images(photograph) -> torch.Tensor:
    """The same image 32 times, [32, 3, 64, 64]."""
    return F.interpolate(photograph[None], (64, 64), mode="area").repeat(32, 1, 1, 1)


CHANGES = {
    "mirror": lambda x, g: augment.mirror(x, g),
    "rotate": lambda x, g: augment.rotate(x, 15, 0.5, g),
    "colour_jitter": lambda x, g: augment.colour_jitter(x, 0.4, g),
    "to_grey": lambda x, g: augment.to_grey(x, 0.5, g),
    "blur": lambda x, g: augment.blur(x, 4, 0.5, g),
    "coding_damage": lambda x, g: augment.coding_damage(x, 0.5, g),
    "noise": lambda x, g: augment.noise(x, 0.1, 0.5, g),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_stay_in_range_and_depend_on_the_generator_alone(name, images):
    change = CHANGES[name]
    original = images.clone()
    first = change(images, torch.Generator().manual_seed(1))
    torch.rand(1)
    assert torch.equal(first, change(images, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, change(images, torch.Generator().manual_seed(2)))
    assert torch.equal(images, original)
    assert first.shape == images.shape
    assert first.min() >= 0
    assert first.max() <= 1
    changed = (first != images).flatten(1).any(1).float().mean()
    assert changed == 1 if name == "colour_jitter" else 0.2 < changed < 0.8


@pytest.mark.parametrize("name", ["rotate", "to_grey", "blur", "coding_damage", "noise"])
def test_a_probability_of_0_changes_nothing(name, images, generator):
    strength = {"rotate": (15,), "blur": (4,), "noise": (0.1,)}.get(name, ())
    assert torch.equal(getattr(augment, name)(images, *strength, 0.0, generator), images)


def test_grey_has_equal_channels_and_keeps_the_luma(images, generator):
    grey = augment.to_grey(images, 1.0, generator)
    assert torch.equal(grey[:, 0], grey[:, 2])
    assert torch.allclose(augment.luminance(grey), augment.luminance(images), atol=1e-5)


def test_coding_damage_keeps_flat_blocks_nearly_and_loses_detail(images, generator):
    flat = torch.full((16, 3, 16, 16), 0.5)
    assert torch.allclose(augment.coding_damage(flat, 1.0, generator), flat, atol=1e-6)
    damaged = augment.coding_damage(images, 1.0, generator)
    psnr = -10 * torch.log10((damaged - images).square().mean(dim=(1, 2, 3)))
    assert psnr.min() > 10
    assert psnr.max() - psnr.min() > 6  # from mild to severe


def test_crops_are_pieces_of_the_image(generator):
    rows = torch.arange(100, dtype=torch.uint8).view(1, 100, 1).expand(3, 100, 60)
    for _ in range(20):
        crop = augment.random_crop(rows, 32, 0.2, generator)
        assert crop.shape == (3, 32, 32)
        values = crop[0, :, 0] * 255
        assert (values.diff() >= 0).all()
        span = (values[-1] - values[0]) * 32 / 31
        assert 100 * 0.2**0.5 * 0.75**0.5 - 3 < span <= 101
