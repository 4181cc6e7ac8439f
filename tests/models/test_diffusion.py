import json
import shutil

import pytest
import tiny_diffusion
import tiny_models
import torch

from semcomm.errors import ConfigurationError, ModelError
from semcomm.models.diffusion import load_pipeline


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny_diffusion.stable_diffusion(tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "sd")


def load(folder, cls="StableDiffusionPipeline", **options):
    return load_pipeline(str(folder), cls, device="cpu", **options)


def test_pipelines_of_a_folder_share_their_parts(folder):
    one, other = load(folder), load(folder, "StableDiffusionImg2ImgPipeline")
    assert load(folder) is one
    assert one.unet is other.unet and one.vae is other.vae and one.text_encoder is other.text_encoder
    assert load(folder, precision="bf16").unet.dtype == torch.bfloat16
    assert not one.unet.training


def test_ddim_whatever_the_folder_names(folder):
    scheduler = load(folder).scheduler
    assert type(scheduler).__name__ == "DDIMScheduler"
    config = scheduler.config
    assert (config.beta_schedule, config.clip_sample, config.steps_offset) == ("scaled_linear", False, 1)
    scheduler.set_timesteps(50)
    assert scheduler.timesteps[[0, 1, -1]].tolist() == [981, 961, 1]  # those of latent diffusion's own DDIM


@pytest.mark.parametrize("part", ["vae", "unet", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_component_says_what_to_do(folder, part):
    shutil.rmtree(folder / part)
    with pytest.raises(
        ModelError, match=rf"component {part} \(\w+\) is missing; `semcomm models fetch` .*models check"
    ):
        load(folder)


def test_a_component_that_the_index_does_not_name(folder):
    index = json.loads((folder / "model_index.json").read_text())
    del index["tokenizer"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="names no tokenizer, which a StableDiffusionPipeline needs"):
        load(folder)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("model_index.json", "{", "is damaged; fetch"),
        ("model_index.json", '{"_class_name": "FluxPipeline"}', "is a FluxPipeline, and a StableDiffusionPipeline"),
        ("unet/config.json", "{", "is damaged; fetch"),
        ("unet/config.json", '{"_class_name": "UNet2DModel"}', "holds a UNet2DModel, but the pipeline asks for"),
        ("scheduler/scheduler_config.json", "{", "no usable PNDMScheduler"),
        ("unet/diffusion_pytorch_model.safetensors", "", "its 0 bytes are no whole"),
        ("text_encoder/config.json", '{"model_type": "bert"}', "'bert' by its config.json; CLIPTextModel needs"),
    ],
)
def test_a_wrong_component_is_one_clear_error(folder, path, content, message):
    (folder / path).write_text(content)
    with pytest.raises(ModelError, match=message):
        load(folder)


def test_another_kind_of_folder(tmp_path, folder):
    with pytest.raises(ModelError, match=r"no pipeline: it has no model_index\.json"):
        load(tiny_models.clip(tmp_path / "clip"))
    with pytest.raises(ModelError, match=r"is a file; this model is a folder"):
        load(folder / "model_index.json")
    with pytest.raises(ModelError, match="is a StableDiffusionPipeline, and a StableUnCLIPImg2ImgPipeline is needed"):
        load(folder, "StableUnCLIPImg2ImgPipeline")
    with pytest.raises(ModelError, match="no such folder or file"):
        load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="holds a AutoencoderKL, but the pipeline asks for a ControlNetModel"):
        load(folder, "StableDiffusionControlNetPipeline", controlnet=str(folder / "vae"))


def test_a_controlnet_of_another_model(folder, tmp_path):
    guide = tiny_diffusion.controlnet(tmp_path / "guide")
    assert load(folder, "StableDiffusionControlNetPipeline", controlnet=str(guide)).controlnet is not None
    tiny_models.edit_json(guide / "config.json", cross_attention_dim=64)
    other = guide.rename(tmp_path / "other")
    with pytest.raises(ModelError, match=r"cross_attention_dim is 64, but .* is 32: they are not of one model"):
        load(folder, "StableDiffusionControlNetPipeline", controlnet=str(other))


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading_is_for_gpus(folder, monkeypatch, offload):
    with pytest.raises(ConfigurationError, match="the device is the CPU"):
        load(folder, offload=offload)
    from diffusers import StableDiffusionPipeline

    asked = []
    monkeypatch.setattr(
        StableDiffusionPipeline, f"enable_{offload}_cpu_offload", lambda self, device: asked.append(device)
    )
    made = load_pipeline(str(folder), "StableDiffusionPipeline", device="cuda:0", offload=offload)
    assert asked == [torch.device("cuda:0")]
    assert made.unet.device.type == "cpu"


def test_without_diffusers(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(ModelError, match=r"pip install 'semcomm\[models\]'"):
        load(folder)
