"""Training the embedded generator's autoencoder: images squeezed into latents, and back."""

import hashlib
import json
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from semcomm.errors import ModelError
from semcomm.models.encoders.base import DEFAULT, ImageEncoder, image_encoder, squash
from semcomm.models.generator.autoencoder import SIZE, STRIDE, AutoencoderNetwork, patches
from semcomm.training import augment
from semcomm.training.data import ImageCollection, class_folders, listed, share_of
from semcomm.training.losses import feature_loss, luma_ssim
from semcomm.training.task import Task

CACHE_SIZE = 192
"""Side in pixels at which images are kept for training."""
FINEST = 2
"""So many of the encoder's maps are compared."""
SPARED = 4
"""The projection is fitted to one image of so many."""


class Autoencoding(Task):
    """The embedded generator's autoencoder: a projection of patches, and a decoder trained to give images back.

    The loss is the mean absolute error, plus `structure` times 1 - SSIM of the luma, plus `features` times the squared
    distance between unit features of an image encoder, in the manner of LPIPS (Zhang et al. 2018).

    Args:
        class_folder: a folder with a folder of images for each class.
        photo_list: a CSV file beside further images, with the column `file`.
        attribution: lines for the card: the data's names, authors and licences.
        licence: of the trained weights, for the card.
        val_fraction: share of the images that is kept for validation, by the hash of their names.
        width: channels of the decoder at an eighth of the sides.
        depth: residual blocks there.
        crop: side of the training images.
        smallest_crop: least share of an image's area that a random crop has.
        noise: standard deviation of the Gaussian noise on the latents, whose own is 1: it makes near latents give
            near images.
        structure: weight of 1 - SSIM.
        features: weight of the distance between features.
        compared: share of the images of a step whose features are compared, which costs more than all else.
        encoder: an image encoder, or the name of one: whose features are compared.
    """

    excluded_from_recipe: ClassVar[frozenset[str]] = frozenset({"class_folder", "photo_list", "attribution", "licence"})

    def __init__(
        self,
        class_folder: str,
        photo_list: str | None = None,
        attribution: list[str] | None = None,
        licence: str | None = None,
        val_fraction: float = 0.05,
        width: int = 64,
        depth: int = 3,
        crop: int = 64,
        smallest_crop: float = 0.15,
        noise: float = 0.15,
        structure: float = 0.2,
        features: float = 0.5,
        compared: float = 0.25,
        encoder: str | ImageEncoder = DEFAULT,
    ) -> None:
        self.class_folder = class_folder
        self.photo_list = photo_list
        self.attribution = attribution or []
        self.licence = licence
        self.val_fraction = val_fraction
        self.width = width
        self.depth = depth
        self.crop = crop
        self.smallest_crop = smallest_crop
        self.noise = noise
        self.structure = structure
        self.features = features
        self.compared = compared
        self.encoder = image_encoder(encoder)

    def prepare(self, report: Callable[[str], None] | None = None) -> None:
        """Find, split and read the images."""
        found = class_folders(self.class_folder)
        self.authors: list[str] = []
        if self.photo_list is not None:
            photographs, rows = listed(self.photo_list, "file")
            found += [(path, "") for path, _ in photographs]
            self.authors = sorted({row["author"] for row in rows if row.get("author")}, key=str.casefold)
        named = [(path, f"{label}/{path.name}") for path, label in found]
        self.train = ImageCollection([p for p, name in named if share_of(name) >= self.val_fraction], CACHE_SIZE)
        self.validation = ImageCollection([p for p, name in named if share_of(name) < self.val_fraction], SIZE)
        self.train.read(report)
        self.validation.read(report)

    def fingerprint(self) -> str:
        """Return a hash of the names of all images, and of the encoder's weights."""
        names = [[path.name for path in part.paths] for part in (self.train, self.validation)]
        return hashlib.sha256(json.dumps([names, self.encoder.weights()]).encode()).hexdigest()

    def build(self) -> AutoencoderNetwork:
        """Return the network, its projection fitted to patches of the training images."""
        network = AutoencoderNetwork(self.width, self.depth)
        network.fit(*self._statistics())
        return network

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean [192] and covariance [192, 192] of the patches of every `SPARED`th image."""
        count, total, products = 0, 0.0, 0.0
        for index in range(0, len(self.train), SPARED):
            found = patches(_resized(self.train[index][None]))[0].flatten(1).double()
            count += found.shape[1]
            total, products = total + found.sum(1), products + found @ found.T
        mean = total / count
        return mean, products / count - mean.outer(mean)

    def batch(self, size: int, progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Return `images` [size, 3, crop, crop], cut at random."""
        index = torch.randint(len(self.train), (size,), generator=generator).tolist()
        crops = [augment.random_crop(self.train[i], self.crop, self.smallest_crop, generator) for i in index]
        images = augment.mirror(torch.stack(crops), generator)
        return {"images": images.contiguous(memory_format=torch.channels_last)}

    def losses(self, module: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Return the weighted sum as `loss`, and its parts."""
        images = batch["images"]
        latents = module.encode(images)
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        made = module.decode(latents + self.noise * noise).float()
        absolute = (made - images).abs().mean()
        structure = 1 - luma_ssim(made, images).mean()
        some = slice(max(1, round(self.compared * len(images))))
        distance = feature_loss(made[some], images[some], self.encoder, FINEST).mean()
        loss = absolute + self.structure * structure + self.features * distance
        return {"loss": loss, "absolute": absolute, "structure": structure, "features": distance}

    @torch.no_grad()
    def validate(self, module: AutoencoderNetwork) -> dict[str, float]:
        """Return PSNR in dB, SSIM of the luma and the encoder's cosine on held-back images; and of their latents."""
        device = next(module.parameters()).device
        scores = {"psnr": [], "ssim": [], "cosine": []}
        latents = []
        for start in range(0, len(self.validation), 32):
            rows = range(start, min(start + 32, len(self.validation)))
            images = _resized(torch.stack([self.validation[i] for i in rows])).to(device)
            latents.append(module.encode(images).float())
            made = module.decode(latents[-1]).float().clamp(0, 1)
            scores["psnr"].append(-10 * (made - images).square().mean(dim=(1, 2, 3)).log10())
            scores["ssim"].append(luma_ssim(made, images))
            scores["cosine"].append((self.encoder.embed(made) * self.encoder.embed(images)).sum(1))
        return {name: torch.cat(values).mean().item() for name, values in scores.items()} | {
            "latent_deviation": torch.cat(latents).std().item()
        }

    def exported(self, module: AutoencoderNetwork) -> dict[str, Tensor]:
        """Return the network's tensors in half precision."""
        return {k: v.half() if v.is_floating_point() else v for k, v in module.state_dict().items()}

    def load(self, module: AutoencoderNetwork, tensors: dict[str, Tensor]) -> None:
        """Start from a shipped autoencoder."""
        try:
            module.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
        except RuntimeError as error:
            raise ModelError(f"the weights belong to another network: {error}") from None

    def describe(self, module: AutoencoderNetwork) -> dict[str, Any]:
        """Return what the card says."""
        return {
            "name": "generator_autoencoder",
            "title": "Autoencoder of the embedded generator",
            "purpose": (
                f"The four principal components of each {STRIDE}x{STRIDE} patch: an image of {SIZE}x{SIZE} pixels "
                f"becomes a latent [4, {SIZE // STRIDE}, {SIZE // STRIDE}] of variance 1; and a residual network that "
                "makes images of them. Small, for trying the generative "
                "transceivers without a download; it is no match for Stable Diffusion's."
            ),
            "licence": self.licence,
            "network": {"width": self.width, "depth": self.depth},
            "parameters": sum(p.numel() for p in module.parameters()),
            "images": {"training": len(self.train), "validation": len(self.validation)},
            "encoder": self.encoder.weights(),
            "data": list(self.attribution),
            "authors": self.authors,
            "checks": {},
        }


def _resized(pixels: Tensor) -> Tensor:
    return squash(pixels.float() / 255, SIZE)
