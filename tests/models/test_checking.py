import hashlib
import shutil
from functools import partial

import pytest
import tiny_diffusion
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from semcomm.cli import main
from semcomm.errors import ModelError
from semcomm.models import CARDS
from semcomm.models.checking import check
from semcomm.models.diffusion import check_fit


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (tiny_models.clip, "CLIPModel"),
        (tiny_models.vit, "ViTModel"),
        (tiny_models.blip, "BlipForConditionalGeneration"),
    ],
)
def test_a_complete_folder_is_said_to_be(tmp_path, make, kind):
    found = check(make(tmp_path / "model"))
    assert (found.kind, found.files) == (kind, 1)
    assert found.tensors > 30
    assert found.megabytes > 0.01


@pytest.mark.parametrize(("network", "kind"), [("alex", "AlexNet"), ("vgg", "VGG16"), ("squeeze", "SqueezeNet 1.1")])
def test_a_file_of_weights_is_known_by_its_tensors(tmp_path, network, kind):
    file = tiny_models.torchvision_file(tmp_path / "weights.safetensors", network)
    assert check(file).kind == f"{kind} (torchvision layout)"
    tensors = load_file(file)
    del tensors["features.0.weight"]
    save_file(tensors, file)
    with pytest.raises(ModelError, match="tensors are those of no network that is one file: AlexNet"):
        check(file)
    with pytest.raises(ModelError, match="is a pickle"):
        check(tiny_models.torchvision_file(tmp_path / "weights.pth", network))


def test_what_is_missing_beside_the_weights_is_named(tmp_path):
    folder = tiny_models.clip(tmp_path / "clip")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="no usable CLIPImageProcessorPil"):
        check(folder)
    other = tiny_models.vit(tmp_path / "vit")
    tiny_models.edit_json(other / "config.json", intermediate_size=40)
    with pytest.raises(ModelError, match=r"no complete ViTModel: 6 have another shape \(.*mlp.fc1.bias is \[48\], not"):
        check(other)
    tiny_models.edit_json(other / "config.json", model_type="unheard-of", architectures=["Unheard"])
    with pytest.raises(ModelError, match="architecture Unheard, which transformers does not have"):
        check(other)
    with pytest.raises(ModelError, match=r"neither config\.json nor model_index\.json"):
        check(tmp_path)
    with pytest.raises(ModelError, match="no such folder or file"):
        check(tmp_path / "nowhere")


@pytest.fixture
def pipeline(tmp_path):
    """A tiny Stable Diffusion in the layout of diffusers."""
    return tiny_diffusion.stable_diffusion(tmp_path / "pipeline")


@pytest.mark.parametrize(
    ("make", "kind", "files"),
    [
        (partial(tiny_diffusion.stable_diffusion, safety_checker=True), "StableDiffusionPipeline", 4),
        (tiny_diffusion.unclip, "StableUnCLIPImg2ImgPipeline", 5),
        (tiny_diffusion.controlnet, "ControlNetModel", 1),
    ],
)
def test_a_complete_diffusion_model_is_said_to_be(tmp_path, make, kind, files):
    found = check(make(tmp_path / "model"))
    assert (found.kind, found.files) == (kind, files)


def test_every_component_of_a_pipeline_is_looked_at(pipeline):
    tiny_models.edit_json(pipeline / "vae" / "config.json", _class_name="VQModel")
    with pytest.raises(ModelError, match="vae: holds a VQModel, but the pipeline asks for a AutoencoderKL"):
        check(pipeline)
    shutil.rmtree(pipeline / "vae")
    with pytest.raises(ModelError, match=r"the component vae \(AutoencoderKL\) is missing"):
        check(pipeline)
    tiny_models.edit_json(pipeline / "model_index.json", vae=[None, None])
    with pytest.raises(ModelError, match="names no vae, which a StableDiffusionPipeline needs"):
        check(pipeline)


def test_damage_in_a_component_is_found(pipeline):
    unet = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(unet)
    name = next(iter(tensors))
    save_file({key: value for key, value in tensors.items() if key != name}, unet)
    with pytest.raises(ModelError, match=f"no complete UNet2DConditionModel: 1 tensors are missing .{name}"):
        check(pipeline)
    save_file({**tensors, name: torch.zeros(3)}, unet)
    with pytest.raises(ModelError, match=f"1 have another shape .{name} is .3., not"):
        check(pipeline)
    unet.write_bytes(unet.read_bytes()[:-2])
    with pytest.raises(ModelError, match=r"no whole safetensors file"):
        check(pipeline)
    unet.unlink()
    with pytest.raises(ModelError, match="unet: has no weights"):
        check(pipeline)
    (pipeline / "unet" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"unet: has no config\.json"):
        check(pipeline)
    text = pipeline / "text_encoder" / "model.safetensors"
    tensors = load_file(text)
    tensors.popitem()
    save_file(tensors, text, {"format": "pt"})
    with pytest.raises(ModelError, match="no complete CLIPTextModel: 1 tensors are missing"):
        check(pipeline)
    (pipeline / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(ModelError, match="scheduler: has no usable PNDMScheduler"):
        check(pipeline)


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("text_encoder", "hidden_size", 64, "cross_attention_dim is 32, but hidden_size .* is 64"),
        ("vae", "latent_channels", 16, "in_channels is 4, but latent_channels .* is 16"),
    ],
)
def test_parts_of_two_models_are_refused(pipeline, part, name, value, message):
    tiny_models.edit_json(pipeline / part / "config.json", **{name: value})
    with pytest.raises(ModelError, match=f"{message}: they are not of one model"):
        check_fit(pipeline)


def test_damage_within_a_file_is_found_where_its_hash_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMCOMM_CACHE", str(tmp_path / "cache"))
    folder = tiny_models.vit(tmp_path / "vit")
    file = folder / "model.safetensors"
    blob = tmp_path / hashlib.sha256(file.read_bytes()).hexdigest()
    file.rename(blob)
    file.symlink_to(blob)
    assert check(folder).kind == "ViTModel"
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    with pytest.raises(ModelError, match="not what the hub published; delete"):
        check(folder)


def test_the_command_lists_every_model_and_whether_it_is_here(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SEMCOMM_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models").mkdir()
    save_file({"a": torch.ones(1)}, tmp_path / "models" / "lpips-vgg.safetensors")
    assert main(["models"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")}
    assert list(lines) == list(CARDS)
    assert " absent " in lines["clip-vit-h-14"] and "about 3.9 GB" in lines["clip-vit-h-14"]
    assert " present " in lines["lpips-vgg"]


def test_the_command_prints_one_line_for_a_bad_folder(tmp_path, capsys):
    assert main(["models", "check", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
