import json
import shutil

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from semcomm.errors import ConfigurationError, ModelError
from semcomm.models import CARDS, device_of, find, load_module, load_processor, load_transformer, weights_of
from semcomm.models.files import read_tensors, tensors_in


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMCOMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def folder(tmp_path):
    return tiny_models.clip(tmp_path / "clip")


def load(folder, **options):
    return load_transformer(str(folder), "CLIPModel", **options)


def test_loaded_once_and_shared_by_name_kind_precision_and_device(folder):
    model = load(folder)
    assert load(folder) is model
    assert load(folder, device=str(device_of("auto"))) is model
    half = load(folder, precision="bf16")
    assert half is not model
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    assert not model.training and not any(p.requires_grad for p in model.parameters())


def test_a_missing_model_says_name_size_and_command(tmp_path):
    with pytest.raises(ModelError, match=r"laion/CLIP-ViT-H.* 3\.9 GB.*`semcomm models fetch clip-vit-h-14`.* folder"):
        find("clip-vit-h-14")
    with pytest.raises(ModelError, match=r"AlexNet|alexnet-owt.*fetch lpips-alex --trust-pickle`.*local file"):
        find("lpips-alex")
    with pytest.raises(ModelError, match="my-lab/my-clip is not on this machine: `semcomm models fetch my-lab/my-clip"):
        find("my-lab/my-clip")
    with pytest.raises(ModelError, match=r"no such folder or file, and no model of that name; `semcomm models` lists"):
        find(str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="no model of that name"):
        find("clip-vit-h14")


def test_a_card_is_found_by_its_name_and_its_hub_id(tmp_path):
    snapshot = tmp_path / "hub" / "models--openai--clip-vit-base-patch32" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    assert find("clip-vit-b-32") == find("openai/clip-vit-base-patch32") == snapshot


@pytest.mark.parametrize("cut", [1, 1000])
def test_a_truncated_file_is_one_clear_error(folder, cut):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(
        ModelError, match=r"model\.safetensors: its [\d,]+ bytes are no whole safetensors.*fetch it again"
    ):
        load(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its 0 bytes are no whole"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00nonsense 16 byte", "no whole safetensors file .*header"),
        (b"\xff" * 100, "no whole safetensors file"),
        (b"PK\x03\x04 and so on", "pickle, whatever its name says"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "pointer of Git LFS"),
    ],
)
def test_what_is_no_safetensors_file_is_named(folder, content, message):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load(folder)


def test_missing_and_misshapen_tensors_are_named(folder):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["logit_scale"]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ModelError, match=r"no complete CLIPModel: 1 tensors are missing \(logit_scale\)"):
        load(folder)
    tensors["logit_scale"] = torch.zeros(())
    tensors["text_projection.weight"] = torch.zeros(5, 5)
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ModelError, match=r"1 have another shape \(text_projection.weight is \[5, 5\], not \[24, 32\]"):
        load(folder)


def test_another_kind_of_model_is_refused(tmp_path, folder):
    with pytest.raises(ModelError, match=r"of the kind 'vit' by its config\.json; CLIPModel needs 'clip'"):
        load(tiny_models.vit(tmp_path / "vit"))
    with pytest.raises(ModelError, match=r"has no config\.json"):
        load(tmp_path)
    with pytest.raises(ModelError, match="is a file; this model is a folder"):
        load(folder / "model.safetensors")
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json: is damaged"):
        load(folder)


def test_a_pickle_is_opened_only_when_trusted(folder):
    file = folder / "model.safetensors"
    torch.save(load_file(file), folder / "pytorch_model.bin")
    expected = load(folder).logit_scale
    file.unlink()
    other = folder.rename(folder.with_name("pickled"))
    with pytest.raises(ModelError, match=r"pickle only \(pytorch_model.bin\).*trust_pickle=True"):
        load(other)
    assert load(other, trust_pickle=True).logit_scale == expected
    damaged = shutil.copytree(other, other.with_name("damaged"))
    (damaged / "pytorch_model.bin").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="its pickle is damaged, or holds more than tensors"):
        load(damaged, trust_pickle=True)
    (other / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        load(other.rename(folder.with_name("empty")))


def test_a_trusted_pickle_still_yields_nothing_but_tensors(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "good.pth")
    assert read_tensors(tmp_path / "good.pth", trust_pickle=True)["a"].tolist() == [1, 1]
    with pytest.raises(ModelError, match="can run code"):
        read_tensors(tmp_path / "good.pth")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "code.pth")
    with pytest.raises(ModelError, match="damaged, or holds more than tensors"):
        read_tensors(tmp_path / "code.pth", trust_pickle=True)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ModelError, match="no state dict"):
        read_tensors(tmp_path / "list.pth", trust_pickle=True)


def test_a_missing_processor_is_a_clear_error(folder):
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="no usable CLIPImageProcessorPil"):
        load_processor(str(folder), "CLIPImageProcessorPil")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer \(tokenizer\.json, or vocab\.json and merges\.txt\)"):
        load_processor(str(folder), "CLIPTokenizer")


def test_a_module_of_ours_names_what_its_file_lacks(tmp_path):
    def small():
        return torch.nn.Sequential(torch.nn.Linear(2, 3))

    file = tmp_path / "small.safetensors"
    save_file({"0.weight": torch.ones(3, 2), "0.bias": torch.ones(3), "1.weight": torch.ones(1)}, file)
    module = load_module(str(file), small)
    assert module(torch.ones(1, 2)).tolist() == [[3, 3, 3]]
    assert load_module(str(file), small) is module
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match=r"no complete small: 1 tensors are missing \(fc.weight\)"):
        load_module(str(copy), small, exact={"fc.weight": (1008, 2048)})
    copy.unlink()
    second = tmp_path / "second.safetensors"
    save_file({"0.weight": torch.ones(2, 2)}, second)
    with pytest.raises(ModelError, match=r"missing \(0.bias\); 1 have another shape \(0.weight is \[2, 2\]"):
        load_module(str(second), small)
    with pytest.raises(ModelError, match="holds 2 files of weights; name the one you mean"):
        load_module(str(tmp_path), small)


def test_the_hash_is_of_the_content_and_follows_every_change(tmp_path, folder):
    first = weights_of(str(folder))
    copy = tiny_models.clip(tmp_path / "copy")
    assert weights_of(str(copy)) == first
    assert weights_of(str(tiny_models.clip(tmp_path / "other", seed=1))) != first
    (copy / "README.md").write_text("not read by anyone")
    (copy / ".cache" / "within").mkdir(parents=True)
    (copy / ".cache" / "within" / "download.json").write_text("{}")
    assert weights_of(str(copy)) == first
    tiny_models.edit_json(copy / "preprocessor_config.json", do_center_crop=False)
    assert weights_of(str(copy)) != first


@pytest.mark.parametrize("large", [1, 2**24])
def test_a_file_is_hashed_once(folder, monkeypatch, tmp_path, large):
    monkeypatch.setattr("semcomm.models.files._LARGE", large)
    first = weights_of(str(folder))
    monkeypatch.setattr("semcomm.models.files.hashlib.file_digest", None)  # would be called for another hash
    assert weights_of(str(folder)) == first
    assert (tmp_path / "cache" / "hashes").is_dir() == (large == 1)


def test_the_header_tells_names_and_shapes(folder):
    shapes = tensors_in(folder / "model.safetensors")
    assert shapes["visual_projection.weight"] == (24, 32)
    assert len(shapes) == len(json.loads(_header(folder / "model.safetensors"))) - 1


def _header(path):
    data = path.read_bytes()
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def test_devices():
    assert device_of("cpu").type == "cpu"
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigurationError, match="device is 'tpu9'"):
        device_of("tpu9")


def test_cards_are_complete():
    for name, card in CARDS.items():
        assert card.name == name
        assert all((card.purpose, card.kind, card.licence, card.attribution, card.megabytes, card.size))
        assert not card.source or card.is_file or card.files
        assert not card.is_file or card.sha256 in card.source
