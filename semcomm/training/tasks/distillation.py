"""Distillation of an image encoder that damage leaves calm: the student sees damaged images, the teacher clean ones."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from semcomm.errors import ConfigurationError, ModelError
from semcomm.models.encoders.efficientnet import EfficientNetLite0
from semcomm.models.encoders.efficientnet_network import PACKAGE, SHA256, STRIDE, EfficientNetLite, imagenet_network
from semcomm.training import damage
from semcomm.training.augment import random_crop
from semcomm.training.data import ImageCollection, class_folders, listed, share_of
from semcomm.training.task import Task
from semcomm.training.tasks.encoder_checks import stability

JUDGED_PER_CLASS = 20
"""Images of each unseen class in a validation."""
JUDGED_SIZE = 160
_VALIDATION_SEED = 7


class Distillation(Task):
    """EfficientNet-Lite0, taught by itself to see through damage.

    The student starts as the teacher. It sees crops that are damaged (`semcomm.training.damage`) and moved a little,
    the frozen teacher the same crops clean; the loss is the distance, 1 - cosine, of their averages over the image and,
    position by position, of their maps at strides 32 and 16, the teacher's moved as the student's images were. A
    quarter of the crops are edited before either sees them, so that edits, unlike damage, keep their effect.

    Args:
        class_folder: a folder with a folder of images for each class.
        photo_list: a CSV file beside further photographs, with the column `file`.
        attribution: lines for the card: the data's names, authors and licences.
        licence: of the trained weights, for the card.
        unseen_classes: classes of `class_folder` that are left out of training and judge it: those whose names have
            the smallest SHA-256.
        most_per_class: images of a class that are used, those first by the hash of their names.
        val_fraction: share of the photographs kept for validation, by the hash of their names.
        sizes: sides of the training crops, one drawn for each batch.
        views: damaged versions of each crop in a batch; the teacher sees the crop once.
        smallest_crop: least share of an image's area that a crop has.
        photographs: share of the crops that is taken from `photo_list`.
        edits: share of the crops that is edited before the teacher sees it.
        motion: share of the damaged crops that is turned, scaled and shifted.
        map_weight: of the loss of the maps at stride 32, beside 1 for that of the averages.
        middle_weight: of the loss of the maps at stride 16.
    """

    excluded_from_recipe: ClassVar[frozenset[str]] = frozenset({"class_folder", "photo_list", "attribution", "licence"})

    def __init__(
        self,
        class_folder: str,
        photo_list: str,
        attribution: list[str] | None = None,
        licence: str | None = None,
        unseen_classes: int = 20,
        most_per_class: int = 120,
        val_fraction: float = 0.05,
        sizes: tuple[int, ...] = (128, 128, 160),
        views: int = 2,
        smallest_crop: float = 0.25,
        photographs: float = 0.5,
        edits: float = 0.25,
        motion: float = 0.35,
        map_weight: float = 1.0,
        middle_weight: float = 0.5,
    ) -> None:
        self.class_folder = class_folder
        self.photo_list = photo_list
        self.attribution = attribution or []
        self.licence = licence
        self.unseen_classes = unseen_classes
        self.most_per_class = most_per_class
        self.val_fraction = val_fraction
        self.sizes = sizes
        self.views = views
        self.smallest_crop = smallest_crop
        self.photographs = photographs
        self.edits = edits
        self.motion = motion
        self.map_weight = map_weight
        self.middle_weight = middle_weight
        if any(size % STRIDE or size < 64 for size in sizes) or not sizes:
            raise ConfigurationError(f"sizes is {sizes}; each must be a multiple of {STRIDE}, 64 or more")
        if views < 1:
            raise ConfigurationError(f"views is {views}; it must be at least 1")

    def prepare(self, report: Callable[[str], None] | None = None) -> None:
        """Find, split and read the images; read the teacher."""
        found = _fewest(class_folders(self.class_folder), self.most_per_class)
        names = sorted({label for _, label in found}, key=share_of)
        if len(names) <= self.unseen_classes:
            raise ConfigurationError(f"{self.class_folder} has {len(names)} classes, all of them unseen_classes")
        self.unseen = sorted(names[: self.unseen_classes])
        judged = _fewest([(path, label) for path, label in found if label in self.unseen], JUDGED_PER_CLASS)
        photographs, rows = listed(self.photo_list, "file")
        held_back = [path for path, _ in photographs if share_of(path.name) < self.val_fraction]
        self.authors = sorted({row["author"] for row in rows if row.get("author")}, key=str.casefold)
        self.labels = [self.unseen.index(label) for _, label in judged]
        self.classes = ImageCollection([path for path, label in found if label not in self.unseen])
        self.photos = ImageCollection([path for path, _ in photographs if path not in held_back])
        self.judged = ImageCollection([path for path, _ in judged], JUDGED_SIZE)
        self.validation = ImageCollection(held_back, JUDGED_SIZE)
        for part in self._parts():
            part.read(report)
        self.teacher = imagenet_network().eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def _parts(self) -> tuple[ImageCollection, ...]:
        return self.classes, self.photos, self.judged, self.validation

    def fingerprint(self) -> str:
        """Return a hash of the names of all images and of the teacher."""
        names = [[f"{path.parent.name}/{path.name}" for path in part.paths] for part in self._parts()]
        return hashlib.sha256(json.dumps([SHA256, names]).encode()).hexdigest()

    def build(self) -> EfficientNetLite:
        """Return the student."""
        return EfficientNetLite()

    def begin(self, module: EfficientNetLite) -> None:
        """Start as the teacher."""
        module.load_state_dict(self.teacher.state_dict())

    def batch(self, size: int, progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Return `clean` crops [size / views, 3, S, S], `damaged` [size, 3, S, S] and how they were moved, `motion`."""
        side = self.sizes[int(torch.randint(len(self.sizes), (1,), generator=generator))]
        crops = []
        for _ in range(max(1, size // self.views)):
            scale = (1.0, 1.0, 1.5, 2.0)[int(torch.randint(4, (1,), generator=generator))]
            crop = self._crop(round(side * scale), generator)
            if damage.draw(0, 1, generator) < self.edits:
                crop = damage.edited(crop, self._crop(side, generator), generator)
            crops.append(crop)
        seen = torch.stack([_reduced(damage.damaged(c, generator), side) for _ in range(self.views) for c in crops])
        motion = damage.small_motion(len(seen), self.motion, generator)
        black = (torch.rand(len(seen), generator=generator) < 0.5).view(-1, 1, 1, 1)
        seen = torch.where(black, damage.moved(seen, motion, "zeros"), damage.moved(seen, motion, "reflection"))
        clean = torch.stack([_reduced(crop, side) for crop in crops])
        last = {"memory_format": torch.channels_last}
        return {"clean": clean.contiguous(**last), "damaged": seen.contiguous(**last), "motion": motion}

    def _crop(self, side: int, generator: torch.Generator) -> Tensor:
        part = self.photos if damage.draw(0, 1, generator) < self.photographs else self.classes
        number = int(torch.randint(len(part), (1,), generator=generator))
        return random_crop(part[number], side, self.smallest_crop, generator)

    def losses(
        self, module: EfficientNetLite, batch: dict[str, Tensor], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the distances of averages and maps, and `loss`, their weighted sum."""
        self.teacher.to(batch["clean"].device)
        views = len(batch["damaged"]) // len(batch["clean"])
        with torch.no_grad():
            taught = [part.float().repeat(views, 1, 1, 1) for part in self.teacher.stages(batch["clean"])[-2:]]
        seen = [part.float() for part in module.stages(batch["damaged"])[-2:]]
        average = _distance(seen[1].mean((2, 3)), taught[1].mean((2, 3)))
        middle, last = (_distance(a, damage.moved(b, batch["motion"], "border")) for a, b in zip(seen, taught))
        loss = average + self.map_weight * last + self.middle_weight * middle
        return {"loss": loss, "average": average, "map": last, "middle": middle}

    @torch.no_grad()
    def validate(self, module: EfficientNetLite) -> dict[str, float]:
        """Return cosines with the teacher on held-back photographs, by kind of damage, and the unseen classes' AUC."""
        images = torch.stack([self.validation[i] for i in range(len(self.validation))]).float() / 255
        device = next(module.parameters()).device
        taught = self._embedded(self.teacher.to(device), images)
        scores = {}
        for _, kind in damage.KINDS:
            generator = torch.Generator().manual_seed(_VALIDATION_SEED)
            seen = torch.stack([kind(image, generator).clamp(0, 1) for image in images])
            scores[f"cosine_{kind.__name__}"] = (self._embedded(module, seen) * taught).sum(1).mean().item()
        judged = torch.stack([self.judged[i] for i in range(len(self.judged))]).float() / 255
        scores["auc_unseen"] = pair_auc(self._embedded(module, judged), torch.tensor(self.labels))
        return scores

    @staticmethod
    def _embedded(module: EfficientNetLite, images: Tensor) -> Tensor:
        device = next(module.parameters()).device
        parts = [module.features(part.to(device)).float().mean((2, 3)).cpu() for part in images.split(32)]
        return F.normalize(torch.cat(parts), dim=1)

    def exported(self, module: EfficientNetLite) -> dict[str, Tensor]:
        """Return the student in half precision."""
        return {name: value.half() for name, value in module.state_dict().items()}

    def load(self, module: EfficientNetLite, tensors: dict[str, Tensor]) -> None:
        """Start from a shipped student."""
        try:
            module.load_state_dict({name: value.float() for name, value in tensors.items()})
        except RuntimeError as error:
            raise ModelError(f"the weights belong to another network: {error}") from None

    def describe(self, module: EfficientNetLite) -> dict[str, Any]:
        """Return what the card says."""
        return {
            "name": "encoder",
            "title": "Image encoder of the default install",
            "purpose": (
                "EfficientNet-Lite0, trained by Google on ImageNet, and then by distillation to see through damage: "
                "noise, coding, blur, tints and small motion, which people overlook. Its last map averaged is an "
                "image's embedding."
            ),
            "licence": self.licence,
            "network": {"classes": 0},
            "parameters": sum(v.numel() for v in self.exported(module).values()),
            "images": {
                "training": len(self.classes) + len(self.photos),
                "validation": len(self.validation),
                "unseen classes": len(self.judged),
            },
            "unseen_classes": self.unseen,
            "data": [f"Weights it started from: {PACKAGE} 0.1.0, SHA-256 {SHA256}, Apache-2.0.", *self.attribution],
            "authors": self.authors,
            "checks": stability(self._as_shipped(module)),
        }

    def _as_shipped(self, module: EfficientNetLite) -> EfficientNetLite0:
        network = EfficientNetLite()
        self.load(network, {name: value.cpu() for name, value in self.exported(module).items()})
        return _InMemory(network.eval().requires_grad_(False))


class _InMemory(EfficientNetLite0):
    """An encoder whose network stands in no file yet."""

    excluded_from_recipe = EfficientNetLite0.excluded_from_recipe | {"network"}

    def __init__(self, network: EfficientNetLite) -> None:
        super().__init__(device="cpu")
        self._network = network

    def weights(self) -> str:
        """Return a name that no other network of this process has."""
        return f"in memory {id(self._network)}"

    def network(self, classes: int = 0) -> EfficientNetLite:
        """Return the network."""
        return self._network


def _reduced(image: Tensor, side: int) -> Tensor:
    """Return [3, S, S] reduced to [3, side, side], antialiased."""
    if image.shape[-1] == side:
        return image
    return F.interpolate(image[None], (side, side), mode="bilinear", antialias=True)[0]


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (1 - F.cosine_similarity(a, b, dim=1)).mean()


def _fewest(found: Sequence[tuple[Path, str]], most: int) -> list[tuple[Path, str]]:
    """Return at most `most` images of each class, chosen by the hash of their names, in order."""
    by_class = defaultdict(list)
    for path, label in found:
        by_class[label].append(path)
    kept = {p for paths in by_class.values() for p in sorted(paths, key=lambda p: share_of(p.name))[:most]}
    return [(path, label) for path, label in found if path in kept]


def pair_auc(embeddings: Tensor, labels: Tensor) -> float:
    """Return the probability that two images of one class are more alike than two of different classes.

    Args:
        embeddings: [N, d], of any length; compared by their cosine.
        labels: [N].
    """
    from scipy.stats import mannwhitneyu

    units = F.normalize(embeddings, dim=1)
    first, second = torch.triu_indices(len(units), len(units), 1)
    cosines, same = (units @ units.T)[first, second].float().numpy(), (labels[first] == labels[second]).numpy()
    statistic = mannwhitneyu(cosines[same], cosines[~same], method="asymptotic").statistic
    return float(statistic / (same.sum() * (~same).sum()))
