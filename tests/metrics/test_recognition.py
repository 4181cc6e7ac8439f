"""Recognition by EfficientNet-Lite0, a classifier of transformers and one of a user's."""

import csv

import pytest
import tiny_models
import torch

from semcomm import Recogniser, Recognition, write_image
from semcomm.errors import ConfigurationError, MetricError, ModelError
from semcomm.images import quantise


class Brightest(Recogniser):
    """The class is the colour channel that is strongest; its logits are the channels' means, times ten."""

    name = "brightest"

    def weights(self):
        return "none"

    def logits(self, images):
        return 10 * torch.stack([image.mean((1, 2)) for image in images])


@pytest.fixture
def colours():
    return torch.eye(3).view(3, 3, 1, 1).expand(3, 3, 8, 8) * 0.8


def test_agreement_and_probability_by_hand(colours):
    arrived = colours[[0, 2, 2]] * 0.5
    assert Recognition(Brightest())(colours, arrived).tolist() == [1, 0, 1]
    kept = Recognition(Brightest(), "probability")(colours, arrived)
    before, after = torch.tensor([8.0, 0, 0]).softmax(0)[0], torch.tensor([4.0, 0, 0]).softmax(0)
    expected = torch.stack([after[0], after[1], after[0]]) / before
    assert kept.tolist() == pytest.approx(expected.tolist())
    assert Recognition(Brightest(), "probability")(colours, colours).tolist() == [1, 1, 1]
    brighter = Recognition(Brightest(), "probability")(colours * 0.5, colours)
    assert brighter.tolist() == [1, 1, 1]  # what gains is not counted


def test_accuracy_by_labels_of_one_s_own(colours, tmp_path):
    images = quantise(colours)
    with (tmp_path / "list.csv").open("w", newline="") as text:
        csv.writer(text).writerows([["file", "kind"], ["0.png", 0], ["1.png", 2], ["2.png", 2]])
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number}.png", image)
    metric = Recognition(Brightest(), "accuracy", str(tmp_path / "list.csv"), "kind")
    assert metric(images, images).tolist() == [1, 0, 1]
    assert metric(images, images[[1, 2, 1]]).tolist() == [0, 1, 0]
    with pytest.raises(MetricError, match="send them whole and unscaled"):
        metric(images[..., 1:], images)
    with pytest.raises(ConfigurationError, match="needs the columns 'file' and 'label'"):
        Recognition(Brightest(), "accuracy", str(tmp_path / "list.csv"))(images, images)
    (tmp_path / "list.csv").write_text("file,label\n0.png,3\n1.png,1\n2.png,1\n")
    with pytest.raises(MetricError, match="class 3, and brightest has 3"):
        Recognition(Brightest(), "accuracy", str(tmp_path / "list.csv"))(images, images)


def test_efficientnet_recognises_less_in_what_is_blurred(photograph):
    from torch.nn.functional import interpolate

    small = interpolate(photograph[None], (6, 6), mode="area")
    blurred = quantise(interpolate(small, photograph.shape[1:], mode="bicubic").clamp(0, 1))
    probability = Recognition(score="probability")
    assert Recognition()(photograph[None], photograph[None]).item() == 1
    assert probability(photograph[None], photograph[None]).item() == 1
    assert probability(photograph[None], blurred).item() < 0.3
    assert Recognition().name == "Recognition"


def test_a_classifier_of_transformers(tmp_path, photograph):
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    torch.manual_seed(0)
    layers = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    network = ViTForImageClassification(ViTConfig(**layers, image_size=32, patch_size=8, num_labels=5)).eval()
    tiny_models.quietly(network.save_pretrained, tmp_path / "vit")
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    metric = Recognition(str(tmp_path / "vit"))
    assert metric.name == "Recognition (vit)"
    assert metric(photograph[None], photograph[None]).item() == 1
    assert metric.recogniser.probabilities([photograph]).sum().item() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ModelError, match="is a ViTModel, which classifies no images"):
        Recognition(str(tiny_models.vit(tmp_path / "plain")))(photograph[None], photograph[None])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"score": "top5"}, "score is 'top5'"),
        ({"score": "accuracy"}, "which needs them"),
        ({"labels": "list.csv"}, "labels are for score 'accuracy'"),
        ({"recogniser": 3}, "a name or a Recogniser"),
    ],
)
def test_mistakes(arguments, reason):
    with pytest.raises(ConfigurationError, match=reason):
        Recognition(**arguments)


def test_a_recogniser_of_one_class_is_none(colours):
    class One(Brightest):
        def logits(self, images):
            return torch.zeros(len(images), 1)

    with pytest.raises(ModelError, match=r"are \[B, classes\], not"):
        Recognition(One())(colours, colours)
