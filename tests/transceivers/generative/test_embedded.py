"""The generative transceivers on the models that come with semcomm: the paper's effect, in small."""

import hashlib
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from semcomm import BitFlips16QAM, ImageSet, Seed
from semcomm.errors import ModelError
from semcomm.images import to_bytes
from semcomm.models.generator import Generator, load_generator
from semcomm.models.generator.captions import caption, class_in
from semcomm.models.generator.files import AUTOENCODER, DENOISER, read_autoencoder, read_denoiser
from semcomm.training.losses import luma_ssim
from semcomm.training.tasks.generator_checks import LEFT, worth
from semcomm.transceivers.generative import Embedded, TextAndLatent, TextToImage, resized

GUIDANCE = 2.0


@pytest.fixture(scope="module")
def photographs() -> torch.Tensor:
    """Four built-in photographs at 128x128."""
    return torch.cat([resized(image[None], (128, 128)) for _, image in ImageSet("builtin", limit=4)])


@pytest.fixture
def seeds() -> list[Seed]:
    return [Seed(f"test/{number}") for number in range(4)]


def test_the_files_are_small_and_their_cards_right():
    assert AUTOENCODER.stat().st_size + DENOISER.stat().st_size <= 8_000_000
    for path, loaded in ((AUTOENCODER, read_autoencoder()), (DENOISER, read_denoiser())):
        card = path.with_suffix(".md").read_text()
        assert loaded.hash == hashlib.sha256(path.read_bytes()).hexdigest()
        assert loaded.hash in card
        assert "CC BY" in card
        steps, of = re.search(r"Training: (\d+) of (\d+) steps", card).groups()
        assert ("not finished" in card) == (steps != of)


def test_the_cards_figures_are_found_again_and_say_what_the_paper_says():
    figures = worth(load_generator())
    assert figures == pytest.approx(load_generator().cards[1]["checks"], abs=0.01)
    names = ["the damaged latent", *(f"the damaged latent after {left} of 50 steps" for left in LEFT)]
    for score in ("PSNR", "SSIM"):
        after = [figures[f"{score} of {name}"] for name in names]
        best = after.index(max(after))
        assert 0 < best < len(after) - 1  # denoising removes what the channel did
        assert after[best:] == sorted(after[best:], reverse=True)  # and then what was sent
    for score in ("PSNR", "SSIM", "cosine"):
        assert figures[f"{score} of the damaged latent"] < figures[f"{score} of the latent"]
        # by its meaning, a clean image of the caption can be nearer than a latent full of errors
        if score != "cosine":
            assert figures[f"{score} of text only"] < figures[f"{score} of the damaged latent"]


def test_every_class_is_understood():
    words = load_generator().words
    assert len(set(words)) == len(words) == 100
    for number, word in enumerate(words, 1):
        assert class_in(caption(word), words) == number


def test_a_latent_beats_text_alone_and_more_so_with_less_noise(photographs, seeds):
    text = TextToImage(Embedded("cpu"), constellation=None, steps=20, guidance=GUIDANCE)
    both = TextAndLatent(Embedded("cpu"), constellation=None, steps=20, strength=0.3, guidance=GUIDANCE)
    gains = []
    for eb_n0_db in (5.0, 10.0):
        channel = BitFlips16QAM(eb_n0_db=eb_n0_db)
        first, second = (link.transmit(photographs, channel, seeds) for link in (text, both))
        gains.append(scored(second.images, photographs) - scored(first.images, photographs))
        assert set(second.info["generated_by"]) == {"embedded"}
        assert second.info["working_size"] == ["128x128"] * 4
    low, high = gains
    assert (high > 0).all()
    assert (high > low).all()


def scored(images, originals) -> torch.Tensor:
    """Mean SSIM and mean cosine of the embedded encoder."""
    encoder = load_generator().encoder
    cosine = (encoder.embed(images) * encoder.embed(originals)).sum(1).mean()
    return torch.stack([luma_ssim(images, originals).mean(), cosine])


def test_latents_are_standard_and_images_come_back(photographs):
    model = Embedded("cpu")
    assert model.working_size(427, 640) == (128, 128)
    assert model.latent_shape((128, 128)) == (4, 16, 16)
    latents = model.encode(photographs)
    assert latents.shape == (4, 4, 16, 16)
    assert 0.7 < latents.std() < 1.4
    assert latents.mean().abs() < 0.4
    made = model.decode(latents)
    assert (made - photographs).square().mean() < 0.012  # 19 dB
    assert made.min() >= 0
    assert made.max() <= 1


def test_same_seeds_same_bits_and_another_batch_the_same_image(photographs):
    model = Embedded("cpu")
    prompts = [*model.caption(photographs[:2]), "", "\x00\x1b" * 5000]

    def generated(rows):
        rng = [torch.Generator().manual_seed(row) for row in rows]
        latents = model.encode(photographs)[rows]
        return model.generate([prompts[r] for r in rows], (128, 128), latents, 10, 0.5, GUIDANCE, rng)

    whole = generated([0, 1, 2, 3])
    assert torch.equal(whole, generated([0, 1, 2, 3]))
    alone = generated([2])
    apart = abs(to_bytes(alone[0]).astype(int) - to_bytes(whole[2]).astype(int))
    assert apart.max() <= 1


def test_the_class_changes_the_image_and_its_absence_is_no_error():
    model = Embedded("cpu")

    def made(prompt):
        rng = [torch.Generator().manual_seed(7)]
        return model.generate([prompt], (128, 128), None, 10, 1.0, GUIDANCE, rng)

    sunflower, motorbike, nothing = made("a photograph of a sunflower"), made("a motorbike"), made("")
    assert torch.equal(nothing, made("something else"))
    assert (sunflower - motorbike).abs().mean() > 0.05
    assert (sunflower - nothing).abs().mean() > 0.02


@pytest.mark.parametrize("change", ["missing", "cut", "other"])
def test_a_file_that_cannot_be_used(tmp_path, change):
    path = tmp_path / "generator_denoiser.safetensors"
    if change == "cut":
        path.write_bytes(DENOISER.read_bytes()[:-100])
    elif change == "other":
        save_file(load_file(AUTOENCODER), path)
    with pytest.raises(ModelError, match="install it again" if change == "missing" else "damaged"):
        read_denoiser(path)


def test_the_weights_hash_is_of_what_is_read():
    generator = load_generator()
    assert isinstance(generator, Generator)
    assert generator is load_generator()
    assert Embedded("cpu").recipe()["weights"] == Embedded("auto").weights()
