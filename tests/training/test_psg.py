import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_sam import small_sam

from semcomm.errors import ImageError, MetricError
from semcomm.metrics.sess.relations import predicates
from semcomm.models.relation_head import RelationHead, head_loss
from semcomm.models.sam_masks import embed, full_size, prompt
from semcomm.training.psg import PSG, interior_point, mask_tokens, recall

IDS = (7, 3226956, 500)
"""Ids of the segments: the second needs all three colours of a pixel."""


def make_set(folder: Path, names=None, count: int = 3) -> dict:
    """Write a small set in the format of PSG: three segments, left to right, in images 30 x 20."""
    rng = np.random.default_rng(0)
    segment = np.repeat(np.array(IDS), 10)[None].repeat(20, 0)
    colours = np.stack([segment % 256, segment // 256 % 256, segment // 65536], axis=2).astype(np.uint8)
    data = []
    for i in range(count):
        for name, pixels in (
            (f"val2017/{i:012}.jpg", rng.integers(0, 256, (20, 30, 3))),
            (f"pan/{i:012}.png", colours),
        ):
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
        data.append(
            {
                "image_id": str(100 + i),
                "file_name": f"val2017/{i:012}.jpg",
                "pan_seg_file_name": f"pan/{i:012}.png",
                "height": 20,
                "width": 30,
                "segments_info": [{"id": number, "category_id": 1} for number in IDS],
                "relations": [[0, 1, 4], [2, 0, 55], [0, 1, 4]],
            }
        )
    data[1]["relations"] = []
    return {"data": data, "predicate_classes": list(names or predicates()), "test_image_ids": ["102"]}


def opened(folder: Path, content: dict, split="train") -> PSG:
    (folder / "psg.json").write_text(json.dumps(content))
    return PSG(folder / "psg.json", folder, folder, split)


def test_it_is_read(tmp_path):
    content = make_set(tmp_path)
    train, test = opened(tmp_path, content), opened(tmp_path, content, "test")
    assert len(train) == len(test) == 1  # one of the three has no relations
    assert test[0].name == "val2017/000000000002.jpg"
    example = train[0]
    assert example.image.shape == (3, 20, 30) and example.masks.shape == (3, 20, 30)
    for i in range(3):
        assert example.masks[i, :, 10 * i : 10 * i + 10].all() and example.masks[i].sum() == 200
    assert example.target.nonzero().tolist() == [[4, 0, 1], [55, 2, 0]]


def test_predicates_in_another_order(tmp_path):
    names = predicates()[::-1]
    target = opened(tmp_path, make_set(tmp_path, names))[0].target
    assert target.nonzero().tolist() == [[0, 2, 0], [51, 0, 1]]
    with pytest.raises(ImageError, match="unknown predicates 'juggling'"):
        opened(tmp_path, make_set(tmp_path, ["juggling", *names[1:]]))


@pytest.mark.parametrize("key", ["data", "predicate_classes", "test_image_ids"])
def test_fields_of_the_file(tmp_path, key):
    content = make_set(tmp_path)
    del content[key]
    with pytest.raises(ImageError, match=f"psg.json: the file has no '{key}'"):
        opened(tmp_path, content)


@pytest.mark.parametrize("key", ["image_id", "file_name", "pan_seg_file_name", "height", "segments_info", "relations"])
def test_fields_of_an_image(tmp_path, key):
    content = make_set(tmp_path)
    del content["data"][0][key]
    with pytest.raises(ImageError, match=f"has no '{key}'"):
        opened(tmp_path, content)[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry.update(file_name="val2017/gone.jpg"), "gone.jpg: there is no such file"),
        (lambda entry: entry.update(pan_seg_file_name="pan/gone.png"), "gone.png: there is no such panoptic image"),
        (lambda entry: entry.update(pan_seg_file_name="psg.json"), "psg.json: cannot be read as an image"),
        (lambda entry: entry.update(height=21), "is 30x20, but 30x21"),
        (lambda entry: entry["segments_info"][1].update(id=8), "no pixel of segment 8"),
        (lambda entry: entry["segments_info"][1].pop("id"), "000000000000.jpg has no 'id'"),
        (lambda entry: entry["relations"].append([0, 3, 1]), r"relation \[0, 3, 1\], with 3 segments"),
        (lambda entry: entry["relations"].append([0, 1, 56]), r"relation \[0, 1, 56\]"),
        (lambda entry: entry["relations"].append([0, 1]), r"relation \[0, 1\]"),
        (lambda entry: entry["relations"].append([0, "1", 2]), r"relation \[0, '1', 2\]"),
    ],
)
def test_bad_images(tmp_path, change, message):
    content = make_set(tmp_path)
    change(content["data"][0])
    with pytest.raises(ImageError, match=message):
        opened(tmp_path, content)[0]


def test_a_panoptic_image_of_another_size(tmp_path):
    content = make_set(tmp_path)
    Image.new("RGB", (30, 10)).save(tmp_path / content["data"][0]["pan_seg_file_name"])
    with pytest.raises(ImageError, match=r"000000000000\.png is 30x10, but 30x20"):
        opened(tmp_path, content)[0]


def test_bad_files(tmp_path):
    with pytest.raises(ImageError, match="there is no such file"):
        PSG(tmp_path / "psg.json", tmp_path, tmp_path)
    (tmp_path / "psg.json").write_text('{"data": [')
    with pytest.raises(ImageError, match="cannot be read as JSON"):
        PSG(tmp_path / "psg.json", tmp_path, tmp_path)
    (tmp_path / "psg.json").write_text("[1, 2]")
    with pytest.raises(ImageError, match="has no 'predicate_classes'"):
        PSG(tmp_path / "psg.json", tmp_path, tmp_path)
    content = make_set(tmp_path)
    content["test_image_ids"] = []
    with pytest.raises(ImageError, match="no image of the test split"):
        opened(tmp_path, content, "test")


def test_interior_point():
    mask = torch.zeros(12, 12, dtype=torch.bool)
    mask[0:5, 2:9] = True
    mask[11, 0] = True
    assert interior_point(mask).tolist() == [4.5, 2.5]
    ring = torch.ones(9, 9, dtype=torch.bool)
    ring[1:8, 1:8] = False
    x, y = (int(value) for value in interior_point(ring))
    assert ring[y, x]
    assert interior_point(torch.ones(7, 7, dtype=torch.bool)).tolist() == [3.5, 3.5]


def test_tokens_of_true_masks(tmp_path):
    model = small_sam()
    example = opened(tmp_path, make_set(tmp_path))[0]
    tokens, overlap = mask_tokens(model, example.image, example.masks, point_batch=2)
    assert tokens.shape == (3, 32) and overlap.shape == (3,)
    embedding, (place,) = embed(model, [example.image])
    for i, mask in enumerate(example.masks):
        (answer,) = prompt(model, embedding, [interior_point(mask)[None]], [place], [(20, 30)])
        found = full_size(answer.logits[0], place, (20, 30)) > 0
        ious = [(each & mask).sum().item() / (each | mask).sum().item() for each in found]
        assert overlap[i].item() == pytest.approx(max(ious))
        torch.testing.assert_close(tokens[i], answer.tokens[0, int(np.argmax(ious))], rtol=1e-3, atol=1e-3)
    nothing, _ = mask_tokens(model, example.image, example.masks[:0])
    assert nothing.shape == (0, 32)
    for wrong in (example.masks[:, :10], torch.zeros(1, 20, 30, dtype=torch.bool)):
        with pytest.raises(MetricError, match="non-empty masks"):
            mask_tokens(model, example.image, wrong)


def test_a_head_learns_the_set(tmp_path):
    """From files to recall: it finds the relations that it was trained on, and did not before."""
    model = small_sam()
    example = opened(tmp_path, make_set(tmp_path))[0]
    tokens, _ = mask_tokens(model, example.image, example.masks)
    tokens = (tokens - tokens.mean(0)) / tokens.std(0)  # those of random weights hardly differ
    torch.manual_seed(0)
    head = RelationHead(token_width=32, width=16, heads=2, intermediate=32, feature_width=8, positions=2)
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-2)
    before = recall([head.scores(tokens)], [example.target], at=[2])
    for _ in range(60):
        optimiser.zero_grad()
        head_loss(head, [tokens], [example.target]).backward()
        optimiser.step()
    after = recall([head.scores(tokens)], [example.target], at=[2])
    assert before["recall@2"] < 1 and after == {"recall@2": 1.0, "mean_recall@2": 1.0}


def test_recall_by_hand():
    scores, target = torch.zeros(3, 3, 3), torch.zeros(3, 3, 3, dtype=torch.bool)
    scores[0, 0, 1], scores[1, 0, 1], scores[2, 1, 2], scores[0, 2, 0], scores[0, 1, 1] = 0.9, 0.8, 0.7, 0.6, 1.0
    target[0, 0, 1] = target[0, 2, 0] = target[2, 1, 2] = target[1, 2, 1] = True
    other_scores, other = torch.zeros(3, 2, 2), torch.zeros(3, 2, 2, dtype=torch.bool)
    other_scores[0, 0, 1], other_scores[2, 1, 0], other[2, 1, 0] = 0.1, 0.2, True
    found = recall([scores, other_scores, torch.zeros(3, 1, 1)], [target, other, torch.zeros(3, 1, 1)], at=[1, 3, 4])
    # ranks: image 1 predicate 0 at 0 and 3, predicate 2 at 2, predicate 1 after 4; image 2 predicate 2 at 0
    assert found["recall@1"] == pytest.approx((1 / 4 + 1) / 2)
    assert found["recall@3"] == pytest.approx((2 / 4 + 1) / 2)
    assert found["recall@4"] == pytest.approx((3 / 4 + 1) / 2)
    assert found["mean_recall@1"] == pytest.approx((1 / 2 + 0 + (0 + 1) / 2) / 3)
    assert found["mean_recall@3"] == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert found["mean_recall@4"] == pytest.approx((1 + 0 + 1) / 3)


def test_recall_of_nothing():
    with pytest.raises(MetricError, match="not defined"):
        recall([torch.zeros(3, 2, 2)], [torch.zeros(3, 2, 2)])
    with pytest.raises(MetricError, match="scores"):
        recall([torch.zeros(3, 2, 2)], [torch.zeros(3, 3, 3)])
