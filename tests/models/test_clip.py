import pytest
import tiny_models
import torch
from PIL import Image

from semcomm import memo
from semcomm.errors import ModelError
from semcomm.images import quantise, to_bytes
from semcomm.models import embeddings
from semcomm.models.blip import Captioner
from semcomm.models.clip import CLIP


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_models.clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture
def images():
    return quantise(torch.rand(3, 3, 40, 56, generator=torch.Generator().manual_seed(3)))


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch):
    embeddings._embeddings.cache_clear()


def transformers_own(folder, images):
    """The same by transformers alone: its processor on PIL images, its model, no batch."""
    from transformers import CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPImageProcessorPil.from_pretrained(folder)
    found = []
    for image in images:
        pixels = processor(Image.fromarray(to_bytes(image)), return_tensors="pt")
        with torch.no_grad():
            found.append(model.get_image_features(**pixels).pooler_output[0])
    return torch.stack([v / v.norm() for v in found])


def test_images_are_embedded_as_by_transformers(folder, images):
    found = CLIP(str(folder)).embed_images(images)
    assert found.shape == (3, 24)
    assert torch.allclose(found, transformers_own(folder, images), atol=1e-6)


def test_images_of_several_sizes_go_together(folder, images):
    several = [images[0], images[1, :, :20, :50], images[2, :, :8, :8], images[2, :, :1, :1]]
    found = CLIP(str(folder)).embed_images(several)
    assert torch.allclose(found, transformers_own(folder, several), atol=1e-6)


def test_texts_are_embedded_as_by_transformers_and_cut_at_77_tokens(folder):
    from transformers import CLIPModel, CLIPTokenizer

    model, tokenizer = CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)
    texts = ["a dog", "", "x" * 10_000, "\x00\x07 control"]
    found = CLIP(str(folder)).embed_texts(texts)
    for text, ours in zip(texts, found):
        tokens = tokenizer([text], truncation=True, max_length=77, return_tensors="pt")
        with torch.no_grad():
            expected = model.get_text_features(**tokens).pooler_output[0]
        assert torch.allclose(ours, expected / expected.norm(), atol=1e-5)


def test_an_embedding_is_computed_once_whoever_asks(folder, images, monkeypatch):
    counted = []
    first, second = CLIP(str(folder)), CLIP(str(folder))
    embed = CLIP._embed
    monkeypatch.setattr(CLIP, "_embed", lambda self, images: (counted.append(len(images)), embed(self, images))[1])
    before = first.embed_images(images[:2])
    after = second.embed_images(torch.cat([images, images[:1]]))  # two known, one new, one twice
    assert counted == [2, 1]
    assert torch.equal(before, after[:2])
    assert torch.equal(after[0], after[3])
    CLIP(str(folder), precision="bf16").embed_images(images)
    assert counted == [2, 1, 3]


def test_what_is_kept_is_bounded(folder, images, monkeypatch):
    monkeypatch.setattr(embeddings._embeddings, "most", 2)
    assert CLIP(str(folder)).embed_images(images).shape == (3, 24)
    assert len(embeddings._embeddings) == 2


def test_bfloat16_is_close(folder, images):
    exact, half = (CLIP(str(folder), precision).embed_images(images) for precision in ("fp32", "bf16"))
    assert half.dtype == torch.float32
    assert (exact * half).sum(1).min() > 0.999


def test_a_folder_mixed_from_two_models_is_refused(tmp_path, images):
    mixed = tiny_models.clip(tmp_path / "mixed")
    other = tiny_models.clip(tmp_path / "other", size=48)
    (mixed / "preprocessor_config.json").write_bytes((other / "preprocessor_config.json").read_bytes())
    with pytest.raises(ModelError, match="images of 48 pixels, its network takes 32"):
        CLIP(str(mixed)).embed_images(images)


def test_captions_are_those_of_transformers_and_written_once(tmp_path, images, monkeypatch):
    from transformers import BertTokenizer, BlipForConditionalGeneration
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    folder = tiny_models.blip(tmp_path / "blip")
    with memo.using(memo.Memo(tmp_path / "memo")):
        captions = Captioner(str(folder)).captions(images)
    model = BlipForConditionalGeneration.from_pretrained(folder).eval()
    processor, tokenizer = BlipImageProcessorPil.from_pretrained(folder), BertTokenizer.from_pretrained(folder)
    for image, caption in zip(images, captions):
        pixels = processor(Image.fromarray(to_bytes(image)), return_tensors="pt")
        tokens = model.generate(**pixels, max_new_tokens=30, num_beams=1, do_sample=False)
        assert caption == tokenizer.decode(tokens[0], skip_special_tokens=True).strip()
    monkeypatch.setattr(Captioner, "_write", None)
    with memo.using(memo.Memo(tmp_path / "memo")):
        assert Captioner(str(folder)).captions(images.flip(0)) == captions[::-1]
