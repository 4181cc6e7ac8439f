"""The embedded image encoder as it is shipped."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from semcomm.errors import ModelError
from semcomm.images import ImageSet
from semcomm.models.encoder import WEIGHTS, Encoder, load_encoder, squash
from semcomm.training.tasks.encoder_checks import stability


def test_the_shipped_file_is_small_and_has_a_card():
    assert WEIGHTS.stat().st_size <= 8_000_000
    card = WEIGHTS.with_suffix(".md").read_text()
    encoder = load_encoder()
    assert encoder.hash == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert encoder.hash in card
    assert "CC BY 4.0" in card
    assert "CC BY 2.0" in card
    assert len(encoder.card["unseen_classes"]) == 20
    assert all(name in card for name in encoder.card["unseen_classes"])
    assert load_encoder() is encoder


def test_embeddings_are_unit_vectors_the_same_in_every_batch(photograph):
    encoder = load_encoder()
    images = torch.stack([photograph, photograph.flip(1), 1 - photograph])
    embeddings = encoder.embed(images)
    assert embeddings.shape == (3, encoder.dimensions)
    assert embeddings.dtype == torch.float32
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.equal(embeddings, encoder.embed(images))
    assert torch.allclose(embeddings, encoder.embed(images, batch=2), atol=1e-5)
    assert encoder.embed(images[:0]).shape == (0, encoder.dimensions)


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (5, 300), (700, 40)])
def test_any_size_of_image(shape):
    embedding = load_encoder().embed(torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(0)))
    assert embedding.isfinite().all()
    assert squash(torch.ones(1, 3, *shape), 128).shape == (1, 3, 128, 128)


def test_the_cards_figures_are_found_again():
    encoder = load_encoder()
    figures = stability(encoder)
    assert figures.keys() == encoder.card["checks"].keys()
    for name, value in figures.items():
        assert value == pytest.approx(encoder.card["checks"][name], abs=0.002), name
    for part in ("cosine after JPEG", "pixels after JPEG"):
        damage = [value for name, value in figures.items() if part in name]
        assert damage == sorted(damage, reverse=True)  # worse coding, less alike
    unrelated = figures["cosine of unrelated photographs"]
    assert all(value > unrelated + 0.2 for name, value in figures.items() if "unrelated" not in name)


def test_a_photograph_is_nearer_to_its_shifted_self_than_to_any_other():
    images = [image[None] for _, image in ImageSet("builtin", size=128)]
    encoder = load_encoder()
    original = torch.cat([encoder.embed(image) for image in images])
    shifted = torch.cat([encoder.embed(image.roll(6, dims=3)) for image in images])
    assert torch.equal((original @ shifted.T).argmax(1), torch.arange(len(images)))


def test_what_cannot_be_embedded():
    with pytest.raises(ModelError, match=r"takes images \[B, 3, H, W\]"):
        load_encoder().embed(torch.rand(3, 8, 8))
    with pytest.raises(ModelError, match=r"takes images"):
        load_encoder().embed(torch.rand(1, 1, 8, 8))


def test_missing_damaged_and_foreign_files(tmp_path):
    path = tmp_path / "encoder.safetensors"
    with pytest.raises(ModelError, match="cannot be read"):
        Encoder.read(path)
    data = WEIGHTS.read_bytes()
    for damaged in (b"", data[:1000], data[:-10], b"rubbish" * 100):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="is damaged or holds no image encoder"):
            Encoder.read(path)
    card = {"card": json.dumps({"network": {"widths": [8], "depths": [1], "dimensions": 4}})}
    save_file(load_file(WEIGHTS), path, card)
    with pytest.raises(ModelError, match="is damaged or holds no image encoder"):
        Encoder.read(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="is damaged or holds no image encoder"):
        Encoder.read(path)
