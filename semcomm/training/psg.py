"""The PSG dataset, for training and judging a relation head.

J. Yang et al., "Panoptic Scene Graph Generation", ECCV 2022 (psgdataset.org): COCO images, their panoptic masks, and
the relations between the masks. It is read as it is distributed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from semcomm.errors import ImageError, MetricError
from semcomm.guard.decoders import PILLOW_ERRORS
from semcomm.images import read_image
from semcomm.metrics.sess.relations import predicates
from semcomm.models.sam_masks import SAM_MEAN, SAM_STD, downscaled, embed, full_size, prompt
from semcomm.parsing import parse_json

if TYPE_CHECKING:
    from transformers import SamModel

MAX_SEGMENTS = 1000
RECALL_AT = (20, 50, 100)
"""Numbers of best triplets among which the true ones are searched."""


@dataclass(frozen=True)
class Annotated:
    """One image of the dataset.

    Attributes:
        name: the file of the image, in the image folder.
        image: [3, H, W] in [0, 1].
        masks: of the segments, in the order of the file, `bool` [n, H, W].
        target: true where a relation holds from subject (row) to object (column), `bool` [56, n, n].
    """

    name: str
    image: Tensor
    masks: Tensor
    target: Tensor


class PSG:
    """The images of `psg.json` that have relations.

    Fields used: `predicate_classes`, `test_image_ids`, and of each entry of `data` `image_id`, `file_name`,
    `pan_seg_file_name`, `height`, `width`, the `id` of each of `segments_info`, and `relations`: triplets of subject,
    object (positions in `segments_info`) and predicate (position in `predicate_classes`), from 0.

    Args:
        annotations: the file `psg.json`.
        images: the folder that `file_name` starts from, such as COCO's with `train2017` and `val2017` in it.
        panoptic: the folder that `pan_seg_file_name` starts from, with `panoptic_train2017` and `panoptic_val2017`.
        split: those in `test_image_ids` (`test`), or the others (`train`).

    Raises:
        ImageError: when the file is missing, no JSON, or lacks a field; messages name the image.
    """

    def __init__(
        self,
        annotations: str | Path,
        images: str | Path,
        panoptic: str | Path,
        split: Literal["train", "test"] = "train",
    ) -> None:
        self.annotations, self.images, self.panoptic = Path(annotations), Path(images), Path(panoptic)
        content = _parsed(self.annotations)
        names = self._field(content, "predicate_classes", "the file", list)
        unknown = [name for name in names if name not in predicates()]
        if unknown:
            raise ImageError(f"{self.annotations}: unknown predicates {', '.join(map(repr, unknown))}")
        self._predicate = [predicates().index(name) for name in names]
        held_out = set(map(str, self._field(content, "test_image_ids", "the file", list)))
        self._entries = []
        for number, entry in enumerate(self._field(content, "data", "the file", list)):
            chosen = (str(self._field(entry, "image_id", f"entry {number}")) in held_out) == (split == "test")
            if chosen and self._field(entry, "relations", f"entry {number}", list):
                self._entries.append(entry)
        if not self._entries:
            raise ImageError(f"{self.annotations}: no image of the {split} split has relations")

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Annotated:
        """Read one image.

        Raises:
            ImageError: when a file is missing or of the wrong size, or the annotation contradicts itself.
        """
        entry = self._entries[index]
        name = self._field(entry, "file_name", f"image {index}", str)
        size = self._field(entry, "height", name, int), self._field(entry, "width", name, int)
        image = read_image(self.images / name)
        if image.shape[1:] != size:
            found = f"{image.shape[2]}x{image.shape[1]}"
            raise ImageError(f"{self.images / name} is {found}, but {size[1]}x{size[0]} in {self.annotations}")
        segments = self._field(entry, "segments_info", name, list)
        ids = [self._field(segment, "id", name, int) for segment in segments]
        if len(ids) > MAX_SEGMENTS or not all(0 <= number < 2**24 for number in ids):
            raise ImageError(
                f"{self.annotations}: {name} has more than {MAX_SEGMENTS} segments, or an id beyond 24 bits"
            )
        masks = self._masks(self.panoptic / self._field(entry, "pan_seg_file_name", name, str), ids, size)
        return Annotated(name, image, masks, self._target(entry["relations"], len(ids), name))

    def _field(self, holder: dict, key: str, where: str, kind: type = object):
        if not isinstance(holder, dict) or key not in holder or not isinstance(holder[key], kind):
            raise ImageError(
                f"{self.annotations}: {where} has no {key!r} as it should be; is this the PSG dataset's file?"
            )
        return holder[key]

    def _masks(self, path: Path, ids: Sequence[int], size: tuple[int, int]) -> Tensor:
        """Take the panoptic PNG apart: the id of a pixel's segment is R + 256·G + 256²·B (the COCO panoptic format)."""
        try:
            with Image.open(path, formats=["PNG"]) as file:
                if file.size != size[::-1]:  # so what is too large is not decoded
                    found = f"{file.size[0]}x{file.size[1]}"
                    raise ImageError(f"{path} is {found}, but {size[1]}x{size[0]} in {self.annotations}")
                colours = np.asarray(file.convert("RGB")).astype(np.int64)
        except FileNotFoundError:
            raise ImageError(f"{path}: there is no such panoptic image") from None
        except (*PILLOW_ERRORS, MemoryError) as error:
            raise ImageError(f"{path}: cannot be read as an image ({error})") from None
        segment = colours @ np.array([1, 256, 256**2])
        masks = torch.from_numpy(segment[None] == np.array(ids, dtype=np.int64)[:, None, None])
        for number, mask in zip(ids, masks):
            if not mask.any():
                raise ImageError(f"{path}: no pixel of segment {number}, which {self.annotations} has")
        return masks

    def _target(self, triplets: Sequence[Sequence[int]], count: int, name: str) -> Tensor:
        target = torch.zeros(len(predicates()), count, count, dtype=torch.bool)
        limits = (count, count, len(self._predicate))
        for triplet in triplets:
            whole = isinstance(triplet, list) and len(triplet) == 3 and all(type(value) is int for value in triplet)
            if not whole or not all(value in range(limit) for value, limit in zip(triplet, limits)):
                raise ImageError(
                    f"{self.annotations}: {name} has the relation {triplet}, with {count} segments and "
                    f"{len(self._predicate)} predicates"
                )
            subject, object_, predicate = triplet
            target[self._predicate[predicate], subject, object_] = True
        return target


def _parsed(path: Path) -> dict:
    try:
        return parse_json(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such file") from None
    except (ValueError, IsADirectoryError) as error:
        raise ImageError(f"{path}: cannot be read as JSON ({error})") from None


@torch.no_grad()
def mask_tokens(
    model: "SamModel",
    image: Tensor,
    masks: Tensor,
    max_width: int = 800,
    point_batch: int = 64,
    mean: Sequence[float] = SAM_MEAN,
    std: Sequence[float] = SAM_STD,
) -> tuple[Tensor, Tensor]:
    """Return SAM's token for each of given masks, so that a head can be trained on true masks.

    SAM is asked at the point of the mask that is farthest from its edge, and of its three answers that with the highest
    IoU with the mask gives the token. A point, not a box, because automatic mask generation prompts with points too:
    the head then meets the same kind of token in training and in use. It costs one prompt a mask, not a grid of them.

    Args:
        model: SAM, in evaluation mode.
        image: [3, H, W] in [0, 1].
        masks: `bool` [n, H, W], none of them empty.
        max_width: as in `MaskSettings`.
        point_batch: the same.
        mean: of the colours, for the model.
        std: the same.

    Returns:
        `float32` tokens [n, 256], and the IoU [n] of SAM's mask with the given one, both on the CPU.
    """
    if masks.ndim != 3 or masks.shape[1:] != image.shape[1:] or not masks.flatten(1).any(1).all():
        raise MetricError(f"masks of shape {list(masks.shape)} are not non-empty masks of {list(image.shape)}")
    if not len(masks):
        return torch.zeros(0, model.config.mask_decoder_config.hidden_size), torch.zeros(0)
    small = downscaled(image, max_width)
    size = small.shape[1:]
    scale = torch.tensor([size[1] / image.shape[2], size[0] / image.shape[1]])
    points = torch.stack([interior_point(mask) for mask in masks]) * scale
    embedding, (place,) = embed(model, [small], mean, std)
    tokens, overlaps = [], []
    for some, true in zip(points.split(point_batch), masks.split(point_batch)):
        (answer,) = prompt(model, embedding, [some], [place], [size])
        for logits, its_tokens, mask in zip(answer.logits.cpu(), answer.tokens.cpu(), true.cpu()):
            found = full_size(logits, place, image.shape[1:]) > 0
            overlap = (found & mask).sum((1, 2)) / (found | mask).sum((1, 2))
            best = int(overlap.argmax())
            tokens.append(its_tokens[best])
            overlaps.append(overlap[best])
    return torch.stack(tokens), torch.stack(overlaps)


def interior_point(mask: Tensor) -> Tensor:
    """Return the centre of the pixel of a mask [H, W] that is farthest from its edge, as (x, y) in pixels.

    Outside the image is outside the mask. Of pixels equally far the first, row by row.
    """
    depth = distance_transform_edt(np.pad(mask.cpu().numpy(), 1))[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return torch.tensor([x + 0.5, y + 0.5], dtype=torch.float32)


def recall(scores: Sequence[Tensor], targets: Sequence[Tensor], at: Sequence[int] = RECALL_AT) -> dict[str, float]:
    """Return how many of the true relations are among the best-scoring ones, masks given.

    Recall is averaged over images; mean recall is found for each predicate, over the images where it occurs, and then
    averaged over the predicates that occur, so that rare ones count (K. Tang et al., "Learning to Compose Dynamic Tree
    Structures for Visual Contexts", CVPR 2019). A pair may have several of the best triplets; the diagonal has none.

    Args:
        scores: of each image, [predicates, n, n].
        targets: of each image, true where a relation holds, of the same shape.
        at: how many of the best triplets are looked at.

    Returns:
        `recall@20`, `mean_recall@20` and so on, from 0 to 1.
    """
    per_image: dict[int, list[float]] = {k: [] for k in at}
    per_predicate: dict[int, dict[int, list[float]]] = {k: {} for k in at}
    for score, target in zip(scores, targets, strict=True):
        if score.shape != target.shape:
            raise MetricError(f"scores {list(score.shape)} for relations {list(target.shape)}")
        apart = ~torch.eye(score.shape[-1], dtype=torch.bool)
        true = target.bool() & apart
        if not true.any():
            continue
        ranked = torch.where(apart, score.float(), -torch.inf).flatten().argsort(descending=True, stable=True)
        rank = torch.empty_like(ranked)
        rank[ranked] = torch.arange(len(ranked))
        ranks, predicate = rank.reshape(true.shape)[true], true.nonzero()[:, 0]
        for k in at:
            found = (ranks < k).float()
            per_image[k].append(found.mean().item())
            for which in predicate.unique().tolist():
                per_predicate[k].setdefault(which, []).append(found[predicate == which].mean().item())
    if not any(per_image.values()):
        raise MetricError("recall is not defined: no image has a relation between two masks")
    result = {f"recall@{k}": float(np.mean(per_image[k])) for k in at}
    means = {k: [float(np.mean(values)) for values in per_predicate[k].values()] for k in at}
    return result | {f"mean_recall@{k}": float(np.mean(means[k])) for k in at}
