"""Segmenters: what finds the objects of an image, as masks."""

from abc import abstractmethod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from semcomm.component import Component
from semcomm.errors import ConfigurationError
from semcomm.models.component import UsesWeights
from semcomm.models.loading import DTYPES, Precision, device_of, load_transformer, shared, weights_of
from semcomm.models.sam_checkpoint import load_sam
from semcomm.models.sam_masks import MaskSettings, bounding_boxes, downscaled, generate_masks

ONE_COLOUR = 2 / 255
"""An image whose colours differ by less has no objects."""


class Segments(NamedTuple):
    """The objects of an image.

    Attributes:
        masks: `bool` [n, h, w], of any size, the largest first; there may be none.
        tokens: what SAM's decoder made of each, `float32` [n, 256]; None where another segmenter found them.
    """

    masks: np.ndarray
    tokens: Tensor | None = None

    def boxes(self, height: int, width: int) -> Tensor:
        """Return each bounding box in pixels of an image of this size, `int64` [n, 4]: left, top, right, bottom."""
        rows, columns = self.masks.shape[1:]
        scale = torch.tensor([width / columns, height / rows] * 2)
        return (bounding_boxes(torch.from_numpy(self.masks)) * scale).round().long()


class Segmenter(Component):
    """Finds the objects of an image. Write one of your own as a subclass with `segment`."""

    max_width: int | None = None
    """Wider images are shrunk to this width before anything is found in them."""
    uses_features: bool = False
    """Whether `segment` needs the encoder's feature map."""

    @abstractmethod
    def segment(self, image: Tensor, features: Tensor | None) -> Segments:
        """Find the objects.

        Args:
            image: [3, H, W] in [0, 1].
            features: the encoder's feature map of it [c, h, w], where `uses_features`.
        """


class FeatureRegions(Segmenter):
    """Neighbouring positions of the encoder's feature map, merged while they are alike (Ward's criterion).

    Args:
        regions: so many are left.
    """

    uses_features = True

    def __init__(self, regions: int = 6) -> None:
        if regions < 1:
            raise ConfigurationError(f"FeatureRegions: regions is {regions}; it must be at least 1")
        self.regions = regions

    def segment(self, image: Tensor, features: Tensor) -> Segments:
        """Return the regions at the size of the map; an image of one colour has none."""
        if _one_colour(image):
            return Segments(np.zeros((0, *features.shape[1:]), bool))
        units = nn.functional.normalize(features.double(), dim=0)
        positions = np.arange(units[0].numel()).reshape(units.shape[1:])
        return Segments(_masks(merged(positions, units.flatten(1).T.numpy(), self.regions)))


class ColourRegions(Segmenter):
    """Superpixels (SLIC), merged while their colours in CIELAB are alike (Ward's criterion).

    Args:
        regions: so many are left.
        smallest: share of the image below which a region is no object.
        superpixels: to begin with.
        compactness: of SLIC.
        smoothing: standard deviation of the Gaussian before, in pixels of the working size.
        side: longer side of the working size.
    """

    def __init__(
        self,
        regions: int = 6,
        smallest: float = 0.005,
        superpixels: int = 100,
        compactness: float = 30.0,
        smoothing: float = 3.0,
        side: int = 192,
    ) -> None:
        if regions < 1 or not 0 < smallest < 1:
            raise ConfigurationError("ColourRegions takes at least 1 region, and a smallest share between 0 and 1")
        self.regions = regions
        self.smallest = smallest
        self.superpixels = superpixels
        self.compactness = compactness
        self.smoothing = smoothing
        self.side = side

    def segment(self, image: Tensor, features: Tensor | None) -> Segments:
        """Return the regions at the working size; an image of one colour has none."""
        from skimage.color import rgb2lab
        from skimage.segmentation import slic

        scale = min(1.0, self.side / max(image.shape[1:]))
        size = [max(1, round(side * scale)) for side in image.shape[1:]]
        pixels = interpolate(image[None], size, mode="bilinear", antialias=True)[0].clamp(0, 1)
        pixels = pixels.permute(1, 2, 0).double().numpy()
        if _one_colour(image):
            return Segments(np.zeros((0, *size), bool))
        labels = slic(pixels, self.superpixels, self.compactness, sigma=self.smoothing, start_label=0, channel_axis=2)
        count, colours = labels.max() + 1, rgb2lab(pixels)
        sums = [np.bincount(labels.ravel(), plane.ravel(), count) for plane in np.moveaxis(colours, 2, 0)]
        means = np.stack(sums, 1) / np.bincount(labels.ravel(), minlength=count)[:, None]
        masks = _masks(merged(labels, means, self.regions))
        return Segments(masks[masks.mean((1, 2)) >= self.smallest])


class SAMMasks(UsesWeights, Segmenter):
    """Automatic masks of Segment Anything (Kirillov et al., ICCV 2023), without near duplicates, as SeSS's authors do.

    Args:
        model: short name, hub id or folder of a `SamModel`, or a checkpoint file of Meta's.
        grid: points per side from which masks are sought. 32 are SAM's default; 8 are bearable without a GPU.
        max_width: of the image, in pixels.
        precision: of weights and arithmetic.
        trust_pickle: read a checkpoint that is a pickle (Meta's are).
        device: `auto`, or as PyTorch names it.
    """

    def __init__(
        self,
        model: str = "sam-vit-huge",
        grid: int = 32,
        max_width: int = 800,
        precision: Precision = "fp32",
        trust_pickle: bool = False,
        device: str = "auto",
    ) -> None:
        self.model = model
        self.settings = MaskSettings(grid=grid, max_width=max_width)
        self.precision = precision
        self.trust_pickle = trust_pickle
        self.device = device

    @property
    def max_width(self) -> int:
        """Width to which wider images are shrunk."""
        return self.settings.max_width

    def weights(self) -> str:
        """Return the hash of the model."""
        return weights_of(self.model, self.trust_pickle)

    def segment(self, image: Tensor, features: Tensor | None) -> Segments:
        """Return the masks at the size of the image, with their tokens."""
        (found,) = generate_masks(self._network(), [image], self.settings)
        return Segments(found.masks.cpu().numpy(), found.tokens)

    def _network(self) -> nn.Module:
        path = Path(self.model).expanduser()
        if not path.is_file():
            return load_transformer(self.model, "SamModel", self.precision, self.device, self.trust_pickle)
        key = ("sam", str(path), self.precision, self.device)
        return shared(key, lambda: load_sam(path, self.trust_pickle).to(device_of(self.device), DTYPES[self.precision]))


def downscaled_for(segmenter: Segmenter, image: Tensor) -> Tensor:
    """Return the image [3, H, W] at the width at which the segmenter works."""
    return image if segmenter.max_width is None else downscaled(image, segmenter.max_width)


def _one_colour(image: Tensor) -> bool:
    flat = image.flatten(1)
    return bool((flat.amax(1) - flat.amin(1)).max() < ONE_COLOUR)


def _masks(labels: np.ndarray) -> np.ndarray:
    names, counts = np.unique(labels, return_counts=True)
    return np.stack([labels == name for name in names[np.argsort(-counts, kind="stable")]])


def merged(labels: np.ndarray, means: np.ndarray, most: int) -> np.ndarray:
    """Merge neighbouring regions, the least costly pair first, until `most` are left (Ward 1963).

    Args:
        labels: region of each position [h, w], from 0.
        means: what each region is like [regions, d].
        most: so many regions are left at most.

    Returns:
        Labels [h, w].
    """
    count = len(means)
    means = means.copy()
    size = np.bincount(labels.ravel(), minlength=count).astype(float)
    adjacent = np.zeros((count, count), bool)
    for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        adjacent[a[a != b], b[a != b]] = True
    adjacent |= adjacent.T
    squares = np.square(means).sum(1)
    gaps = squares[:, None] + squares - 2 * means @ means.T
    cost = np.where(adjacent, gaps * np.outer(size, size) / (size[:, None] + size), np.inf)
    owner = np.arange(count)
    for _ in range(count - most):
        i, j = np.unravel_index(cost.argmin(), cost.shape)
        if not np.isfinite(cost[i, j]):
            break
        means[i] = (size[i] * means[i] + size[j] * means[j]) / (size[i] + size[j])
        size[i] += size[j]
        owner[owner == j] = i
        adjacent[i] |= adjacent[j]
        adjacent[:, i] |= adjacent[j]
        adjacent[j] = adjacent[:, j] = adjacent[i, i] = False
        near = np.flatnonzero(adjacent[i])
        gap = np.square(means[near] - means[i]).sum(1) * size[near] * size[i] / (size[near] + size[i])
        cost[j] = cost[:, j] = cost[i] = cost[:, i] = np.inf
        cost[i, near] = cost[near, i] = gap
    return owner[labels]
