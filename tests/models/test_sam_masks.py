from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sam import small_sam

from semcomm.errors import MetricError
from semcomm.models import sam_masks as masks
from semcomm.models.sam_masks import (
    MaskSettings,
    bounding_boxes,
    box_nms,
    distinct,
    downscaled,
    embed,
    full_size,
    generate_masks,
    point_grid,
    prompt,
    stability_score,
)

ALL = MaskSettings(grid=6, predicted_iou=-100, stability=0, box_overlap=1, mask_overlap=1, point_batch=7)
"""Lets every mask through that is not empty or there twice."""


@pytest.fixture(scope="module")
def model():
    return small_sam()


@pytest.fixture(scope="module")
def image():
    return torch.rand(3, 48, 80, generator=torch.Generator().manual_seed(5))


def iou(a, b):
    return (a & b).sum().item() / max((a | b).sum().item(), 1)


def box_iou(a, b):
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(across, 0) * max(down, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 40), overlap=st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_box_nms_against_a_double_loop(seed, count, overlap):
    rng = np.random.default_rng(seed)
    corner, size = rng.integers(0, 20, (count, 2)), rng.integers(1, 20, (count, 2))
    boxes, scores = np.concatenate([corner, corner + size], axis=1), rng.integers(0, 12, count) / 10
    kept = []
    for i in sorted(range(count), key=lambda i: (-scores[i], i)):
        if all(box_iou(boxes[i], boxes[k]) <= overlap + 1e-9 for k in kept):
            kept.append(i)
    found = box_nms(torch.from_numpy(boxes), torch.from_numpy(scores), overlap + 1e-9)
    assert found.tolist() == kept


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 25), overlap=st.sampled_from([0.2, 0.5, 0.8]))
def test_distinct_against_a_double_loop(seed, count, overlap):
    rng = np.random.default_rng(seed)
    parents = rng.random((4, 9, 11)) < 0.5
    masks = parents[rng.integers(0, 4, count)] ^ (rng.random((count, 9, 11)) < 0.06)
    kept = []
    for i in sorted(range(count), key=lambda i: (-masks[i].sum(), i)):
        if all(iou(masks[i], masks[k]) <= overlap for k in kept):
            kept.append(i)
    assert distinct(np.packbits(masks.reshape(count, 99), axis=1), overlap).tolist() == kept


def test_stability_by_hand():
    logits = torch.tensor([[[3.0, 0.5], [-0.5, -3.0]], [[9.0, 9.0], [-9.0, -9.0]], [[-5.0, -5.0], [-5.0, -5.0]]])
    found = stability_score(logits, 1.0)
    assert found[:2].tolist() == [pytest.approx(1 / 3), 1.0] and torch.isnan(found[2])


def test_boxes_by_hand():
    masks = torch.zeros(3, 5, 7, dtype=torch.bool)
    masks[0, 1:3, 2:6] = masks[1, 4, 6] = masks[2] = True
    masks[0, 1, 2] = False
    assert bounding_boxes(masks).tolist() == [[2, 1, 6, 3], [6, 4, 7, 5], [0, 0, 7, 5]]
    assert bounding_boxes(masks[:0]).shape == (0, 4)


def test_grid_by_hand():
    assert point_grid(2, 40, 80).tolist() == [[20, 10], [60, 10], [20, 30], [60, 30]]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((600, 900), (533, 800)), ((600, 800), (600, 800)), ((8, 10000), (1, 800)), ((3200, 400), (1600, 200))],
)
def test_shrunk(shape, expected):
    assert downscaled(torch.rand(3, *shape), 800).shape[1:] == expected


def test_prompts_are_those_of_transformers(model, image):
    """Masks, scores and tokens against `SamModel` itself, asked point by point."""
    other = torch.rand(3, 64, 20, generator=torch.Generator().manual_seed(6))
    images, sizes = [image, other], [(48, 80), (64, 20)]
    embeddings, placements = embed(model, images)
    assert [tuple(place) for place in placements] == [(38, 64, 64), (64, 20, 64)]
    points = [point_grid(2, *size) for size in sizes]
    answers = prompt(model, embeddings, points, placements, sizes)
    tokens = []
    for network in model.mask_decoder.output_hypernetworks_mlps:
        network.register_forward_hook(lambda _module, inputs, _output: tokens.append(inputs[0]))
    for i, answer in enumerate(answers):
        scale = torch.tensor([placements[i].width / sizes[i][1], placements[i].height / sizes[i][0]])
        for k, point in enumerate(points[i]):
            tokens.clear()
            with torch.no_grad():
                expected = model(image_embeddings=embeddings[i : i + 1], input_points=(point * scale)[None, None, None])
            torch.testing.assert_close(answer.logits[k], expected.pred_masks[0, 0], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(answer.scores[k], expected.iou_scores[0, 0], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(answer.tokens[k], torch.cat(tokens[1:])[:, 0, :][:3].reshape(3, -1))
    for network in model.mask_decoder.output_hypernetworks_mlps:
        network._forward_hooks.clear()
    assert not model.mask_decoder.transformer._forward_hooks


def test_pixels_as_the_processor_makes_them(model, image):
    """Against transformers' own image processor, but for its rounding to 8 bits after scaling."""
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    from semcomm.images import to_bytes

    seen = []
    listener = model.vision_encoder.patch_embed.register_forward_pre_hook(
        lambda _module, inputs: seen.append(inputs[0])
    )
    embed(model, [image])
    listener.remove()
    processor = SamImageProcessorPil(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    expected = processor(to_bytes(image), return_tensors="pt")["pixel_values"]
    assert (seen[0] - expected).abs().max() < 2 / 255 / 0.22
    assert not seen[0][:, :, 38:].any()


def blobs(_model, embeddings, points, placements, sizes):
    """Stands in for SAM's answers: around each point three discs, sharp or soft, of sizes that depend on the point."""
    answers = []
    y, x = torch.meshgrid(torch.arange(32) * 2 + 1.0, torch.arange(32) * 2 + 1.0, indexing="ij")
    for xy, place, (height, width) in zip(points, placements, sizes):
        at = xy * torch.tensor([place.width / width, place.height / height])
        mixed = (at[:, :1] * 0.37 + at[:, 1:] * 0.73 + torch.tensor([0.11, 0.45, 0.78])) % 1
        radius, sharp = 2 + 25 * mixed, 1 + 3 * ((7 * mixed) % 1)
        distance = ((x - at[:, None, None, 0]) ** 2 + (y - at[:, None, None, 1]) ** 2).sqrt()
        logits = (radius[..., None, None] - distance[:, None]) * sharp[..., None, None]
        tokens = torch.stack([radius, sharp, mixed], dim=2).repeat(1, 1, 11)[..., :32]
        answers.append(masks.Prompted(logits, 0.5 + (11 * mixed) % 1 / 2, tokens))
    return answers


def by_hand(image, options):
    """The whole of mask generation, one point at a time, in plain steps."""
    place = masks.Placement(38, 64, 64)
    size, found = tuple(image.shape[1:]), []
    for point in point_grid(options.grid, *size):
        (answer,) = blobs(None, None, [point[None]], [place], [size])
        for logits, score, token in zip(answer.logits[0], answer.scores[0], answer.tokens[0]):
            large = full_size(logits[None], place, size)[0]
            inner, outer = (large > options.stability_offset).sum(), (large > -options.stability_offset).sum()
            mask = large > 0
            if score > options.predicted_iou and mask.any() and inner / outer >= options.stability:
                rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
                box = [columns[0].item(), rows[0].item(), columns[-1].item() + 1, rows[-1].item() + 1]
                found.append((score.item(), mask, token, box))
    kept = []
    for candidate in sorted(found, key=lambda each: -each[0]):
        if all(box_iou(candidate[3], other[3]) <= options.box_overlap for other in kept):
            kept.append(candidate)
    apart = []
    for candidate in sorted(kept, key=lambda each: -each[1].sum().item()):
        if all(iou(candidate[1], other[1]) <= options.mask_overlap for other in apart):
            apart.append(candidate)
    return len(found), len(kept), apart[: options.limit]


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, (108, 108, 108)),
        ({"box_overlap": 0.7}, (108, 74, 74)),
        ({"box_overlap": 0.8, "mask_overlap": 0.5}, (108, 87, 53)),
        ({"predicted_iou": 0.88, "stability": 0.9, "box_overlap": 0.7, "mask_overlap": 0.8}, (13, 11, 11)),
        ({"stability_offset": 3.0, "stability": 0.8, "box_overlap": 0.6}, (36, 12, 12)),
        ({"limit": 3}, (108, 108, 3)),
    ],
)
def test_generation_by_hand(model, image, monkeypatch, changes, counts):
    options = replace(ALL, **changes)
    passed, apart, expected = by_hand(image, options)
    assert (passed, apart, len(expected)) == counts  # so that each step has something to do
    monkeypatch.setattr(masks, "prompt", blobs)
    (found,) = generate_masks(model, [image], options)
    assert len(found) == len(expected) > 1
    for i, (score, mask, token, box) in enumerate(expected):
        assert found.scores[i].item() == pytest.approx(score)
        assert torch.equal(found.masks[i], mask)
        assert found.boxes[i].tolist() == box
        torch.testing.assert_close(found.tokens[i], token)
    area = found.masks.flatten(1).sum(1)
    assert (area[:-1] >= area[1:]).all() and found.masks.dtype == torch.bool


def test_batches_change_nothing(model, image):
    images = [image, image.flip(2)[:, :30], torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(2)), image]
    alone = generate_masks(model, images, ALL)
    together = generate_masks(model, images, replace(ALL, image_batch=3, point_batch=36))
    for one, other in zip(alone, together, strict=True):
        assert len(one) == len(other) > 0
        assert torch.equal(one.boxes, other.boxes)
        torch.testing.assert_close(one.tokens, other.tokens, rtol=1e-3, atol=1e-3)
    assert torch.equal(alone[0].masks, alone[3].masks)


@pytest.mark.parametrize("shape", [(8, 8), (1, 1), (6, 3000), (2000, 3), (64, 64)])
@pytest.mark.parametrize("one_colour", [True, False])
def test_any_image(model, shape, one_colour):
    image = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    if one_colour:
        image = torch.full_like(image, 0.4)
    (found,) = generate_masks(model, [image], replace(ALL, grid=3))
    assert found.masks.shape == (len(found), *shape) and found.masks.flatten(1).any(1).all()
    assert torch.equal(found.boxes, bounding_boxes(found.masks))
    assert found.scores.shape == (len(found),) and found.tokens.shape == (len(found), 32)


def test_masks_of_a_large_image_come_back_at_its_size(model, image):
    large = image.repeat_interleave(5, 1).repeat_interleave(5, 2)
    options = replace(ALL, grid=2, max_width=80, box_overlap=0.9, mask_overlap=0.7)
    (found,), (small,) = (
        generate_masks(model, [large], options),
        generate_masks(model, [downscaled(large, 80)], options),
    )
    assert torch.equal(found.masks, small.masks.repeat_interleave(5, 1).repeat_interleave(5, 2))
    assert torch.equal(found.boxes, small.boxes * 5)


def test_no_masks_is_a_result(model, image):
    (found,) = generate_masks(model, [image], replace(ALL, predicted_iou=1e9))
    assert len(found) == 0 and found.masks.shape == (0, 48, 80) and found.boxes.shape == (0, 4)
    assert found.tokens.shape == (0, 32) and found.scores.shape == (0,)
    assert generate_masks(model, [], ALL) == []


def test_half_precision(image):
    model = small_sam()
    (full,) = generate_masks(model, [image], ALL)
    (half,) = generate_masks(model.bfloat16(), [image], ALL)
    assert half.tokens.dtype == half.scores.dtype == torch.float32
    assert len(half) > 1
    assert iou(full.masks[0], half.masks[0]) > 0.9


def test_settings_that_cannot_be():
    with pytest.raises(MetricError, match="grid is 0"):
        MaskSettings(grid=0)
