"""A task of a user's own, which the tests of training train: a small classifier of images."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semcomm.errors import ConfigurationError, ModelError
from semcomm.models.encoders import squash
from semcomm.training import augment
from semcomm.training.data import ImageCollection, class_folders, listed, share_of
from semcomm.training.task import Task
from semcomm.training.tasks.distillation import pair_auc

SIZE = 128
"""Side in pixels of the square that the network sees."""
CACHE_SIZE = 192
"""Side in pixels at which images are kept for training."""
JUDGED_PER_CLASS = 30
"""Images of each unseen class in a validation."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016), with the average-pooled shortcut of ResNet-D."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if stride > 1 or channels_in != channels:
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(channels_in, channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] -> [B, channels, H/stride, W/stride]."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class EncoderNetwork(nn.Module):
    """Residual stages at strides 4, 8 and 16, their mean over the image, and a linear map to the embedding.

    The last normalisation centres the embedding, so that two unrelated images have a cosine near 0, not near 0.5.

    Args:
        widths: channels of each stage; each stage halves the resolution of the one before.
        depths: residual blocks of each stage.
        dimensions: length of the embedding.

    Raises:
        ValueError: with more than 1,000 residual blocks.
    """

    def __init__(
        self, widths: Sequence[int] = (48, 96, 256), depths: Sequence[int] = (1, 2, 3), dimensions: int = 256
    ) -> None:
        super().__init__()
        if sum(depths) > 1000:
            raise ValueError(f"{sum(depths)} residual blocks; the limit is 1000")
        self.widths, self.depths, self.dimensions = tuple(widths), tuple(depths), dimensions
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(12, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        blocks = []
        channels = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths)):
            for block in range(depth):
                blocks.append(ResidualBlock(channels, width, 2 if stage and not block else 1))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.embedding = nn.Linear(channels, dimensions, bias=False)
        self.centre = nn.BatchNorm1d(dimensions, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [0, 1], sides divisible by 16 -> embeddings [B, dimensions], not normalised."""
        x = self.blocks(self.stem(images - 0.5))
        return self.centre(self.embedding(x.mean(dim=(2, 3))))


class CosineClassifier(nn.Module):
    """An encoder and a unit vector for each class; the score of a class is `scale` times the cosine.

    Source: Gidaris and Komodakis 2018, "Dynamic few-shot visual learning without forgetting".
    """

    def __init__(self, encoder: EncoderNetwork, classes: int, scale: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.prototypes = nn.Parameter(torch.randn(classes, encoder.dimensions))
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [0, 1] -> logits [B, classes], `float32`."""
        embedding = F.normalize(self.encoder(images).float(), dim=1)
        return self.scale * embedding @ F.normalize(self.prototypes, dim=1).T


class ImageClassification(Task):
    """The embedded image encoder, trained to classify images, with some classes held out to judge it by.

    Args:
        class_folder: a folder with a folder of images for each class.
        photo_list: a CSV file beside further images, with the columns `file` and `label_column`.
        label_column: where `photo_list` has the class.
        attribution: lines for the card: the data's names, authors and licences.
        licence: of the trained weights, for the card.
        unseen_classes: classes of `class_folder` that are left out of training and judge it: those whose names have
            the smallest SHA-256.
        most_per_class: images of a class that are used, those first by the hash of their names.
        val_fraction: share of the images of the other classes that is kept for validation, by the hash of their names.
        widths: channels of the network's stages.
        depths: residual blocks of the network's stages.
        dimensions: length of the embedding.
        early_size: side of the training images in the first part; smaller is faster.
        early_share: how long that part is, as a share of the training.
        smallest_crop: least share of an image's area that a random crop has.
        scale: factor of the cosines before the softmax.
        smoothing: label smoothing.
    """

    excluded_from_recipe: ClassVar[frozenset[str]] = frozenset({"class_folder", "photo_list", "attribution", "licence"})

    def __init__(
        self,
        class_folder: str,
        photo_list: str | None = None,
        label_column: str = "label",
        attribution: list[str] | None = None,
        licence: str | None = None,
        unseen_classes: int = 20,
        most_per_class: int = 120,
        val_fraction: float = 0.05,
        widths: tuple[int, ...] = (48, 96, 256),
        depths: tuple[int, ...] = (1, 2, 3),
        dimensions: int = 256,
        early_size: int = 96,
        early_share: float = 0.65,
        smallest_crop: float = 0.2,
        scale: float = 16.0,
        smoothing: float = 0.1,
    ) -> None:
        self.class_folder = class_folder
        self.photo_list = photo_list
        self.label_column = label_column
        self.attribution = attribution or []
        self.licence = licence
        self.unseen_classes = unseen_classes
        self.most_per_class = most_per_class
        self.val_fraction = val_fraction
        self.widths = widths
        self.depths = depths
        self.dimensions = dimensions
        self.early_size = early_size
        self.early_share = early_share
        self.smallest_crop = smallest_crop
        self.scale = scale
        self.smoothing = smoothing
        if early_size % 16 or early_size < 16:
            raise ConfigurationError(f"early_size is {early_size}; it must be a multiple of 16")
        if len(self.widths) != len(self.depths):
            raise ConfigurationError(
                f"{len(self.widths)} widths for {len(self.depths)} depths; a stage has one of each"
            )

    def prepare(self, report: Callable[[str], None] | None = None) -> None:
        """Find, split and read the images."""
        found = _fewest(class_folders(self.class_folder), self.most_per_class)
        names = sorted({label for _, label in found}, key=share_of)
        if len(names) < self.unseen_classes + 2:
            raise ConfigurationError(
                f"{self.class_folder} has {len(names)} classes; with unseen_classes={self.unseen_classes} fewer than "
                "two are left to train on"
            )
        self.unseen = sorted(names[: self.unseen_classes])
        unseen = _fewest([(path, label) for path, label in found if label in self.unseen], JUDGED_PER_CLASS)
        seen = [(path, label) for path, label in found if label not in self.unseen]
        train = [(p, label) for p, label in seen if share_of(f"{label}/{p.name}") >= self.val_fraction]
        self.authors: list[str] = []
        if self.photo_list is not None:
            photographs, rows = listed(self.photo_list, self.label_column)
            train += [(path, f"{self.label_column} {label}") for path, label in photographs]
            self.authors = sorted({row["author"] for row in rows if row.get("author")}, key=str.casefold)
        validation = [(p, label) for p, label in seen if share_of(f"{label}/{p.name}") < self.val_fraction]
        self.classes = sorted({label for _, label in train})
        self.train = _Labelled(train, self.classes)
        self.validation = _Labelled([v for v in validation if v[1] in self.classes], self.classes)
        self.judged = _Labelled(unseen, self.unseen)
        for part in (self.train, self.validation, self.judged):
            if part.labels:
                part.images.read(report)

    def fingerprint(self) -> str:
        """Return a hash of the names and labels of all images."""
        parts = [[(p.name, part.labels[i]) for i, p in enumerate(part.images.paths)] for part in self._parts()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _parts(self) -> tuple["_Labelled", ...]:
        return self.train, self.validation, self.judged

    def build(self) -> CosineClassifier:
        """Return the network with its classifier."""
        network = EncoderNetwork(self.widths, self.depths, self.dimensions)
        return CosineClassifier(network, len(self.classes), self.scale)

    def batch(self, size: int, progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Return `images` [size, 3, S, S], cut and damaged at random, and their `labels` [size]."""
        side = self.early_size if progress < self.early_share else SIZE
        index = torch.randint(len(self.train.labels), (size,), generator=generator).tolist()
        crops = [augment.random_crop(self.train.images[i], side, self.smallest_crop, generator) for i in index]
        images = augment.mirror(torch.stack(crops), generator)
        images = augment.rotate(images, 15, 0.3, generator)
        images = augment.colour_jitter(images, 0.4, generator)
        images = augment.to_grey(images, 0.1, generator)
        images = augment.blur(images, 4, 0.2, generator)
        images = augment.coding_damage(images, 0.25, generator)
        images = augment.noise(images, 0.08, 0.2, generator)
        labels = torch.tensor([self.train.labels[i] for i in index])
        return {"images": images.contiguous(memory_format=torch.channels_last), "labels": labels}

    def losses(self, module: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Return the cross-entropy as `loss`, and the share of the batch that is classified rightly."""
        logits = module(batch["images"])
        loss = F.cross_entropy(logits, batch["labels"], label_smoothing=self.smoothing)
        return {"loss": loss, "accuracy": (logits.argmax(1) == batch["labels"]).float().mean()}

    @torch.no_grad()
    def validate(self, module: CosineClassifier) -> dict[str, float]:
        """Return the accuracy on held-back images and the AUC of pairs of the unseen classes."""
        scores = {}
        if self.validation.labels:
            logits = torch.cat([module(x) for x in _batches(self.validation.images, module)]).cpu()
            right = logits.argmax(1) == torch.tensor(self.validation.labels)
            scores["accuracy"] = right.float().mean().item()
        if self.judged.labels:
            embeddings = [module.encoder(images) for images in _batches(self.judged.images, module)]
            scores["auc_unseen"] = pair_auc(torch.cat(embeddings).float().cpu(), torch.tensor(self.judged.labels))
        return scores

    def exported(self, module: CosineClassifier) -> dict[str, Tensor]:
        """Return the encoder without its classifier, in half precision."""
        tensors = module.encoder.state_dict()
        return {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}

    def load(self, module: CosineClassifier, tensors: dict[str, Tensor]) -> None:
        """Start from a shipped encoder; the classifier starts anew."""
        try:
            module.encoder.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
        except RuntimeError as error:
            raise ModelError(f"the weights belong to another network: {error}") from None

    def describe(self, module: CosineClassifier) -> dict[str, Any]:
        """Return what the card says."""
        network = {"widths": self.widths, "depths": self.depths, "dimensions": self.dimensions}
        return {
            "name": "encoder",
            "title": "Embedded image encoder",
            "purpose": (
                f"A residual network that turns an image, squashed to {SIZE}x{SIZE}, into a unit vector of "
                f"{self.dimensions} numbers; the cosine of two says how alike the images look. Trained as a cosine "
                f"classifier of {len(self.classes)} classes on {len(self.train.labels)} images. For trying and "
                "testing; a model trained on millions of images judges far better."
            ),
            "licence": self.licence,
            "network": network,
            "parameters": sum(p.numel() for p in module.encoder.parameters()),
            "images": {
                "training": len(self.train.labels),
                "validation": len(self.validation.labels),
                "unseen classes": len(self.judged.labels),
            },
            "unseen_classes": self.unseen,
            "data": list(self.attribution),
            "authors": self.authors,
            "checks": {},
        }


class _Labelled:
    """Images with the index of their class."""

    def __init__(self, found: Sequence[tuple[Any, str]], classes: Sequence[str]) -> None:
        numbers = {label: number for number, label in enumerate(classes)}
        self.images = ImageCollection([path for path, _ in found], CACHE_SIZE)
        self.labels = [numbers[label] for _, label in found]


def _fewest(found: Sequence[tuple[Any, str]], most: int) -> list[tuple[Any, str]]:
    """Return at most `most` images of each class, chosen by the hash of their names, in order."""
    by_class = defaultdict(list)
    for path, label in found:
        by_class[label].append(path)
    kept = {p for paths in by_class.values() for p in sorted(paths, key=lambda p: share_of(p.name))[:most]}
    return [(path, label) for path, label in found if path in kept]


def _batches(images: ImageCollection, module: nn.Module, size: int = 64):
    device = next(module.parameters()).device
    for start in range(0, len(images), size):
        part = torch.stack([images[i] for i in range(start, min(start + size, len(images)))])
        yield squash(part.to(device).float() / 255, SIZE)
