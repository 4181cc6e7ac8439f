"""Known answers, asked of tiny models that have answers of their own, found here without our code."""

import pytest
import tiny_models
import torch
from PIL import Image

from semcomm import write_image
from semcomm.cli import main
from semcomm.errors import ConfigurationError, ModelError
from semcomm.images import to_bytes
from semcomm.metrics.verifying import (
    blip_answers,
    classifier_answers,
    clip_answers,
    lpips_answers,
    photographs,
    sam_answers,
    verify,
)

IMAGES = ("chelsea", "coffee", "astronaut")
TEXTS = ("a cat", "coffee", "x", "some longer text about nothing")


def test_clip(tmp_path):
    from transformers import CLIPImageProcessorPil, CLIPModel

    folder = str(tiny_models.clip(tmp_path / "clip"))
    network, processor = CLIPModel.from_pretrained(folder).eval(), CLIPImageProcessorPil.from_pretrained(folder)
    pixels = processor([Image.fromarray(to_bytes(i)) for i in photographs(IMAGES)], return_tensors="pt")
    words = tiny_models.clip_tokenizer()(list(TEXTS), padding=True, return_tensors="pt")
    with torch.no_grad():
        preferred = network(**pixels, **words).logits_per_image.argmax(1).tolist()
    right = {image: TEXTS[best] for image, best in zip(IMAGES, preferred)}
    # captions of the others are put beside, so that there is something to prefer
    answers = clip_answers(folder, right | {"coins": next(t for t in TEXTS if t not in right.values())})
    assert [answer.holds for answer in answers[:3]] == [True] * 3
    wrong = clip_answers(folder, dict(zip(IMAGES, ["a cat", "coffee", "x"])))
    assert [a.got == a.expected for a in wrong] == [a.holds for a in wrong]


def test_classifier(tmp_path):
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    torch.manual_seed(0)
    layers = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    network = ViTForImageClassification(ViTConfig(**layers, image_size=32, patch_size=8, num_labels=7)).eval()
    processor = ViTImageProcessorPil(size={"height": 32, "width": 32})
    tiny_models.quietly(network.save_pretrained, tmp_path / "vit")
    processor.save_pretrained(tmp_path / "vit")
    pixels = processor([Image.fromarray(to_bytes(i)) for i in photographs(IMAGES)], return_tensors="pt")
    with torch.no_grad():
        found = network(**pixels).logits.argmax(1).tolist()
    classes = {image: ("it", {number}) for image, number in zip(IMAGES, found)}
    assert all(answer.holds for answer in classifier_answers(str(tmp_path / "vit"), classes))
    others = {image: ("it", {number + 1}) for image, number in zip(IMAGES, found)}
    assert not any(answer.holds for answer in classifier_answers(str(tmp_path / "vit"), others))
    assert [answer.holds for answer in verify(str(tmp_path / "vit"))] == [False] * 2  # it has no class of ImageNet


def test_blip(tmp_path):
    folder = str(tiny_models.blip(tmp_path / "blip"))
    (answer,) = blip_answers(folder, {"chelsea": {"nothing"}})
    assert not answer.holds
    (again,) = blip_answers(folder, {"chelsea": {"nothing", "dog"}})  # one of the few words that it has
    assert again.got == answer.got
    assert again.holds == ("dog" in answer.got.split())


def test_sam(monkeypatch):
    from semcomm.models import segmenters

    masks = torch.zeros(5, 4, 4, dtype=torch.bool).numpy()
    monkeypatch.setattr(segmenters.SAMMasks, "segment", lambda self, image, features: segmenters.Segments(masks))
    assert [a.holds for a in sam_answers("sam", {"coins": (5, 5)})] == [True]
    assert [a.holds for a in sam_answers("sam", {"coins": (6, 9)})] == [False]


def test_lpips(tmp_path, photograph):
    from semcomm.metrics import LPIPS

    weights = str(tiny_models.torchvision_file(tmp_path / "alex.safetensors", "alex"))
    for name, image in (("ex_ref", photograph), ("ex_p0", photograph.flip(1)), ("ex_p1", photograph.sqrt())):
        write_image(tmp_path / f"{name}.png", image)
    with pytest.raises(ConfigurationError, match=r"ex_ref.png, ex_p0.png, ex_p1.png"):
        lpips_answers(tmp_path / "none", weights=weights)
    from semcomm.images import read_image

    pair = [read_image(tmp_path / f"{name}.png")[None] for name in ("ex_ref", "ex_p0")]
    distance = LPIPS("alex", weights)(*pair).item()
    examples = {"ex_p0.png": distance, "ex_p1.png": 99.0}
    assert [answer.holds for answer in lpips_answers(tmp_path, examples, weights)] == [True, False]


def test_command(capsys, tmp_path):
    assert main(["models", "verify", "efficientnet-lite0"]) == 0
    assert "class of chelsea" in capsys.readouterr().out
    assert main(["models", "verify", "lpips-alex"]) == 1
    assert "name the folder with --images" in capsys.readouterr().err
    with pytest.raises(ModelError, match="no answers are known"):
        verify(str(tiny_models.vit(tmp_path / "vit")))
