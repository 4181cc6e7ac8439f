"""Training the embedded generator's denoiser, on latents of images with a class each."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from math import pi
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from semcomm.errors import ConfigurationError, ModelError
from semcomm.memo import Memo
from semcomm.models.encoders.base import DEFAULT, ImageEncoder, image_encoder
from semcomm.models.generator.autoencoder import SIZE
from semcomm.models.generator.denoiser import DenoiserNetwork, mixed, velocity
from semcomm.models.generator.files import Loaded, read_autoencoder
from semcomm.models.generator.generator import Generator, nearest
from semcomm.training.data import ImageCollection, class_folders, listed, share_of
from semcomm.training.task import Task
from semcomm.training.tasks.generator_checks import worth

AVERAGED = 24
"""Images of a class whose embeddings make its mean."""
ANGLES = 8
"""Noise levels at which every held-back latent is judged."""


class LatentDenoising(Task):
    """The embedded generator's denoiser, and the mean embedding of each class, by which images get their captions.

    The images are encoded once, before the first step, as they are and mirrored. An image of `photo_list` has the
    class whose mean is nearest, as a caption of it would say.

    Args:
        class_folder: a folder with a folder of images for each class.
        autoencoder: file of the trained autoencoder; none takes the one that comes with semcomm.
        photo_list: a CSV file beside further images, with the column `file`.
        latent_folder: where latents and embeddings are kept, so that a run that was stopped goes on at once; none
            keeps them in memory only.
        words: what a class is called in captions, by the name of its folder, where that is not the name itself.
        attribution: lines for the card: the data's names, authors and licences.
        licence: of the trained weights, for the card.
        val_fraction: share of the images that is kept for validation, by the hash of their names.
        most_per_class: images of a class that are trained on, those first by the hash of their names.
        width: channels of the network at the latents' resolution.
        inner: channels at half of it.
        depth: residual blocks at that resolution, before and after.
        inner_depth: residual blocks at the coarser resolution.
        condition: length of what carries noise level and class.
        unconditional: share of the training without a class, for classifier-free guidance (Ho and Salimans 2022).
        encoder: an image encoder, or the name of one: by its embeddings images get their captions.
    """

    excluded_from_recipe: ClassVar[frozenset[str]] = frozenset(
        {"class_folder", "autoencoder", "photo_list", "latent_folder", "attribution", "licence"}
    )

    def __init__(
        self,
        class_folder: str,
        autoencoder: str | None = None,
        photo_list: str | None = None,
        latent_folder: str | None = None,
        words: dict[str, str] | None = None,
        attribution: list[str] | None = None,
        licence: str | None = None,
        val_fraction: float = 0.05,
        most_per_class: int = 120,
        width: int = 48,
        inner: int = 96,
        depth: int = 1,
        inner_depth: int = 3,
        condition: int = 128,
        unconditional: float = 0.1,
        encoder: str | ImageEncoder = DEFAULT,
    ) -> None:
        self.class_folder = class_folder
        self.autoencoder = autoencoder
        self.photo_list = photo_list
        self.latent_folder = latent_folder
        self.words = words or {}
        self.attribution = attribution or []
        self.licence = licence
        self.val_fraction = val_fraction
        self.most_per_class = most_per_class
        self.sizes = {
            "width": width,
            "inner": inner,
            "depth": depth,
            "inner_depth": inner_depth,
            "condition": condition,
        }
        self.unconditional = unconditional
        self.encoder = image_encoder(encoder)

    def prepare(self, report: Callable[[str], None] | None = None) -> None:
        """Find, split, read and encode the images, and have the mean embedding of each class."""
        known = self._find()
        self.first_stage = read_autoencoder(*[] if self.autoencoder is None else [Path(self.autoencoder)])
        self.latents, self.labels = {}, {}
        for part, paths in self.paths.items():
            collection = ImageCollection(paths, SIZE)
            classes = torch.tensor(known[part])
            if part == "train":
                self._average(collection, classes)
            rest = torch.arange(len(classes), len(paths))
            self.labels[part] = torch.cat([classes, nearest(self._embeddings(collection, rest), self.class_means)]) + 1
            self.latents[part] = self._latents(collection)
            if part == "validation":
                self.caption_accuracy = self._right(collection, classes)
            if report:
                report(f"{len(collection)} images encoded")

    def find_classes(self, count: int) -> float:
        """Have the mean embedding of each class alone, and return the accuracy of captions on held-back images.

        Raises:
            ConfigurationError: when there are not `count` classes.
        """
        known = self._find()
        if len(self.classes) != count:
            raise ConfigurationError(f"{self.class_folder} has {len(self.classes)} classes, not {count}")
        self._average(ImageCollection(self.paths["train"], SIZE), torch.tensor(known["train"]))
        return self._right(ImageCollection(self.paths["validation"], SIZE), torch.tensor(known["validation"]))

    def _find(self) -> dict[str, list[int]]:
        """Find and split the images; return the classes of those that have one, which come first."""
        found = class_folders(self.class_folder)
        self.classes = sorted({label for _, label in found})
        numbers = {label: number for number, label in enumerate(self.classes)}
        photographs, rows = listed(self.photo_list, "file") if self.photo_list is not None else ([], [])
        self.authors = sorted({row["author"] for row in rows if row.get("author")}, key=str.casefold)
        self.paths: dict[str, list[Path]] = {"train": [], "validation": []}
        known: dict[str, list[int]] = {"train": [], "validation": []}
        of_class = defaultdict(int)
        for path, label in sorted(found, key=lambda item: share_of(item[0].name)):
            part = self._part(label, path)
            of_class[part, label] += 1
            if of_class[part, label] <= self.most_per_class:
                self.paths[part].append(path)
                known[part].append(numbers[label])
        for path, _ in photographs:
            self.paths[self._part("", path)].append(path)
        return known

    def _average(self, collection: ImageCollection, classes: Tensor) -> None:
        shown = _first_of_each(classes, AVERAGED)
        self.class_means = class_means(self._embeddings(collection, shown), classes[shown], len(self.classes))

    def _right(self, collection: ImageCollection, classes: Tensor) -> float:
        guessed = nearest(self._embeddings(collection, torch.arange(len(classes))), self.class_means)
        return (guessed == classes).float().mean().item()

    def _part(self, label: str, path: Path) -> str:
        return "validation" if share_of(f"{label}/{path.name}") < self.val_fraction else "train"

    def _embeddings(self, collection: ImageCollection, index: Tensor) -> Tensor:
        """Return the embeddings [n, d] of some images."""
        chosen = index.tolist()
        names = [_name(collection.paths[i]) for i in chosen]

        def compute() -> Tensor:
            parts = [self.encoder.embed(_images(collection, rows)) for rows in _runs(chosen)]
            return torch.cat(parts) if parts else torch.zeros(0, self.class_means.shape[1])

        return self._kept({"embeddings": names, "encoder": self.encoder.weights()}, compute)

    def _latents(self, collection: ImageCollection) -> Tensor:
        """Return the latents [2, N, 4, h, w] of all images and of their mirror images."""

        @torch.no_grad()
        def compute() -> Tensor:
            found = []
            for rows in _runs(range(len(collection))):
                images = _images(collection, rows)
                found.append(torch.stack([self.first_stage.network.encode(x) for x in (images, images.flip(3))]))
            return torch.cat(found, dim=1).contiguous()

        return self._kept(
            {"latents": [_name(p) for p in collection.paths], "by": self.first_stage.network.latent_space()}, compute
        )

    def _kept(self, key: dict[str, Any], compute: Callable[[], Tensor]) -> Tensor:
        if self.latent_folder is None:
            return compute()
        return load(Memo(Path(self.latent_folder)).get(key, lambda: save({"values": compute()})))["values"]

    def fingerprint(self) -> str:
        """Return a hash of the names and classes of all images, and of the weights that read them."""
        names = {part: [path.name for path in paths] for part, paths in self.paths.items()}
        labels = {part: values.tolist() for part, values in self.labels.items()}
        facts = [names, labels, self.first_stage.network.latent_space(), self.encoder.weights()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def build(self) -> DenoiserNetwork:
        """Return the network."""
        return DenoiserNetwork(len(self.classes), **self.sizes)

    def batch(self, size: int, progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Return `latents` and `noise` [size, 4, h, w], `angles` and `classes` [size], some of them none."""
        index = torch.randint(len(self.labels["train"]), (size,), generator=generator)
        mirrored = torch.randint(2, (size,), generator=generator)
        latents = self.latents["train"][mirrored, index]
        dropped = torch.rand(size, generator=generator) < self.unconditional
        return {
            "latents": latents.contiguous(memory_format=torch.channels_last),
            "noise": torch.randn(latents.shape, generator=generator).contiguous(memory_format=torch.channels_last),
            "angles": torch.rand(size, generator=generator) * pi / 2,
            "classes": self.labels["train"][index].masked_fill(dropped, 0),
        }

    def losses(self, module: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Return the mean squared error of the velocity as `loss`."""
        return {"loss": _error(module, batch["latents"], batch["noise"], batch["angles"], batch["classes"])}

    @torch.no_grad()
    def validate(self, module: DenoiserNetwork) -> dict[str, float]:
        """Return the error on held-back images, with their class and without, and the share of right captions."""
        device = next(module.parameters()).device
        latents, classes = (x.to(device) for x in (self.latents["validation"][0], self.labels["validation"]))
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0)).to(device)
        scores = {}
        for name, given in (("error", classes), ("error_without_class", torch.zeros_like(classes))):
            errors = []
            for number in range(ANGLES):
                angles = torch.full((len(latents),), (number + 0.5) / ANGLES * pi / 2, device=device)
                errors.append(_error(module, latents, noise, angles, given).item())
            scores[name] = sum(errors) / len(errors)
        return scores | {"caption_accuracy": self.caption_accuracy}

    def exported(self, module: DenoiserNetwork) -> dict[str, Tensor]:
        """Return the network's tensors and the classes' mean embeddings, in half precision."""
        tensors = module.state_dict() | {"class_means": self.class_means}
        return {k: v.half() for k, v in tensors.items()}

    def load(self, module: DenoiserNetwork, tensors: dict[str, Tensor]) -> None:
        """Start from a shipped denoiser; the classes' means are those of the images at hand."""
        try:
            module.load_state_dict({k: v.float() for k, v in tensors.items() if k != "class_means"})
        except RuntimeError as error:
            raise ModelError(f"the weights belong to another network: {error}") from None

    def describe(self, module: DenoiserNetwork) -> dict[str, Any]:
        """Return what the card says."""
        words = self._words()
        return {
            "name": "generator_denoiser",
            "title": "Denoiser of the embedded generator",
            "purpose": (
                f"A small U-Net that takes noise from the latents of `generator_autoencoder`, conditioned on which of "
                f"{len(words)} classes to expect, and the mean embedding of each class by the image encoder, "
                "by which an image gets its caption. Small, for trying the generative transceivers without a "
                f"download; it is no match for Stable Diffusion. Its classes: {', '.join(words)}."
            ),
            "licence": self.licence,
            "network": module.sizes,
            "parameters": sum(p.numel() for p in module.parameters()),
            "images": {part: len(paths) for part, paths in self.paths.items()},
            "words": words,
            "latent_space": self.first_stage.network.latent_space(),
            "encoder": self.encoder.weights(),
            "data": list(self.attribution),
            "authors": self.authors,
            "checks": worth(Generator(self.first_stage, self._as_shipped(module))),
        }

    def _as_shipped(self, module: DenoiserNetwork) -> Loaded:
        tensors = {k: v.cpu().float() for k, v in self.exported(module).items()}
        others = {"class_means": tensors.pop("class_means")}
        rounded = DenoiserNetwork(**module.sizes)
        rounded.load_state_dict(tensors)
        card = {
            "latent_space": self.first_stage.network.latent_space(),
            "encoder": self.encoder.weights(),
            "words": self._words(),
        }
        return Loaded(rounded.eval().requires_grad_(False), others, card, "")

    def _words(self) -> list[str]:
        return [self.words.get(label, label.replace("_", " ").lower()) for label in self.classes]


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _runs(index: Sequence[int], size: int = 64) -> Iterator[Sequence[int]]:
    return (index[start : start + size] for start in range(0, len(index), size))


def _images(images: ImageCollection, rows: Sequence[int]) -> Tensor:
    stacked = torch.stack([images[i] for i in rows]).float() / 255
    return stacked.contiguous(memory_format=torch.channels_last)


def _first_of_each(classes: Tensor, most: int) -> Tensor:
    """Return where the first `most` of each class stand."""
    seen: dict[int, int] = defaultdict(int)
    chosen = []
    for place, label in enumerate(classes.tolist()):
        seen[label] += 1
        if seen[label] <= most:
            chosen.append(place)
    return torch.tensor(chosen)


def class_means(embeddings: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return the unit mean embedding of each class, [classes, d], of unit embeddings [N, d]."""
    sums = torch.zeros(classes, embeddings.shape[1]).index_add_(0, labels, embeddings)
    return F.normalize(sums, dim=1)


def _error(module: nn.Module, latents: Tensor, noise: Tensor, angles: Tensor, classes: Tensor) -> Tensor:
    predicted = module(mixed(latents, noise, angles), angles, classes)
    return F.mse_loss(predicted.float(), velocity(latents, noise, angles))
