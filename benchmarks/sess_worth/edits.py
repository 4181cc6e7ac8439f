"""Local edits, which change what an image shows, and harmless changes of the same PSNR, which do not."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from semcomm.images import quantise, read_image
from semcomm.metrics.pixel import PSNR

LEAST, MOST = 0.02, 0.25
"""Share of the image that an edited object covers."""
TOLERANCE = 1.0
"""In dB, between the PSNR of an edit and that of a harmless change."""


@dataclass(frozen=True)
class Edit:
    """An image [3, H, W], the same edited, and harmless changes of about the edit's PSNR by kind."""

    kind: str
    image: Tensor
    edited: Tensor
    harmless: dict[str, Tensor]


def filled(image: Tensor, mask: Tensor) -> Tensor:
    """Return [3, H, W] with the mask [H, W] filled from around it: averages of ever wider surroundings (push-pull)."""
    known = (~mask).float()[None]
    levels = [(image * known, known)]
    while min(levels[-1][1].shape[1:]) > 1:
        levels.append(tuple(F.avg_pool2d(part[None], 2, ceil_mode=True)[0] for part in levels[-1]))
    found = levels[-1][0] / levels[-1][1].clamp(min=1e-6)
    for colours, weight in reversed(levels[:-1]):
        below = F.interpolate(found[None], weight.shape[1:], mode="bilinear")[0]
        share = weight.clamp(max=1)
        found = colours / weight.clamp(min=1e-6) * share + below * (1 - share)
    return torch.where(mask, found, image).clamp(0, 1)


def blurred(image: Tensor, mask: Tensor) -> Tensor:
    """Return [3, H, W] with what is in the mask [H, W] blurred by a sixth of its extent."""
    from scipy.ndimage import gaussian_filter

    deviation = float(mask.sum().sqrt()) / 6
    soft = torch.from_numpy(gaussian_filter(mask.numpy().astype(np.float32), 2))
    smooth = torch.from_numpy(gaussian_filter(image.numpy(), (0, deviation, deviation)))
    return image * (1 - soft) + smooth * soft


def grown(mask: Tensor, pixels: int) -> Tensor:
    """Return the mask [H, W] with a margin."""
    return F.max_pool2d(mask.float()[None, None], 2 * pixels + 1, 1, pixels)[0, 0] > 0


def replaced(image: Tensor, mask: Tensor, other: Tensor, other_mask: Tensor) -> Tensor:
    """Return [3, H, W] with another image's object in the place of the one in the mask."""
    background = filled(image, grown(mask, 4))
    (top, bottom, left, right), (up, down, west, east) = _box(mask), _box(other_mask)
    size = (bottom - top, right - left)
    piece = F.interpolate(other[None, :, up:down, west:east], size, mode="bilinear", antialias=True)[0]
    share = F.interpolate(other_mask[None, None, up:down, west:east].float(), size, mode="bilinear", antialias=True)[0]
    background[:, top:bottom, left:right] = background[:, top:bottom, left:right] * (1 - share) + piece * share
    return background


def _box(mask: Tensor) -> tuple[int, int, int, int]:
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def brightness(image: Tensor, strength: float) -> Tensor:
    return image + strength * (0.7 if image.mean() < 0.5 else -0.7)


def tint(image: Tensor, strength: float) -> Tensor:
    return (1 - strength) * image + strength * torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1)


def noise(image: Tensor, strength: float) -> Tensor:
    return image + strength * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))


def contrast(image: Tensor, strength: float) -> Tensor:
    return image.mean() + (image - image.mean()) * (1 - strength)


def shift(image: Tensor, strength: float) -> Tensor:
    return _warped(image, torch.tensor([[1, 0, 0.5 * strength], [0, 1, 0.25 * strength]]))


def zoom(image: Tensor, strength: float) -> Tensor:
    scale = 1 - 0.5 * strength
    return _warped(image, torch.tensor([[scale, 0, 0], [0, scale, 0]]))


def _warped(image: Tensor, matrix: Tensor) -> Tensor:
    grid = F.affine_grid(matrix[None].float(), [1, *image.shape], align_corners=False)
    return F.grid_sample(image[None], grid, mode="bicubic", padding_mode="border", align_corners=False)[0]


HARMLESS: dict[str, Callable[[Tensor, float], Tensor]] = {
    f.__name__: f for f in (brightness, tint, noise, contrast, shift, zoom)
}
"""Changes by their strength, 0 to 1."""


def at_psnr(image: Tensor, change: Callable[[Tensor, float], Tensor], wanted: float) -> Tensor | None:
    """Return the change of the strength that gives this PSNR in dB, by bisection; None where it cannot."""
    low, high = 0.0, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        changed = quantise(change(image, middle).clamp(0, 1))
        found = PSNR()(image[None], changed[None]).item()
        low, high = (middle, high) if found > wanted else (low, middle)
    return changed if abs(found - wanted) < TOLERANCE else None


def with_harmless(kind: str, image: Tensor, edited: Tensor) -> Edit:
    edited = quantise(edited.clamp(0, 1))
    wanted = PSNR()(image[None], edited[None]).item()
    found = {name: at_psnr(image, change, wanted) for name, change in HARMLESS.items()}
    return Edit(kind, image, edited, {name: changed for name, changed in found.items() if changed is not None})


def edits(found: list[tuple[Tensor, Tensor, object]]) -> Iterator[Edit]:
    """Give three edits of each (image, mask, category): removed, blurred, and replaced by one of another category."""
    for number, (image, mask, category) in enumerate(found):
        yield with_harmless("removed", image, filled(image, grown(mask, 4)))
        yield with_harmless("blurred", image, blurred(image, mask))
        others = [o for o in found[number + 1 :] + found[:number] if o[2] != category]
        yield with_harmless("replaced", image, replaced(image, mask, *others[0][:2]))


def coco_objects(folder: Path, count: int) -> list[tuple[Tensor, Tensor, int]]:
    """Return images of COCO with the mask and the category of the largest object that covers 2 to 25 %."""
    data = json.loads((folder / "panoptic" / "panoptic_val2017.json").read_text())
    things = {c["id"] for c in data["categories"] if c["isthing"]}
    names = {image["id"]: image["file_name"] for image in data["images"]}
    found = []
    for annotation in data["annotations"]:
        path = next((folder / "panoptic").rglob(annotation["file_name"]))
        colours = np.asarray(Image.open(path).convert("RGB")).astype(np.int64)
        ids = torch.from_numpy(colours @ np.array([1, 256, 65536]))
        fits = [s for s in annotation["segments_info"] if s["category_id"] in things and not s["iscrowd"]]
        fits = [s for s in fits if LEAST <= s["area"] / ids.numel() <= MOST]
        if fits:
            largest = max(fits, key=lambda s: s["area"])
            image = read_image(folder / "images" / names[annotation["image_id"]])
            found.append((image, ids == largest["id"], largest["category_id"]))
        if len(found) == count:
            break
    return found


def ellipses(images: list[Tensor]) -> list[tuple[Tensor, Tensor, int]]:
    """Return images with an ellipse near the middle as mask, each of a category of its own: for choosing settings."""
    rng = np.random.default_rng(0)
    found = []
    for number, image in enumerate(images):
        height, width = image.shape[1:]
        row, column, rows, columns = rng.uniform((0.4, 0.4, 0.12, 0.12), (0.6, 0.6, 0.28, 0.28))
        y, x = np.ogrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        found.append((image, torch.from_numpy(((y - row) / rows) ** 2 + ((x - column) / columns) ** 2 < 1), number))
    return found


def faces(folder: Path, count: int) -> Iterator[Edit]:
    """Give portraits of Caltech-101 with the face blurred, where scikit-image's detector finds one."""
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    detector = Cascade(lbp_frontal_face_cascade_filename())
    files = sorted(folder.iterdir())
    done = 0
    for path in files[:: max(1, len(files) // (2 * count))]:
        image = read_image(path)
        pixels = (image.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        boxes = detector.detect_multi_scale(pixels, 1.2, 1, (40, 40), (160, 160))
        if boxes and done < count:
            box = max(boxes, key=lambda b: b["width"])
            height, width = image.shape[1:]
            y, x = np.ogrid[:height, :width]
            row, column = box["r"] + box["height"] / 2, box["c"] + box["width"] / 2
            inside = ((y - row) / box["height"]) ** 2 + ((x - column) / box["width"]) ** 2 < 0.3
            done += 1
            yield with_harmless("face blurred", image, blurred(image, torch.from_numpy(inside)))
