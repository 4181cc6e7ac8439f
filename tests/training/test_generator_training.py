"""The embedded generator's two trainings on a small set, and the generator that their files make."""

import json

import pytest
import torch
from safetensors.torch import load_file, save

from semcomm.errors import ConfigurationError, ModelError
from semcomm.models.encoders import EfficientNetLite0
from semcomm.models.files import read_weights
from semcomm.models.generator import Generator
from semcomm.models.generator.files import read_autoencoder, read_denoiser
from semcomm.training import Settings, train
from semcomm.training.losses import feature_loss, luma_ssim
from semcomm.training.recaption import recaption
from semcomm.training.tasks.autoencoding import Autoencoding
from semcomm.training.tasks.denoising import LatentDenoising, class_means
from semcomm.training.tasks.generator_checks import worth

SETTINGS = {"batch": 8, "learning_rate": 2e-3, "warmup_steps": 4, "ema": 0.9, "precision": "fp32", "device": "cpu"}
NETWORK = {"width": 16, "inner": 16, "inner_depth": 2, "condition": 16}


def settings(**changes) -> Settings:
    return Settings(**{**SETTINGS, "threads": 1, "weight_decay": 0.0, **changes})


class StoppedError(Exception):
    pass


class StoppedAutoencoding(Autoencoding):
    at = 7

    def losses(self, module, batch, generator):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls > self.at:
            raise StoppedError
        return super().losses(module, batch, generator)


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory):
    """Both files, of trainings on the coloured shapes."""
    folder = tmp_path_factory.mktemp("generator")
    common = {"class_folder": str(shapes), "val_fraction": 0.25}
    first = train(
        Autoencoding(**common, width=16, depth=1, crop=32), settings(steps=24, validate_steps=12), folder / "first"
    )
    task = LatentDenoising(**common, autoencoder=str(first), words={"disc": "red disc"}, **NETWORK)
    second = train(task, settings(steps=24, validate_steps=12, batch=16), folder / "second")
    return first, second


def scores(path) -> list[dict]:
    return [json.loads(line) for line in (path.parent / "scores.jsonl").read_text().splitlines()]


def test_the_autoencoder_learns_and_its_latents_are_standard(trained):
    early, late = scores(trained[0])
    assert late["psnr"] > early["psnr"]
    assert late["cosine"] > 0.3
    loaded = read_autoencoder(trained[0])
    assert loaded.card["network"] == {"width": 16, "depth": 1}
    assert loaded.card["encoder"] == EfficientNetLite0().weights()
    latents = loaded.network.encode(torch.rand(2, 3, 64, 48))
    assert latents.shape == (2, 4, 8, 6)
    assert loaded.network.decode(latents).shape == (2, 3, 64, 48)
    assert 0.8 < late["latent_deviation"] < 1.2


def test_the_denoiser_learns_and_the_class_helps_to_name_a_image(trained):
    early, late = scores(trained[1])
    assert late["error"] < early["error"] < 1.2  # 1 is the error of saying nothing
    assert late["caption_accuracy"] > 0.9  # shapes differ in colour
    loaded = read_denoiser(trained[1])
    assert loaded.card["words"] == ["bar", "cross", "red disc", "ring", "triangle"]
    assert loaded.others["class_means"].shape == (5, 1280)
    assert loaded.network.sizes["classes"] == 5


def test_the_generator_of_both_files(trained, shapes):
    generator = Generator(read_autoencoder(trained[0]), read_denoiser(trained[1]))
    figures = worth(generator)
    assert figures == pytest.approx(generator.cards[1]["checks"], abs=1e-3)
    assert {"SSIM of text only", "cosine of the latent"} <= figures.keys()
    with pytest.raises(ModelError, match="another projection"):
        Generator(read_autoencoder(trained[0]), damaged(read_denoiser(trained[1]), "latent_space"))
    with pytest.raises(ModelError, match="another image encoder"):
        Generator(read_autoencoder(trained[0]), damaged(read_denoiser(trained[1]), "encoder"))


def damaged(loaded, key):
    loaded.card[key] = "0" * 64
    return loaded


def test_a_training_goes_on_where_it_was_stopped(shapes, tmp_path):
    arguments = {"class_folder": str(shapes), "val_fraction": 0.25, "width": 8, "depth": 1, "crop": 32}
    lasting = settings(steps=10, validate_steps=10, checkpoint_steps=3, batch=4)
    whole = train(StoppedAutoencoding.__base__(**arguments), lasting, tmp_path / "whole")
    task = StoppedAutoencoding(**arguments)
    with pytest.raises(StoppedError):
        train(task, lasting, tmp_path / "stopped")
    task.at = 100
    again = train(task, lasting, tmp_path / "stopped")
    for name, tensor in load_file(whole).items():
        assert torch.equal(tensor, load_file(again)[name]), name


def test_start_from_shipped_files(trained, shapes, tmp_path):
    common = {"class_folder": str(shapes), "val_fraction": 0.25}
    one = {"steps": 1, "validate_steps": 1, "learning_rate": 1e-9, "batch": 4}
    task = Autoencoding(**common, width=16, depth=1, crop=32)
    again = train(task, settings(**one, start_from=str(trained[0])), tmp_path / "a")
    assert scores(again)[-1]["psnr"] == pytest.approx(scores(trained[0])[-1]["psnr"], abs=0.5)
    task = LatentDenoising(**common, autoencoder=str(trained[0]), **NETWORK)
    again = train(task, settings(**one, start_from=str(trained[1])), tmp_path / "b")
    assert scores(again)[-1]["error"] == pytest.approx(scores(trained[1])[-1]["error"], abs=0.01)
    for task in (Autoencoding(**common, width=8), LatentDenoising(**common, autoencoder=str(trained[0]), width=8)):
        with pytest.raises(ModelError, match="another network"):
            train(task, settings(**one, start_from=str(trained[0])), tmp_path / "c")


def test_the_ssim_of_the_luma_is_that_of_flat_windows():
    from skimage.metrics import structural_similarity

    a = torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(0))
    b = (a + 0.2 * torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    grey = [(x[0] * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0).numpy() for x in (a, b)]
    theirs = structural_similarity(*grey, win_size=7, data_range=1.0, use_sample_covariance=False)
    assert luma_ssim(a, b).mean().item() == pytest.approx(theirs, abs=1e-4)
    assert luma_ssim(a, a).mean().item() == pytest.approx(1)


def test_features_of_a_image_are_at_no_distance_from_themselves():
    a = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert feature_loss(a, a, layers=2).mean().item() == pytest.approx(0, abs=1e-6)
    assert feature_loss(a, a.flip(0), layers=2).mean().item() > 0.01


def test_the_mean_of_a_class_is_a_unit_vector():
    embeddings = torch.eye(4)[[0, 1, 2, 3]]
    means = class_means(embeddings, torch.tensor([0, 0, 1, 1]), 3)
    assert torch.allclose(means[0], torch.tensor([1, 1, 0, 0]) / 2**0.5)
    assert torch.equal(means[2], torch.zeros(4))  # of no image


def test_captions_by_another_encoder(trained, shapes, tmp_path):
    path = tmp_path / "denoiser.safetensors"
    weights = read_weights(trained[1], "denoiser")
    before = weights.tensors["class_means"]
    other = {**weights.tensors, "class_means": torch.zeros(5, 3, dtype=torch.float16)}
    path.write_bytes(save(other, {"card": json.dumps({**weights.card, "encoder": "another"})}))
    path.with_suffix(".md").write_bytes(trained[1].with_suffix(".md").read_bytes())
    assert recaption(str(shapes), path, trained[0]) > 0.9
    found = read_denoiser(path)
    assert torch.allclose(found.others["class_means"], before.float(), atol=0.02)
    assert found.card["encoder"] == EfficientNetLite0().weights()
    assert all(torch.equal(v, weights.tensors[k].float()) for k, v in found.network.state_dict().items())
    card = path.with_suffix(".md").read_text()
    assert found.hash in card
    assert f"| SSIM of the latent | {found.card['checks']['SSIM of the latent']} |" in card
    with pytest.raises(ConfigurationError, match="5 classes, not"):
        recaption(str(shapes))
