"""Training of any learned codec: random crops, an SNR and a plan of layers for each, a channel, a loss."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from semcomm.component import class_path
from semcomm.errors import ConfigurationError, ModelError
from semcomm.jscc.checks import figures
from semcomm.jscc.codec import Codec
from semcomm.jscc.network import LearnedNetwork, uniform_plan
from semcomm.jscc.training_channel import simulate
from semcomm.training import Task, augment, losses
from semcomm.training.data import ImageCollection, share_of
from semcomm.training.sources import images_of

MOST_VALIDATED = 48
"""Images kept for validation are used up to this number."""
VALIDATION_SIZE = 256
"""Side in pixels of the square cut from their middle."""
VALIDATION_SNRS_DB = (0.0, 10.0, 20.0)


class JSCCTask(Task):
    """The training of a learned codec: a subclass implements `build`, which returns its `LearnedNetwork`.

    Images, crops, SNRs, the channel, the loss, validation and the card are there; each step is a method that a
    subclass may replace. Only images below `crop` are enlarged.

    Args:
        folders: folders of images, CSV files with a column `file` beside images, folders with the batches of CIFAR-10,
            or torch datasets as `{class_path, init_args}` (`semcomm.training.sources`).
        shares: relative frequency of crops from each folder; in proportion to their images if left out.
        attribution: lines for the card: the data's names, authors and licences.
        licence: of the trained weights, for the card.
        val_fraction: share of the images kept for validation, by the hash of their names.
        crop: side of the square crops in pixels.
        downscale_fraction: share of the crops that are cut larger, by up to half, and reduced to `crop`.
        snr_db: range of the SNRs drawn, uniform in dB.
        loss: weights of `mse` (relative to what the channel allows), `ms_ssim` and `features`.
        name: of the exported file.
    """

    excluded_from_recipe: ClassVar[frozenset[str]] = frozenset({"folders", "attribution", "licence", "name"})

    def __init__(
        self,
        folders: list[str | dict[str, Any]],
        shares: list[float] | None = None,
        attribution: list[str] | None = None,
        licence: str | None = None,
        val_fraction: float = 0.04,
        crop: int = 128,
        downscale_fraction: float = 0.25,
        snr_db: tuple[float, ...] = (-2.0, 20.0),
        loss: dict[str, float] | None = None,
        name: str = "codec",
    ) -> None:
        self.folders = folders
        self.shares = shares
        self.attribution = attribution or []
        self.licence = licence
        self.val_fraction = val_fraction
        self.crop = crop
        self.downscale_fraction = downscale_fraction
        self.snr_db = snr_db
        self.loss = loss or {"mse": 1.0}
        self.name = name
        if not folders:
            raise ConfigurationError("folders is empty; name at least one folder or list of images")
        if crop % 16 or crop < 16:
            raise ConfigurationError(f"crop is {crop}; it must be a multiple of 16")
        if len(snr_db) != 2 or snr_db[0] > snr_db[1]:
            raise ConfigurationError(f"snr_db is {list(snr_db)}; it is the lowest and the highest SNR in dB")
        if shares is not None and (len(shares) != len(folders) or min(shares) < 0 or not sum(shares)):
            raise ConfigurationError(f"shares is {shares}; it has a number for each of {len(folders)} folders")
        for kind in self.loss:
            if kind not in losses.KINDS:
                raise ConfigurationError(f"loss: there is no {kind!r}; choose from {', '.join(losses.KINDS)}")
        if min(self.loss.values()) < 0 or not sum(self.loss.values()):
            raise ConfigurationError(f"loss is {self.loss}; weights are at least 0, and one is above it")
        if self.loss.get("ms_ssim") and crop < losses.SMALLEST_FOR_MS_SSIM:
            raise ConfigurationError(f"loss: ms_ssim needs a crop of {losses.SMALLEST_FOR_MS_SSIM} pixels or more")

    @cached_property
    def template(self) -> LearnedNetwork:
        """The network without weights, for its layers and stride."""
        with torch.device("meta"):
            return self.build()

    def prepare(self, report: Callable[[str], None] | None = None) -> None:
        """Find, split and read the images."""
        train, held, self.authors = [], [], set()
        for folder in self.folders:
            paths, authors = images_of(folder)
            self.authors |= authors
            kept = [p for p in paths if share_of(p.name) < self.val_fraction]
            held += kept
            train.append([p for p in paths if share_of(p.name) >= self.val_fraction])
        self.train = [ImageCollection(paths) for paths in train]
        for images in self.train:
            images.read(report)
        self.validation = ImageCollection(sorted(held, key=lambda p: share_of(p.name))[:MOST_VALIDATED])
        if held:
            self.validation.read(report)
        counts = torch.tensor([float(len(p)) for p in self.train])
        self.weights = counts if self.shares is None else torch.tensor(self.shares, dtype=torch.float32)

    def fingerprint(self) -> str:
        """Return a hash of the names of all images."""
        names = [[p.name for p in images.paths] for images in (*self.train, self.validation)]
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()

    def batch(self, size: int, progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Return `images` [size, 3, crop, crop], `snr_db`, `known_snr_db` and `fading` [size], and the `plan`."""
        sources = torch.multinomial(self.weights, size, replacement=True, generator=generator).tolist()
        images = torch.stack([self._crop(self.train[source], generator) for source in sources])
        images = augment.mirror(images, generator)
        turned = torch.rand(size, generator=generator) < 0.5
        images = torch.where(turned[:, None, None, None], images.transpose(2, 3), images)
        snr_db = augment.uniform(generator, *self.snr_db, size)
        return {
            "images": images.contiguous(memory_format=torch.channels_last),
            "snr_db": snr_db,
            "known_snr_db": snr_db,
            "fading": torch.zeros(size, dtype=torch.bool),
            **self.draw(images, snr_db, generator),
        }

    def draw(self, images: Tensor, snr_db: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the `plan` of a batch, all layers everywhere, and whatever else a subclass draws for it."""
        return {"plan": uniform_plan(images, self.template, len(self.template.layers))}

    def _crop(self, images: ImageCollection, generator: torch.Generator) -> Tensor:
        image = images[int(torch.randint(len(images), (1,), generator=generator))]
        larger, factor, top, left = torch.rand(4, generator=generator).tolist()
        side = self.crop if larger >= self.downscale_fraction else round(self.crop * (1 + 0.5 * factor))
        side = min(side, *image.shape[1:])
        top, left = int(top * (image.shape[1] - side + 1)), int(left * (image.shape[2] - side + 1))
        return augment.resized_window(image, top, left, side, self.crop)

    def losses(self, module: LearnedNetwork, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Return the weighted sum as `loss`, and its parts."""
        images, plan, snr_db = batch["images"], batch["plan"], batch["snr_db"]
        sent, gains = module.encode(images, batch["known_snr_db"], plan)
        reconstruction = simulate(module, sent, gains, snr_db, batch["fading"], plan, generator)
        parts = {}
        if self.loss.get("mse"):
            table = torch.tensor([0, *module.uses], dtype=torch.float32, device=plan.device)
            uses_per_pixel = table[plan.long()].mean((1, 2)) / module.stride**2
            typical = losses.typical_mse(uses_per_pixel, snr_db)
            parts["mse"] = losses.relative_mse(reconstruction, images, typical).mean()
        if self.loss.get("ms_ssim"):
            parts["ms_ssim"] = losses.ms_ssim_loss(reconstruction, images).mean()
        if self.loss.get("features"):
            parts["features"] = losses.feature_loss(reconstruction, images).mean()
        return {"loss": sum(self.loss[kind] * part for kind, part in parts.items()), **parts}

    @torch.no_grad()
    def validate(self, module: LearnedNetwork) -> dict[str, float]:
        """Return the mean PSNR in dB of the validation images' middles at each of `validation_points`."""
        if not len(self.validation):
            return {}
        device = next(module.parameters()).device
        images = torch.stack([_middle(self.validation[i]) for i in range(len(self.validation))]).float() / 255
        scores = {}
        for name, snr_db, plan in self.validation_points(images, module):
            values = []
            for part, its_plan in zip(images.split(8), plan.split(8)):
                part, its_plan = part.to(device), its_plan.to(device)
                known = torch.full((len(part),), float(snr_db), device=device)
                generator = torch.Generator(device).manual_seed(1)
                fading = torch.zeros(len(part), dtype=torch.bool, device=device)
                sent, gains = module.encode(part, known, its_plan)
                found = simulate(module, sent, gains, known, fading, its_plan, generator)
                error = (found.clamp(0, 1) - part) ** 2
                values.append(-10 * torch.log10(error.mean((1, 2, 3))).cpu())
            scores[f"psnr {name} {snr_db:g} dB"] = torch.cat(values).mean().item()
        return scores

    def validation_points(self, images: Tensor, module: LearnedNetwork) -> Sequence[tuple[str, float, Tensor]]:
        """Return (name, SNR in dB, plan) of each validation: all layers everywhere, at three SNRs."""
        plan = uniform_plan(images, module, len(module.layers))
        return [("", snr_db, plan) for snr_db in VALIDATION_SNRS_DB]

    def exported(self, module: LearnedNetwork) -> dict[str, Tensor]:
        """Return all weights in half precision."""
        return {k: v.half() for k, v in module.state_dict().items()}

    def load(self, module: LearnedNetwork, tensors: dict[str, Tensor]) -> None:
        """Start from a shipped codec of the same shape; its constellations may be others."""
        try:
            module.load_state_dict({k: v.float() for k, v in tensors.items()})
        except RuntimeError as error:
            raise ModelError(f"the weights belong to another network: {error}") from None

    def describe(self, module: LearnedNetwork) -> dict[str, Any]:
        """Return the card: the network's class and options, the data, and figures of the shipped weights."""
        shipped = self.build()
        shipped.load_state_dict({k: v.float().cpu() for k, v in self.exported(module).items()})
        return {
            "name": self.name,
            "title": f"A learned codec: {type(module).__name__}",
            "purpose": (
                f"{len(module.layers)} layers of {module.constellation} symbols, trained for SNRs from "
                f"{self.snr_db[0]:g} to {self.snr_db[1]:g} dB."
            ),
            "class_path": class_path(type(module)),
            "constellations": [module.constellation],
            "licence": self.licence,
            "network": module.options,
            "parameters": sum(p.numel() for p in module.parameters()),
            "images": {"training": sum(map(len, self.train)), "validation": len(self.validation)},
            "snr_db": list(self.snr_db),
            "data": list(self.attribution),
            "authors": sorted(self.authors, key=str.casefold),
            "checks": figures(Codec(shipped)),
        }


def _middle(image: Tensor) -> Tensor:
    """Return the middle VALIDATION_SIZE square of an image, which is repeated at its borders where it is smaller."""
    height, width = image.shape[1:]
    rows = (torch.arange(VALIDATION_SIZE) + (height - VALIDATION_SIZE) // 2).clamp(0, height - 1)
    columns = (torch.arange(VALIDATION_SIZE) + (width - VALIDATION_SIZE) // 2).clamp(0, width - 1)
    return image[:, rows][:, :, columns]
