"""The diffusers backend on tiny random models of the real architectures, beside diffusers called directly."""

import pytest
import tiny_diffusion
import torch
from tiny_diffusion import SIDE

from semcomm import AWGN, ConfigurationError, Diffusers, Noiseless, TextAndLatent, TextToImage, seeds_of
from semcomm.errors import ModelError
from semcomm.models.diffusion import quiet_diffusers
from semcomm.seeds import Seed

SIZE = (SIDE, SIDE)
PROMPTS = ["a dog", "", "a cat \x00\x07\xe9" * 40]


def generators(count=3):
    return [Seed(str(n)).generator("test") for n in range(count)]


@pytest.fixture(scope="module")
def images(photograph):
    images = [photograph[:, n : n + SIDE, n : n + SIDE] for n in (0, 40, 80)]
    return torch.stack(images)


@pytest.fixture
def model(tiny):
    return Diffusers(tiny["sd"], tiny["blip"], precision="fp32", device="cpu")


def direct(tiny, cls, **arguments):
    """What diffusers gives without us."""
    import diffusers

    with quiet_diffusers():
        pipeline = getattr(diffusers, cls).from_pretrained(tiny["sd"], safety_checker=None)
        pipeline.scheduler = diffusers.DDIMScheduler.from_config(
            pipeline.scheduler.config, clip_sample=False, set_alpha_to_one=False
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline(output_type="pt", guidance_scale=9.0, eta=0.0, **arguments).images


def test_sizes_come_from_the_folder(model, tiny):
    assert model.working_size(300, 500) == SIZE
    assert model.latent_shape(SIZE) == (4, 8, 8)
    larger = model.replaced(size=96)
    assert larger.working_size(300, 500) == (96, 96)
    assert larger.generate(["a"], (96, 96), None, 2, 1.0, 9.0, generators(1)).shape == (1, 3, 96, 96)


def test_text_alone_is_the_pipelines_image(model, tiny):
    found = model.generate(PROMPTS[:1], SIZE, None, 4, 1.0, 9.0, generators(1))
    expected = direct(
        tiny, "StableDiffusionPipeline", prompt=PROMPTS[:1], num_inference_steps=4, generator=generators(1)
    )
    assert torch.equal(found, expected)


def test_a_latent_is_denoised_as_the_pipeline_does(model, tiny, images):
    latents = model.encode(images[:1])
    found = model.generate(PROMPTS[:1], SIZE, latents, 10, 0.6, 9.0, generators(1))
    expected = direct(
        tiny,
        "StableDiffusionImg2ImgPipeline",
        prompt=PROMPTS[:1],
        image=latents,
        num_inference_steps=10,
        strength=0.6,
        generator=generators(1),
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize(("steps", "strength", "expected"), [(50, 0.58, 29), (50, 0.6, 30), (5, 1.0, 5), (4, 0.25, 1)])
def test_as_many_steps_as_are_said(model, images, monkeypatch, steps, strength, expected):
    from diffusers import UNet2DConditionModel

    taken = []
    forward = UNet2DConditionModel.forward
    monkeypatch.setattr(UNet2DConditionModel, "forward", lambda *a, **k: taken.append(1) or forward(*a, **k))
    link = TextAndLatent(model, steps=steps, strength=strength)
    info = link.transmit(images[:1], Noiseless(), seeds_of(images[:1])).info
    assert info["denoising_steps"] == [expected] == [len(taken)]


def test_latents_are_the_scaled_mean_of_the_first_stage(model, tiny, images):
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(tiny["sd"], subfolder="vae").eval()
    with torch.no_grad():
        expected = vae.encode(2 * images - 1).latent_dist.mean * vae.config.scaling_factor
        shown = vae.decode(expected / vae.config.scaling_factor).sample / 2 + 0.5
    latents = model.encode_once(images)
    assert latents.dtype == torch.float32
    assert torch.allclose(latents, expected, atol=1e-5)
    assert torch.allclose(model.decode(latents), shown.clamp(0, 1), atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_image_a_pass_does_not_see_its_batch(model, images, precision):
    model = model.replaced(precision=precision)
    for latents in (None, model.encode(images)):
        together = model.generate(PROMPTS, SIZE, latents, 3, 0.9, 9.0, generators())
        again = model.generate(PROMPTS, SIZE, latents, 3, 0.9, 9.0, generators())
        assert torch.equal(together, again)
        start = None if latents is None else latents[1:2]
        alone = model.generate(PROMPTS[1:2], SIZE, start, 3, 0.9, 9.0, generators()[1:2])
        assert torch.equal(alone[0], together[1])


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 0.01), ("bf16", 3)])
def test_several_images_a_pass_stay_within_a_bound(model, images, precision, bound):
    model = model.replaced(precision=precision)
    single = model.generate(PROMPTS, SIZE, model.encode(images), 5, 0.6, 9.0, generators())
    batched = model.replaced(batch=3).generate(PROMPTS, SIZE, model.encode(images), 5, 0.6, 9.0, generators())
    assert (single - batched).abs().max() * 255 <= bound
    assert model.replaced(batch=3).recipe() == model.recipe()


def test_captions_fit_the_text_encoder(model, tiny):
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(tiny["sd"], subfolder="tokenizer")
    for text in ("a dog", "", "dog " * 2500):
        cut = model.cut(text)
        assert text.startswith(cut)
        assert len(tokenizer(cut).input_ids) <= 77
    assert model.cut("a dog") == "a dog"
    assert len(tokenizer(model.cut("dog " * 2500)).input_ids) == 77


def test_captions_are_blips(model, tiny, images):
    from semcomm.models.blip import Captioner

    expected = Captioner(tiny["blip"], "fp32", "cpu").captions(images)
    assert [model.cut(text) for text in expected] == model.caption(images)
    assert all(expected)


def test_any_size_is_resized_and_scored_at_the_originals(model, photograph):
    images = photograph[None, :, :50, :90]
    for link in (TextToImage(model, steps=2), TextAndLatent(model, steps=4)):
        reception = link.transmit(images, AWGN(12), seeds_of(images))
        assert reception.images.shape == images.shape
        assert reception.info["size"] == ["90x50"]
        assert reception.info["working_size"] == ["64x64"]
        assert reception.ledger.pixels.tolist() == [4500]


def test_the_safety_checker_is_the_users_choice(tmp_path, tiny, monkeypatch):
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    asked = []

    def objects(self, clip_input, images):
        asked.append(len(images))
        return torch.zeros_like(images), [True] * len(images)

    monkeypatch.setattr(StableDiffusionSafetyChecker, "forward", objects)
    folder = str(tiny_diffusion.stable_diffusion(tmp_path / "safe", safety_checker=True))
    model = Diffusers(folder, tiny["blip"], precision="fp32", device="cpu")
    assert model.generate(["a"], SIZE, None, 2, 1.0, 9.0, generators(1)).max() > 0
    assert not asked
    checked = model.replaced(safety_checker=True)
    assert checked.generate(["a"], SIZE, None, 2, 1.0, 9.0, generators(1)).max() == 0
    assert asked == [1]
    with pytest.raises(ModelError, match="has no safety_checker; do without"):
        model.replaced(model=tiny["sd"], safety_checker=True).generate(["a"], SIZE, None, 2, 1.0, 9.0, generators(1))


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_says_what_to_change(model, images, monkeypatch, error):
    from diffusers import UNet2DConditionModel

    def full(*args, **kwargs):
        raise error

    monkeypatch.setattr(UNet2DConditionModel, "forward", full)
    with pytest.raises(ModelError, match=r"out of memory.*batch: 1 \(it is 2\).*precision: bf16.*offload: model"):
        model.replaced(batch=2).generate(["a"], SIZE, None, 2, 1.0, 9.0, generators(1))
    with pytest.raises(ModelError, match=r"out of memory. Set offload: model, or a smaller size \(it is 64\)"):
        model.replaced(size=64, precision="bf16").generate(["a"], SIZE, None, 2, 1.0, 9.0, generators(1))


def test_other_errors_pass(model, monkeypatch):
    from diffusers import UNet2DConditionModel

    monkeypatch.setattr(UNet2DConditionModel, "forward", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.generate(["a"], SIZE, None, 2, 1.0, 9.0, generators(1))


def test_the_recipe_knows_the_weights_and_not_where_they_are(model, tiny, tmp_path):
    import shutil

    copy = shutil.copytree(tiny["sd"], tmp_path / "copy")
    assert model.replaced(model=str(copy)).recipe() == model.recipe()
    assert model.replaced(device="auto", batch=4).recipe() == model.recipe()
    assert model.replaced(size=128).recipe() != model.recipe()
    assert model.replaced(controlnet=tiny["controlnet"]).recipe() != model.recipe()
    other = tiny_diffusion.stable_diffusion(tmp_path / "other", seed=1)
    assert model.replaced(model=str(other)).recipe() != model.recipe()
    assert "sd" not in str(model.recipe())


def test_impossible_settings(tiny, model):
    with pytest.raises(ConfigurationError, match="multiple of 8"):
        model.replaced(size=100)
    with pytest.raises(ConfigurationError, match="batch is 0"):
        model.replaced(batch=0)
    with pytest.raises(ConfigurationError, match="the device is the CPU"):
        model.replaced(offload="model").generate(["a"], SIZE, None, 2, 1.0, 9.0, generators(1))


def test_a_model_that_is_not_here(tiny):
    with pytest.raises(ModelError, match="semcomm models fetch stable-diffusion-v1-5"):
        Diffusers(captioner=tiny["blip"]).recipe()
    with pytest.raises(ModelError, match=r"blip-image-captioning-large.*semcomm models fetch blip-large"):
        Diffusers(tiny["sd"]).recipe()


@pytest.mark.parametrize(("batch", "total"), [(1, 9), (2, 6)])
def test_every_step_is_told(model, images, batch, total):
    from semcomm.models.progress import listening

    told = []
    with listening(lambda *state: told.append(state)):
        link = TextAndLatent(model.replaced(batch=batch), steps=5)
        link.transmit(images, Noiseless(), seeds_of(images))
    assert told == [(n, total) for n in range(1, total + 1)]
    TextToImage(model, steps=1).transmit(images, Noiseless(), seeds_of(images))
    assert len(told) == total
