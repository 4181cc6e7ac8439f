"""The pretrained backend end to end, on tiny random models saved in the real format."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_sam import metas_names, small_sam

from semcomm import memo
from semcomm.errors import ModelError
from semcomm.metrics.sess import Pretrained, SeSS
from semcomm.models.relation_head import RelationHead
from semcomm.models.sam_masks import MaskSettings

sys.path.insert(0, str(Path(__file__).parents[2]))
import tiny_models


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    sam = small_sam()
    sam.shared_image_embedding.load_state_dict(sam.prompt_encoder.shared_embedding.state_dict())  # as in real ones
    tiny_models.quietly(sam.save_pretrained, root / "sam")
    state = {name: tensor.contiguous() for name, tensor in metas_names(sam.state_dict()).items()}
    save_file(state, root / "sam_meta.safetensors")
    tiny_models.clip(root / "clip")
    torch.manual_seed(0)
    head = RelationHead(token_width=32, width=48, heads=4, intermediate=96, layers=2, feature_width=16, predicates=56)
    save_file(head.state_dict(), root / "head.safetensors")
    return root


@pytest.fixture(autouse=True)
def fresh_memo():
    with memo.using(memo.Memo()):
        yield


def backend(folder, **changes):
    made = Pretrained(**{"sam": str(folder / "sam"), "clip": str(folder / "clip"), "device": "cpu", **changes})
    # random models are sure of nothing: take what they find
    made.segmenter.settings = MaskSettings(
        grid=3, predicted_iou=-10.0, stability=0.0, box_overlap=1.0, mask_overlap=1.0, limit=6, max_width=96
    )
    return made


@pytest.mark.parametrize("head", [False, True], ids=["zero-shot", "head"])
def test_scores_from_end_to_end(folder, photograph, head):
    metric = SeSS(backend(folder, relation_head=str(folder / "head.safetensors") if head else None))
    images = torch.stack([photograph, photograph.flip(2)])
    assert metric.name == ("SeSS (pretrained)" if head else "SeSS (pretrained, zero-shot relations)")
    scene = metric.backend.scene(photograph, "mask")
    assert len(scene.masks) >= 2
    assert (scene.relation >= 0).any()
    assert metric(images, images).tolist() == pytest.approx([1, 1], abs=1e-4)
    (score, _) = metric(images, images.flip(0)).tolist()
    assert score < 1
    similarity = metric.backend.predicate_similarity()
    assert similarity.shape == (56, 56)
    assert np.allclose(np.diag(similarity), 1, atol=1e-5)


def test_metas_checkpoint_gives_the_same_scene(folder, photograph, monkeypatch):
    monkeypatch.setattr("semcomm.models.sam_checkpoint.published", lambda width: small_sam().config)
    ours = backend(folder).describe(photograph, "box")
    theirs = backend(folder, sam=str(folder / "sam_meta.safetensors")).describe(photograph, "box")
    assert np.array_equal(ours.masks, theirs.masks)
    assert np.allclose(ours.embeddings, theirs.embeddings, atol=1e-5)


@pytest.mark.parametrize("image", [torch.full((3, 20, 20), 0.5), torch.rand(3, 8, 8), torch.rand(3, 6, 300)])
def test_strange_images_have_a_score(folder, photograph, image):
    metric = SeSS(backend(folder))
    (score,) = metric(image[None], photograph[None]).tolist()
    assert np.isfinite(score)


def test_recipe_names_the_weights(folder, tmp_path):
    first = SeSS(backend(folder)).recipe()
    torch.manual_seed(5)
    tiny_models.clip(tmp_path / "clip", seed=5)
    other = SeSS(backend(folder, clip=str(tmp_path / "clip"))).recipe()
    assert first["init_args"]["backend"]["weights"] != other["init_args"]["backend"]["weights"]


def test_in_a_sweep_from_yaml(folder, tmp_path):
    from semcomm import run

    arguments = {"sam": str(folder / "sam"), "clip": str(folder / "clip"), "grid": 2, "max_width": 64, "device": "cpu"}
    experiment = {
        "transceivers": {"j": {"class_path": "Separate", "init_args": {"source": "JPEG2000"}}},
        "sweep": {"bpp": [1.0, 2.0]},
        "metrics": [
            {"class_path": "SeSS", "init_args": {"backend": {"class_path": "Pretrained", "init_args": arguments}}}
        ],
        "images": {"limit": 1, "crop": 64},
    }
    table = run(experiment, tmp_path / "run").table
    assert table["SeSS (pretrained, zero-shot relations)"].notna().all()


def test_missing_weights_say_how_to_get_them(photograph):
    with pytest.raises(ModelError, match="semcomm models fetch"):
        SeSS("pretrained")(photograph[None], photograph[None])
