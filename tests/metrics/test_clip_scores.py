import pytest
import tiny_models
import torch
from PIL import Image

from semcomm import ImageEncoder, memo
from semcomm.errors import ModelError
from semcomm.images import quantise, to_bytes
from semcomm.metrics.perceptual import CaptionCLIPScore, CLIPScore, EmbeddedScore, EmbeddedViTScore
from semcomm.models.clip import CLIP


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return str(tiny_models.clip(tmp_path_factory.mktemp("models") / "clip"))


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    return str(tiny_models.blip(tmp_path_factory.mktemp("models") / "blip"))


@pytest.fixture(autouse=True)
def own_memo():
    with memo.using(memo.Memo()):
        yield


@pytest.fixture(scope="module")
def pair(photograph):
    reference = torch.stack([photograph, photograph.flip(1)])
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(0))
    return reference, quantise(reference + torch.tensor([0.05, 0.5])[:, None, None, None] * noise)


def features(folder, images):
    from transformers import CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPImageProcessorPil.from_pretrained(folder)
    pixels = processor([Image.fromarray(to_bytes(image)) for image in images], return_tensors="pt")
    with torch.no_grad():
        return model.get_image_features(**pixels).pooler_output.double()


def test_images_of_any_size(clip, pair):
    metric = CLIPScore(clip)
    assert metric(pair[0][..., :8, :8], pair[0][..., :8, :8]).max() <= 1
    assert metric(pair[0], pair[1][..., :50]).shape == (2,)


def test_two_metrics_share_the_embeddings(clip, blip, pair, monkeypatch):
    counted = []
    embed = CLIP._embed
    monkeypatch.setattr(CLIP, "_embed", lambda self, images: (counted.append(len(images)), embed(self, images))[1])
    fresh = quantise(pair[0] * 0.9), quantise(pair[1] * 0.9)
    CLIPScore(clip)(*fresh)
    CaptionCLIPScore(clip, blip)(*fresh)
    assert counted == [2, 2]


def test_caption_against_image_by_transformers_alone(clip, blip, pair):
    from transformers import (
        BertTokenizer,
        BlipForConditionalGeneration,
        BlipImageProcessorPil,
        CLIPModel,
        CLIPTokenizer,
    )

    writer, words = BlipForConditionalGeneration.from_pretrained(blip).eval(), BertTokenizer.from_pretrained(blip)
    pixels = BlipImageProcessorPil.from_pretrained(blip)(
        [Image.fromarray(to_bytes(i)) for i in pair[0]], return_tensors="pt"
    )
    captions = words.batch_decode(writer.generate(**pixels, max_new_tokens=30), skip_special_tokens=True)
    model, tokenizer = CLIPModel.from_pretrained(clip).eval(), CLIPTokenizer.from_pretrained(clip)
    tokens = tokenizer([c.strip() for c in captions], padding=True, truncation=True, max_length=77, return_tensors="pt")
    with torch.no_grad():
        texts = model.get_text_features(**tokens).pooler_output.double()
    expected = 100 * torch.cosine_similarity(texts, features(clip, pair[1])).clamp(min=0)
    assert CaptionCLIPScore(clip, blip)(*pair).tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_negative_cosine_counts_as_zero(clip, blip, pair):
    metric = CaptionCLIPScore(clip, blip)
    images = metric.clip.embed_images(pair[1])
    assert metric.score(-images, pair[1]).tolist() == [0, 0]
    assert metric.score(images, pair[1]).tolist() == pytest.approx([100, 100], abs=1e-4)


def test_scales_and_names(clip):
    assert (CLIPScore().name, CLIPScore.unit, CLIPScore.range) == ("CLIPScore", "cosine", (-1, 1))
    assert (CaptionCLIPScore().name, CaptionCLIPScore.unit) == ("Caption CLIPScore", "of 100")
    assert CLIPScore("clip-vit-b-32").name == "CLIPScore (clip-vit-b-32)"
    assert CLIPScore("openai/clip-vit-base-patch32").name == "CLIPScore (clip-vit-base-patch32)"


def test_recipes_know_the_weights(clip, tmp_path):
    other = str(tiny_models.clip(tmp_path / "clip", seed=1))
    assert CLIPScore(clip).recipe()["weights"] != CLIPScore(other).recipe()["weights"]
    assert CLIPScore(clip, device="cpu").recipe() == CLIPScore(clip).recipe()
    same = str(tiny_models.clip(tmp_path / "moved"))
    assert CLIPScore(same).recipe() == CLIPScore(clip).recipe()
    assert CLIPScore(clip, precision="bf16").recipe() != CLIPScore(clip).recipe()


def test_without_weights_a_clear_error(pair, monkeypatch, tmp_path, clip):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"laion.*about 3\.9 GB.*`semcomm models fetch clip-vit-h-14`"):
        CLIPScore()(*pair)
    with pytest.raises(ModelError, match="`semcomm models fetch blip-base`"):
        CaptionCLIPScore(clip)(*pair)


class TinyEncoder(ImageEncoder):
    """An encoder of one's own: mean colours of the quadrants, which are its map too."""

    name, stride = "tiny", 1

    def weights(self):
        return "none"

    def embed_batch(self, images):
        return self.features_batch(images, 2).flatten(1)

    def features_batch(self, images, side):
        return torch.stack([torch.nn.functional.adaptive_avg_pool2d(image, side) - 0.5 for image in images])


def test_the_embedded_score_is_the_cosine_of_the_encoder(pair):
    metric = EmbeddedScore(TinyEncoder())
    expected = torch.cosine_similarity(TinyEncoder().embed(pair[0]), TinyEncoder().embed(pair[1]))
    assert metric(*pair).tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert metric(pair[0], pair[1][..., :40]).shape == (2,)
    assert (metric.name, metric.recipe()["weights"]) == ("Cosine (tiny)", "none")
    assert EmbeddedScore().name == "Cosine (EfficientNet-Lite0, distilled)"


def test_with_clip_it_is_clipscore(pair, clip):
    ours, theirs = EmbeddedScore(str(clip)), CLIPScore(str(clip))
    assert ours(*pair).tolist() == pytest.approx(theirs(*pair).tolist(), abs=1e-6)


def test_greedy_matching_of_a_map_by_hand(pair):
    metric = EmbeddedViTScore(TinyEncoder(), side=3)
    first, second = (torch.nn.functional.adaptive_avg_pool2d(x, 3).flatten(2).mT - 0.5 for x in pair)
    for n, score in enumerate(metric(*pair).tolist()):
        cosines = torch.cosine_similarity(first[n][:, None], second[n][None], dim=-1)
        recall, precision = cosines.max(1).values.mean().item(), cosines.max(0).values.mean().item()
        assert score == pytest.approx(2 * recall * precision / (recall + precision), abs=1e-5)
    assert metric(pair[0], pair[0]).tolist() == pytest.approx([1, 1], abs=1e-6)
    assert metric.name == "ViTScore (tiny)"
