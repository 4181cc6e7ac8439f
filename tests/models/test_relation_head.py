"""`relation_head.safetensors` is the project's golden vector: a small head made and run with the SeSS authors' code
(small random weights in their layout, evaluation mode), Apache-2.0."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from semcomm.errors import ModelError
from semcomm.models.relation_head import RelationHead, head_loss, relation_losses

GOLDEN = load_file(Path(__file__).parent / "relation_head.safetensors")
STATE = {name.removeprefix("model."): tensor for name, tensor in GOLDEN.items() if name.startswith("model.")}


@pytest.fixture(scope="module")
def head():
    return RelationHead.from_state(STATE, heads=4)


def test_golden_logits_and_loss(head):
    with torch.no_grad():
        logits = head(GOLDEN["input"])
    torch.testing.assert_close(logits, GOLDEN["logits"], rtol=0, atol=1e-5)
    torch.testing.assert_close(
        relation_losses(logits, GOLDEN["target"])[0], GOLDEN["loss_per_relation"], rtol=0, atol=1e-5
    )


def test_padding_changes_nothing(head):
    """Three images of 9, 5 and 1 masks, alone and side by side."""
    images = [GOLDEN["input"], GOLDEN["input"][:, :5], GOLDEN["input"][:, 8:]]
    padded = torch.zeros(3, 9, 32)
    present = torch.zeros(3, 9, dtype=torch.bool)
    for row, image in enumerate(images):
        padded[row, : image.shape[1]], present[row, : image.shape[1]] = image[0], True
    with torch.no_grad():
        found = head(padded, present)
        for row, image in enumerate(images):
            n = image.shape[1]
            torch.testing.assert_close(found[row, :, :n, :n], head(image)[0], rtol=0, atol=1e-5)
            assert (found[row, :, n:] == -9999).all() and (found[row, :, :, n:] == -9999).all()


def test_a_start_from_bert(head):
    bert = {name.removeprefix("model."): tensor for name, tensor in STATE.items() if name.startswith("model.")}
    fresh = RelationHead(32, 48, 4, 96, 2, 16, 56, 64)
    fresh.start_from_bert(bert | {"encoder.layer.2.output.dense.bias": torch.zeros(48)})
    assert all(torch.equal(a, b) for a, b in zip(fresh.model.parameters(), head.model.parameters()))
    with pytest.raises(ModelError, match="no BERT"):
        fresh.start_from_bert({})
    with pytest.raises(ModelError, match="sizes"):
        RelationHead(32, 24, 4, 96, 2, 16, 56, 64).start_from_bert(bert)


def test_the_authors_sizes():
    names = {name: tensor.shape for name, tensor in RelationHead().state_dict().items()}
    assert names["fc_input.0.weight"] == (768, 256)
    assert names["model.embeddings.position_embeddings.weight"] == (512, 768)
    assert names["model.encoder.layer.1.intermediate.dense.weight"] == (3072, 768)
    assert names["cls_sub.weight"] == names["cls_obj.weight"] == (56 * 512, 768)
    unused = {name for name in STATE if "word_embeddings" in name or "pooler" in name}
    assert names.keys() == STATE.keys() - unused


def test_loss_by_hand():
    """Two pairs hold, with logits 1 and -2; two do not, with logits 0.5 and 3."""
    logits = torch.tensor([1.0, -2.0, 0.5, 3.0]).reshape(1, 1, 2, 2)
    target = torch.tensor([1, 1, 0, 0]).reshape(1, 1, 2, 2)
    expected = np.log(1 + np.exp(-1) + np.exp(2)) + np.log(1 + np.exp(0.5) + np.exp(3))
    assert relation_losses(logits, target).item() == pytest.approx(expected, rel=1e-6)


def test_loss_of_a_batch_is_that_of_its_images(head):
    generator = torch.Generator().manual_seed(3)
    counts = (4, 1, 7)
    tokens = [torch.randn(n, 32, generator=generator) for n in counts]
    targets = [torch.rand(56, n, n, generator=generator) < 0.1 for n in counts]
    with torch.no_grad():
        alone = torch.cat([relation_losses(head(t[None]), y[None]) for t, y in zip(tokens, targets)])
        expected = (alone * alone / alone.max()).mean()
        torch.testing.assert_close(head_loss(head, tokens, targets), expected, rtol=1e-5, atol=0)


def test_it_learns():
    torch.manual_seed(0)
    head = RelationHead(token_width=8, width=16, heads=2, intermediate=32, feature_width=8, predicates=3, positions=2)
    head.train()
    tokens, targets = [torch.randn(4, 8), torch.randn(3, 8)], [torch.rand(3, 4, 4) < 0.2, torch.rand(3, 3, 3) < 0.2]
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-2)
    first = head_loss(head, tokens, targets).item()
    for _ in range(60):
        optimiser.zero_grad()
        head_loss(head, tokens, targets).backward()
        optimiser.step()
    head.eval()
    assert head_loss(head, tokens, targets).item() < first / 10
    for each, target in zip(tokens, targets):
        assert torch.equal(head(each[None])[0] > 0, target)


def test_scores(head):
    assert head.scores(torch.zeros(0, 32)).shape == (56, 0, 0)
    scores = head.scores(GOLDEN["input"][0])
    expected = torch.sigmoid(GOLDEN["logits"][0]) * (1 - torch.eye(9))
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5)
    with pytest.raises(ModelError, match="width 32, not 256"):
        head.scores(torch.zeros(2, 256))


def test_order_of_masks_does_not_matter(head):
    order = torch.tensor([3, 1, 8, 0, 2, 7, 5, 4, 6])
    tokens = GOLDEN["input"][0]
    torch.testing.assert_close(
        head.scores(tokens[order]), head.scores(tokens)[:, order][:, :, order], rtol=0, atol=1e-5
    )


def test_files(tmp_path, head):
    """As a training script leaves it, and as safetensors."""
    pickled = tmp_path / "ram_epoch12.pth"
    torch.save({"model": {f"module.{name}": tensor for name, tensor in STATE.items()}, "epoch": 12}, pickled)
    with pytest.raises(ModelError, match="trust_pickle=True"):
        RelationHead.load(pickled, heads=4)
    save_file(STATE, tmp_path / "head.safetensors")
    for loaded in (
        RelationHead.load(pickled, heads=4, trust_pickle=True),
        RelationHead.load(tmp_path / "head.safetensors", heads=4),
    ):
        assert not loaded.training
        assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), head.state_dict().values()))


def test_wrong_layouts(tmp_path):
    for missing in ("fc_input.0.weight", "cls_obj.bias", "model.encoder.layer.0.intermediate.dense.weight"):
        with pytest.raises(ModelError, match=missing.replace(".", r"\.")):
            RelationHead.from_state({k: v for k, v in STATE.items() if k != missing}, heads=4)
    with pytest.raises(ModelError, match="layout"):
        RelationHead.from_state(STATE | {"surplus": torch.zeros(1)}, heads=4)
    with pytest.raises(ModelError, match="5 attention heads"):
        RelationHead.from_state(STATE, heads=5)
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"other\.safetensors.*no relation head"):
        RelationHead.load(tmp_path / "other.safetensors")
