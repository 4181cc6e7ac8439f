from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from PIL import Image

from semcomm.errors import ModelError
from semcomm.images import quantise, to_bytes
from semcomm.metrics.perceptual import ViTScore


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny_models.vit(tmp_path_factory.mktemp("models") / "vit"))


@pytest.fixture(scope="module")
def pair(photograph):
    reference = torch.stack([photograph, photograph.flip(1)])
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(0))
    return reference, quantise(reference + torch.tensor([0.05, 0.5])[:, None, None, None] * noise)


def by_hand(folder, first, second):
    """Equations 10 to 14, one pair of patches at a time, from transformers' own processor and model."""
    from transformers import ViTModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    model, processor = ViTModel.from_pretrained(folder).eval(), ViTImageProcessorPil.from_pretrained(folder)
    tokens = []
    for image in (first, second):
        with torch.no_grad():
            found = model(**processor(Image.fromarray(to_bytes(image)), return_tensors="pt")).last_hidden_state
        patches = found[0, 1:].double().numpy()  # without the class token
        tokens.append([patch / np.linalg.norm(patch) for patch in patches])
    x, y = tokens
    recall = sum(max(float(a @ b) for b in y) for a in x) / len(x)
    precision = sum(max(float(a @ b) for a in x) for b in y) / len(y)
    return 2 * recall * precision / (recall + precision)


def test_symmetric(folder, pair):
    metric = ViTScore(folder)
    assert metric(*pair).tolist() == pytest.approx(metric(*pair[::-1]).tolist(), abs=1e-6)


def test_images_of_different_and_odd_sizes(folder, pair):
    metric = ViTScore(folder)
    wide, tiny = pair[1][..., :50], pair[1][..., :8, :8]
    assert metric(pair[0], wide).tolist() == pytest.approx([by_hand(folder, a, b) for a, b in zip(pair[0], wide)])
    assert metric(tiny, tiny).tolist() == pytest.approx([1, 1])


def test_a_classifiers_folder_serves_too(tmp_path, folder, pair):
    """What is published is often the classifier, whose tensors have a prefix and which has no pooling layer."""
    from transformers import ViTForImageClassification, ViTModel

    backbone = ViTModel.from_pretrained(folder, add_pooling_layer=False)
    classifier = ViTForImageClassification(backbone.config)
    classifier.vit.load_state_dict(backbone.state_dict())
    other = tiny_models.quietly(classifier.save_pretrained, tmp_path / "classifier")
    (other / "preprocessor_config.json").write_bytes((Path(folder) / "preprocessor_config.json").read_bytes())
    assert ViTScore(str(other))(*pair).tolist() == ViTScore(folder)(*pair).tolist()


def test_more_images_than_one_pass_takes(folder, pair, monkeypatch):
    whole = ViTScore(folder)(*pair)
    monkeypatch.setattr("semcomm.metrics.perceptual.vitscore.BATCH", 1)
    assert ViTScore(folder)(*pair).tolist() == pytest.approx(whole.tolist(), abs=1e-6)


def test_its_column_names_a_model_that_is_not_the_default(folder):
    assert (ViTScore().name, ViTScore(folder).name) == ("ViTScore", "ViTScore (vit)")


def test_without_weights_a_clear_error(pair, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"vit-base-patch16-224-in21k \(about 346 MB.*`semcomm models fetch vit-base`"):
        ViTScore()(*pair)
