"""The embedded generator: classes in damaged texts, the algebra of the denoiser, DDIM, and the shipped files."""

from math import pi

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semcomm.models.generator import CHANNELS
from semcomm.models.generator.captions import caption, class_in, distance_within
from semcomm.models.generator.denoiser import DenoiserNetwork, mixed, velocity
from semcomm.models.generator.sampling import angle, sample

WORDS = ("ant", "elephant", "dolphin", "cup", "cougar", "cougar face", "water lily", "crab")


def edit_distance(a: str, b: str) -> int:
    """Levenshtein's, by its definition."""
    if not a or not b:
        return len(a) + len(b)
    return min(edit_distance(a[1:], b) + 1, edit_distance(a, b[1:]) + 1, edit_distance(a[1:], b[1:]) + (a[0] != b[0]))


@given(st.text("abc", max_size=4), st.text("abc", max_size=5))
def test_distance_is_the_least_of_any_part(word, text):
    parts = {text[i:j] for i in range(len(text) + 1) for j in range(i, len(text) + 1)}
    assert distance_within(word, text) == min(edit_distance(word, part) for part in parts)


def test_every_caption_says_its_class():
    for number, word in enumerate(WORDS, 1):
        assert class_in(caption(word), WORDS) == number
    assert caption("elephant") == "a photograph of an elephant"
    assert caption("cup") == "a photograph of a cup"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a phot\x01graph of a d\x00lphin", "dolphin"),
        ("an elepha~t in a zoo", "elephant"),
        ("TWO DOLPHINS", "dolphin"),
        ("a water_lily", "water lily"),
        ("the cougar", "cougar"),
        ("a giant tree", None),  # no ant
        ("an old house", None),
        ("", None),
        ("\x00\x07\x1b" * 50, None),
        ("x" * 10_000, None),
        ("dolphin" + "." * 10_000, "dolphin"),
    ],
)
def test_the_class_in_a_text(text, word):
    assert class_in(text, WORDS) == (0 if word is None else WORDS.index(word) + 1)


def test_velocity_and_noisy_latent_give_latent_and_noise_back():
    random = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(6, 4, 3, 3, generator=random) for _ in range(2))
    angles = torch.linspace(0, pi / 2, 6)
    noisy, v = mixed(latents, noise, angles), velocity(latents, noise, angles)
    assert torch.allclose(mixed(noisy, -v, angles), latents, atol=1e-6)
    assert torch.allclose(mixed(v, noisy, angles), noise, atol=1e-6)
    assert torch.equal(noisy[0], latents[0])
    assert torch.allclose(noisy[-1], noise[-1], atol=1e-6)


def gaussian_velocity(mean: float, deviation: float):
    """The best denoiser of latents from N(mean, deviation^2); guidance pushes the mean by the class."""

    def predict(x, angles, classes):
        c, s = (f(angles)[:, None, None, None] for f in (torch.cos, torch.sin))
        m = mean + 0.1 * classes[:, None, None, None]
        clean = m + deviation**2 * c / (deviation**2 * c**2 + s**2) * (x - c * m)
        noise = (x - c * clean) / s
        return noise * c - clean * s

    return predict


def test_ddim_of_a_gaussian_is_a_gaussian():
    """Noise to latents of N(1, 0.5^2): the flow that DDIM follows takes quantiles to quantiles."""
    noise = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    classes = torch.zeros(1, dtype=torch.long)
    made = sample(gaussian_velocity(1.0, 0.5), classes, noise, None, 200, 200, 1.0)
    assert torch.allclose(made, 1 + 0.5 * noise, atol=0.05)


def test_few_steps_from_a_latent_stay_near_and_all_steps_forget_it():
    random = torch.Generator().manual_seed(0)
    noise, latents = (torch.randn(1, 4, 32, 32, generator=random) for _ in range(2))
    classes = torch.zeros(1, dtype=torch.long)
    far = []
    for left in (1, 25, 40, 50):
        made = sample(gaussian_velocity(0.0, 1.0), classes, noise, latents, 50, left, 1.0)
        far.append((made - latents).square().mean().item())
    assert far == sorted(far)
    assert far[0] < 0.01
    assert far[-1] == pytest.approx(2, abs=0.2)  # of two independent draws
    assert angle(0) == 0
    assert angle(1) == pi / 2


def test_guidance_scales_the_difference_that_the_class_makes():
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([3, 0])
    once, thrice = (
        sample(gaussian_velocity(0.0, 0.5), classes, noise, None, 20, 20, guidance) for guidance in (1.0, 3.0)
    )
    assert torch.allclose(once[1], thrice[1], atol=1e-5)  # nothing to be guided by
    assert (thrice - once)[0].mean().item() == pytest.approx(0.6, abs=0.1)  # 2 more of 0.3


def test_the_untrained_denoiser_says_nothing_and_takes_any_even_size():
    network = DenoiserNetwork(5, 16, 16, 1, 2, 16)
    noisy = torch.randn(3, CHANNELS, 6, 10)
    out = network(noisy, torch.tensor([0.0, 0.5, pi / 2]), torch.tensor([0, 1, 5]))
    assert out.shape == noisy.shape
    assert out.std() < 0.1
