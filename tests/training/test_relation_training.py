"""The relation head, trained on a small set in PSG's format with a tiny random SAM."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "metrics/sess"))
import tiny_models
from small_sam import small_sam
from test_psg import make_set

from semcomm.errors import ImageError, ModelError
from semcomm.models.relation_head import RelationHead
from semcomm.training import Settings, train
from semcomm.training.tasks.relations import RelationTraining

SIZES = {"width": 48, "heads": 4, "intermediate": 96, "feature_width": 16}


@pytest.fixture
def folder(tmp_path):
    content = make_set(tmp_path, count=6)
    (tmp_path / "psg.json").write_text(json.dumps(content))
    tiny_models.quietly(small_sam().save_pretrained, tmp_path / "sam")
    return tmp_path


def task(folder, **changes):
    files = {
        "annotations": folder / "psg.json",
        "images": folder,
        "panoptic": folder,
        "token_folder": folder / "tokens",
    }
    arguments = {**{k: str(v) for k, v in files.items()}, "sam": str(folder / "sam"), **SIZES, **changes}
    return RelationTraining(**arguments)


def settings(**changes):
    return Settings(
        **{"steps": 40, "batch": 4, "learning_rate": 3e-3, "warmup_steps": 4, "ema": 0.8, "precision": "fp32"}
        | {"device": "cpu", "threads": 1, "validate_steps": 20, **changes}
    )


def test_it_learns_and_what_it_ships_loads(folder):
    learner = task(folder)
    learner.prepare()
    torch.manual_seed(0)
    before = learner.validate(learner.build().eval())
    assert set(before) == {f"{kind}@{k}" for kind in ("recall", "mean_recall") for k in (20, 50, 100)}
    train(task(folder), settings(), folder / "run")
    (shipped,) = (folder / "run").rglob("relation_head.safetensors")
    head = RelationHead.load(shipped, heads=4)
    after = learner.validate(head.eval())
    assert after["recall@20"] == 1 >= before["recall@20"]


def test_sam_runs_once_for_each_image(folder, monkeypatch):
    task(folder).prepare()
    monkeypatch.setattr("semcomm.training.tasks.relations.mask_tokens", None)  # may not be called again
    again = task(folder)
    again.prepare()
    assert [example["tokens"].shape for example in again.train] == [(3, 32)] * len(again.train)


def test_batches_are_padded_and_follow_the_generator(folder):
    learner = task(folder)
    learner.prepare()
    learner.train[0] = {"tokens": torch.ones(2, 32), "target": torch.ones(56, 2, 2, dtype=torch.bool)}
    first, same = (learner.batch(16, 0.0, torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert set(first["count"].tolist()) == {2, 3}
    short = first["count"] == 2
    assert (first["tokens"][short][:, 2] == 0).all()
    assert not first["target"][short][:, :, 2].any()


def test_mistakes(folder, tmp_path):
    with pytest.raises(ImageError, match="nowhere"):
        task(folder, annotations=str(tmp_path / "nowhere.json")).prepare()
    with pytest.raises(ModelError):
        task(folder, sam=str(tmp_path / "none"), token_folder=str(tmp_path / "other")).prepare()
    learner = task(folder)
    learner.prepare()
    with pytest.raises(ModelError, match="another relation head"):
        learner.load(learner.build(), {"fc_input.0.weight": torch.zeros(1)})
