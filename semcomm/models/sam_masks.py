"""The objects of an image: automatic mask generation with SAM.

A. Kirillov et al., "Segment Anything", ICCV 2023, appendix B, with the de-duplication of the SeSS authors. The model is
transformers' `SamModel`, loaded by whoever calls; prompting it and all that follows is here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from semcomm.errors import MetricError

if TYPE_CHECKING:
    from transformers import SamModel

SAM_MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue in [0, 1] that SAM's encoder expects to be subtracted."""
SAM_STD = (0.229, 0.224, 0.225)
"""And what to divide by then."""
CHUNK_PIXELS = 2**25
"""Mask logits (`float32`) that are brought to the size of an image at once: 128 MiB."""
SINGLE_MASK_OUTPUTS = 1
"""The first mask of SAM's decoder is for prompts without ambiguity; the others are whole, part and subpart."""


@dataclass(frozen=True)
class MaskSettings:
    """Settings of the generation of masks. The defaults are SAM's and the SeSS authors'.

    What costs time is the points: the default grid has 1,024. Without a GPU, `grid=8` has 64, and misses small objects.

    Attributes:
        grid: SAM is asked at grid x grid points.
        predicted_iou: masks for which SAM predicts a lower IoU are dropped.
        stability: masks whose stability score is lower are dropped.
        stability_offset: of the logits, up and down, between which a stable mask hardly changes.
        box_overlap: of two masks whose boxes have a larger IoU, the one with the lower predicted IoU is dropped.
        mask_overlap: of two masks with a larger IoU, the smaller is dropped.
        limit: the largest so many masks are kept.
        max_width: wider images are scaled to this width (and higher ones to twice this height) before anything else.
        point_batch: points given to SAM's decoder at once, per image.
        image_batch: images given to SAM at once.
    """

    grid: int = 32
    predicted_iou: float = 0.88
    stability: float = 0.95
    stability_offset: float = 1.0
    box_overlap: float = 0.7
    mask_overlap: float = 0.8
    limit: int = 512
    max_width: int = 800
    point_batch: int = 64
    image_batch: int = 1

    def __post_init__(self) -> None:
        for name in ("grid", "limit", "max_width", "point_batch", "image_batch"):
            if getattr(self, name) < 1:
                raise MetricError(f"masks: {name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True)
class ObjectMasks:
    """The masks of one image, the largest first. There may be none.

    Attributes:
        masks: `bool` [n, H, W] at the size of the image that was given, on the CPU.
        scores: the IoU that SAM predicts for each, `float32` [n].
        tokens: what SAM's decoder made of each, `float32` [n, 256]: input of the relation head.
        boxes: of each, in pixels, `int64` [n, 4]: left, top, and right and bottom just outside.
    """

    masks: Tensor
    scores: Tensor
    tokens: Tensor
    boxes: Tensor

    def __len__(self) -> int:
        return len(self.masks)


class Prompted(NamedTuple):
    """SAM's answer to points: of each, its three masks.

    Attributes:
        logits: [P, 3, h, w] at the decoder's size (256 x 256), above 0 inside.
        scores: predicted IoU [P, 3].
        tokens: [P, 3, 256].
    """

    logits: Tensor
    scores: Tensor
    tokens: Tensor


class Placement(NamedTuple):
    """The place of an image in SAM's square input: at the top left, scaled to `height` x `width` of `side` x `side`."""

    height: int
    width: int
    side: int


def generate_masks(
    model: "SamModel",
    images: Sequence[Tensor],
    settings: MaskSettings | None = None,
    mean: Sequence[float] = SAM_MEAN,
    std: Sequence[float] = SAM_STD,
) -> list[ObjectMasks]:
    """Find the objects of images, of which nothing is known but the pixels.

    Runs in the model's own precision and on its device; masks are made in `float32`. The memory, beside the model's, is
    about `image_batch` x `point_batch` x 33 MiB for SAM's decoder (17 in bf16), a bit per pixel of each candidate, and
    n x H x W bytes for the result: for huge images, pass `downscaled` ones.

    Args:
        model: in evaluation mode.
        images: [3, H, W] in [0, 1], of any sizes.
        settings: SAM's and the authors' unless given.
        mean: of the colours, for the model.
        std: the same.

    Returns:
        The masks of each image.
    """
    settings = settings or MaskSettings()
    found = []
    for start in range(0, len(images), settings.image_batch):
        found += _generate(model, images[start : start + settings.image_batch], settings, mean, std)
    return found


@torch.no_grad()
def _generate(model, images, settings, mean, std) -> list[ObjectMasks]:
    small = [downscaled(image, settings.max_width) for image in images]
    embeddings, placements = embed(model, small, mean, std)
    grids = [point_grid(settings.grid, *image.shape[1:]) for image in small]
    width = model.config.mask_decoder_config.hidden_size
    candidates = [_Candidates(image.shape[1:], place, width, settings) for image, place in zip(small, placements)]
    for start in range(0, settings.grid**2, settings.point_batch):
        points = [grid[start : start + settings.point_batch] for grid in grids]
        answers = prompt(model, embeddings, points, placements, [image.shape[1:] for image in small])
        for candidate, answer in zip(candidates, answers):
            candidate.add(answer)
    return [candidate.kept(image.shape[1:]) for candidate, image in zip(candidates, images)]


def downscaled(image: Tensor, max_width: int) -> Tensor:
    """Return [3, H, W] with at most `max_width` columns and twice as many rows, in proportion."""
    height, width = image.shape[1:]
    scale = min(1.0, max_width / width, 2 * max_width / height)
    if scale == 1:
        return image
    return _scaled(image, max(1, round(height * scale)), max(1, round(width * scale)))


def _scaled(image: Tensor, height: int, width: int) -> Tensor:
    return interpolate(image[None].float(), (height, width), mode="bilinear", antialias=True)[0]


def point_grid(count: int, height: int, width: int) -> Tensor:
    """Return the centres of count x count equal cells of an image as (x, y) in pixels, [count², 2], row by row."""
    centres = (torch.arange(count) + 0.5) / count
    y, x = torch.meshgrid(centres * height, centres * width, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


@torch.no_grad()
def embed(
    model: "SamModel", images: Sequence[Tensor], mean: Sequence[float] = SAM_MEAN, std: Sequence[float] = SAM_STD
) -> tuple[Tensor, list[Placement]]:
    """Return SAM's embeddings of images [B, 256, h, w], and how each image was laid into its square input.

    The longer side is scaled to the model's, the rest at the right or the bottom is zero.
    """
    side = model.config.vision_config.image_size
    weight = model.vision_encoder.patch_embed.projection.weight
    offset, scale = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
    squares, placements = [], []
    for image in images:
        factor = side / max(image.shape[1:])
        place = Placement(*(max(1, round(length * factor)) for length in image.shape[1:]), side)
        square = (_scaled(image.cpu(), place.height, place.width).clamp(0, 1) - offset) / scale
        squares.append(pad(square, (0, side - place.width, 0, side - place.height)))
        placements.append(place)
    return model.get_image_embeddings(torch.stack(squares).to(weight)), placements


@torch.no_grad()
def prompt(
    model: "SamModel",
    embeddings: Tensor,
    points: Sequence[Tensor],
    placements: Sequence[Placement],
    sizes: Sequence[tuple[int, int]],
) -> list[Prompted]:
    """Ask SAM what lies at points, one mask prompt per point, for several images at once.

    Points are encoded here, in `float32`: half precision would move them by several pixels. The tokens are what the
    decoder's transformer gives for its mask tokens, before the networks that turn them into masks; `SamModel` does not
    return them, so a hook listens to that transformer.

    Args:
        model: SAM.
        embeddings: of B images, from `embed`.
        points: of each image P points (x, y) in its pixels, [P, 2].
        placements: from `embed`.
        sizes: (height, width) of each image.

    Returns:
        The answer for each image.
    """
    scaled = [
        xy * torch.tensor([place.width / width, place.height / height])
        for xy, place, (height, width) in zip(points, placements, sizes)
    ]
    dtype, device = embeddings.dtype, embeddings.device
    side = placements[0].side
    encoder = model.prompt_encoder
    at = _encoded(model, (torch.stack(scaled).to(device) + 0.5) / side)  # SAM takes a point for its pixel's corner
    sparse = torch.stack(
        [at + encoder.point_embed[1].weight[0], encoder.not_a_point_embed.weight[0].expand_as(at)], dim=2
    )
    rows, columns = embeddings.shape[-2:]
    cells = point_grid(columns, 1, 1).to(device)
    position = _encoded(model, cells).T.unflatten(1, (rows, columns))[None].to(dtype)
    seen: list[Tensor] = []
    listener = model.mask_decoder.transformer.register_forward_hook(lambda _module, _inputs, out: seen.append(out[0]))
    try:
        logits, scores = model.mask_decoder(
            image_embeddings=embeddings,
            image_positional_embeddings=position.expand(len(embeddings), -1, -1, -1),
            sparse_prompt_embeddings=sparse.to(dtype),
            dense_prompt_embeddings=encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(embeddings),
            multimask_output=True,
        )
    finally:
        listener.remove()
    first = 1 + SINGLE_MASK_OUTPUTS  # the transformer's first token is for the predicted IoU
    tokens = seen[0][:, :, first : first + logits.shape[2]]
    return [Prompted(*answer) for answer in zip(logits, scores.float(), tokens.float())]


def _encoded(model: "SamModel", points: Tensor) -> Tensor:
    """Encode points (x, y) in [0, 1]² by random Fourier features (section A of the SAM paper), in `float32`."""
    angles = 2 * math.pi * (2 * points - 1) @ model.shared_image_embedding.positional_embedding.float()
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def full_size(logits: Tensor, place: Placement, size: tuple[int, int]) -> Tensor:
    """Bring mask logits [m, h, w] of the decoder to the image's size, `float32` [m, H, W], as SAM does."""
    square = interpolate(logits[None].float(), (place.side, place.side), mode="bilinear")
    inside = square[..., : place.height, : place.width]
    return interpolate(inside, tuple(size), mode="bilinear")[0]


class _Candidates:
    """The masks of one image that passed SAM's filters, a bit per pixel, until all points were asked."""

    def __init__(self, size: tuple[int, int], place: Placement, width: int, settings: MaskSettings) -> None:
        self.size, self.place, self.settings = tuple(size), place, settings
        self.packed = [np.zeros((0, math.ceil(math.prod(size) / 8)), np.uint8)]
        self.scores = [torch.zeros(0)]
        self.tokens = [torch.zeros(0, width)]
        self.boxes = [torch.zeros(0, 4, dtype=torch.int64)]

    def add(self, answer: Prompted) -> None:
        """Filter the masks of some points; no more of them than fit a chunk exist at full size at once."""
        sure = answer.scores.flatten() > self.settings.predicted_iou
        if not sure.any():
            return
        chosen = (part.flatten(0, 1)[sure] for part in answer)
        pixels = max(math.prod(self.size), self.place.side**2)
        pieces = (part.split(max(1, CHUNK_PIXELS // pixels)) for part in chosen)
        for logits, scores, tokens in zip(*pieces):
            large = full_size(logits, self.place, self.size)
            stable = stability_score(large, self.settings.stability_offset) >= self.settings.stability
            masks = large[stable] > 0
            filled = masks.flatten(1).any(1)
            masks = masks[filled]
            self.boxes.append(bounding_boxes(masks).cpu())
            self.packed.append(np.packbits(masks.flatten(1).cpu().numpy(), axis=1))
            self.scores.append(scores[stable][filled].cpu())
            self.tokens.append(tokens[stable][filled].cpu())

    def kept(self, size: tuple[int, int]) -> ObjectMasks:
        """Return what remains after box NMS and de-duplication, at `size`."""
        packed, scores = np.concatenate(self.packed), torch.cat(self.scores)
        best = box_nms(torch.cat(self.boxes), scores, self.settings.box_overlap)
        kept = best[distinct(packed[best], self.settings.mask_overlap)][: self.settings.limit]
        pixels = math.prod(self.size)
        masks = torch.zeros(len(kept), *size, dtype=torch.bool)
        for mask, bits in zip(masks, packed[kept]):
            mask[:] = _enlarged(torch.from_numpy(np.unpackbits(bits, count=pixels)).reshape(self.size), *size)
        boxes = torch.cat([self.boxes[0], *(bounding_boxes(mask[None]) for mask in masks)])
        return ObjectMasks(masks, scores[kept], torch.cat(self.tokens)[kept], boxes)


def _enlarged(mask: Tensor, height: int, width: int) -> Tensor:
    """Return `uint8` [h, w] as [height, width], both at least as large, by the nearest pixel."""
    return interpolate(mask[None, None], (height, width), mode="nearest-exact")[0, 0]


def stability_score(logits: Tensor, offset: float) -> Tensor:
    """Return the IoU of each mask cut at the logit `offset` with itself cut at -`offset`: [m, H, W] -> [m].

    1 for sharp edges. NaN, which passes no filter, where nothing is above -`offset`.
    """
    return (logits > offset).flatten(1).sum(1) / (logits > -offset).flatten(1).sum(1)


def bounding_boxes(masks: Tensor) -> Tensor:
    """Return left, top, and right and bottom just outside, of masks that are not empty: `bool` [m, H, W] -> [m, 4]."""
    sides = []
    for lines in (masks.any(1), masks.any(2)):
        first = lines.int().argmax(1)
        last = lines.shape[1] - lines.flip(1).int().argmax(1)
        sides.append((first, last))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], dim=1)


def box_nms(boxes: Tensor, scores: Tensor, overlap: float) -> np.ndarray:
    """Return the indices of the boxes that remain, best first: none overlaps a better one that remains too much.

    Args:
        boxes: left, top, right, bottom, [n, 4].
        scores: [n]; of equal ones the earlier is the better.
        overlap: the largest IoU that two boxes that remain may have.
    """
    order = torch.argsort(scores, descending=True, stable=True).numpy()
    left, top, right, bottom = boxes.numpy()[order].T.astype(np.float32)
    area = (right - left) * (bottom - top)
    dropped = np.zeros(len(order), dtype=bool)
    for i in range(len(order)):
        if not dropped[i]:
            after = slice(i + 1, None)
            across = np.minimum(right[i], right[after]) - np.maximum(left[i], left[after])
            down = np.minimum(bottom[i], bottom[after]) - np.maximum(top[i], top[after])
            common = across.clip(0) * down.clip(0)
            dropped[after] |= common > overlap * (area[i] + area[after] - common)
    return order[~dropped]


def distinct(packed: np.ndarray, overlap: float) -> np.ndarray:
    """Return the indices of the masks that remain, largest first: none is too much like a larger one that remains.

    Args:
        packed: a bit per pixel, `uint8` [n, bytes].
        overlap: the largest IoU that two masks that remain may have.
    """
    packed = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
    area = np.bitwise_count(packed).sum(axis=1, dtype=np.int64)
    kept: list[int] = []
    for i in np.argsort(-area, kind="stable"):
        similar = [k for k in kept if area[i] > overlap * area[k]]  # the IoU is at most the ratio of the areas
        common = np.array([np.bitwise_count(packed[i] & packed[k]).sum(dtype=np.int64) for k in similar])
        if not (common > overlap * (area[i] + area[similar] - common)).any():
            kept.append(int(i))
    return np.array(kept, dtype=np.int64)
