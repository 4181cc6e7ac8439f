"""Metrics on sets of images: one number for all reconstructions against all references."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from semcomm.component import Component
from semcomm.errors import ConfigurationError, MetricError
from semcomm.images import check_images
from semcomm.metrics.base import UNBOUNDED
from semcomm.models import UsesWeights, load_module, weights_of
from semcomm.models.encoders.base import DEFAULT, ImageEncoder, image_encoder
from semcomm.models.inception import CLASSIFIER, InceptionV3

PUBLISHED_MINIMUM = 2048
"""Fewer images than Inception has features leave their covariance singular and the distance biased upwards."""


class SetMetric(Component, ABC):
    """Judges a set of reconstructions against a set of references, with one number.

    It works in two steps, so that features are computed batch by batch, wherever the images are, and kept: `features`
    of each image, which depend on that image alone, then `distance` of two sets of them. The order within a set does
    not matter, and the sets may differ in size.
    """

    name: str
    """The name of its column."""
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    range: ClassVar[tuple[float, float]] = UNBOUNDED
    minimum: int
    """The fewest images that a set may have."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Put a check of what comes out around `features` of the class's own."""
        super().__init_subclass__(**kwargs)
        if "features" in vars(cls):
            cls.features = _checked(cls.features)

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Return the features of each image, `float32` [B, d] on the CPU, of images [B, 3, H, W] in [0, 1]."""

    @abstractmethod
    def distance(self, reference: Tensor, reconstruction: Tensor) -> float:
        """Return the number for two sets of features [n, d] and [m, d].

        Raises:
            MetricError: when a set is too small, or a feature is no number.
        """

    def __call__(self, references: Iterable[Tensor], reconstructions: Iterable[Tensor]) -> float:
        """Return the number for two sets of images, each given as batches [B, 3, H, W] of whatever sizes.

        Raises:
            ImageError: when a batch is of another shape, type or range.
            MetricError: when a set is too small, or a feature is no number.
        """
        return self.distance(*(self._features_of(s) for s in (references, reconstructions)))

    def _features_of(self, batches: Iterable[Tensor]) -> Tensor:
        found = []
        for batch in batches:
            check_images(batch, self.name)
            found.append(self.features(batch))
        if not found:
            raise MetricError(f"{self.name}: a set has no images")
        return torch.cat(found)


def _checked(features: Callable) -> Callable:
    @wraps(features)
    def checked(self: SetMetric, images: Tensor) -> Tensor:
        found = features(self, images)
        if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != len(images):
            what = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise MetricError(f"{type(self).__name__}.features returned {what}; a tensor [{len(images)}, d] is needed")
        return found.detach().float().cpu()

    return checked


class _FrechetDistance(UsesWeights, SetMetric):
    """Fréchet distance of two sets of features, each taken as a Gaussian."""

    def __init__(self, minimum: int) -> None:
        if minimum < 2:
            raise ConfigurationError(f"minimum is {minimum}; a covariance needs at least 2 images")
        self.minimum = minimum

    def distance(self, reference: Tensor, reconstruction: Tensor) -> float:
        """Return the distance of two sets of features [n, d] and [m, d]."""
        for which, features in (("references", reference), ("reconstructions", reconstruction)):
            if len(features) < self.minimum:
                raise MetricError(
                    f"{self.name} of {len(features)} {which}: it needs at least {self.minimum}, for with fewer the "
                    f"number depends on how many they are. Use more images, or say minimum={max(2, len(features))} "
                    "and compare only sets of one size"
                )
            if not features.isfinite().all():
                raise MetricError(f"{self.name}: the features of the {which} hold values that are no numbers")
        return frechet_distance(reference.double().numpy(), reconstruction.double().numpy())


class FID(_FrechetDistance):
    """Fréchet inception distance (Heusel et al., NeurIPS 2017) of two sets of images; 0 for the same set.

    ‖μ_1 − μ_2‖² + tr(Σ_1 + Σ_2 − 2(Σ_1Σ_2)^½) of the 2,048 pooled features of Inception v3, with the weights and
    the resizing of pytorch-fid (bilinear to 299x299, no antialiasing), whose numbers are the ones published.

    Args:
        weights: the file `pt_inception-2015-12-05-6726825d.pth` or its tensors as safetensors, or a folder that holds
            one; by default what `semcomm models fetch inception-fid --trust-pickle` has put in place.
        minimum: the fewest images that a set may have. The distance of small sets is biased.
        trust_pickle: read the `.pth`, which is a pickle.
        device: `auto`, or as PyTorch names it.
    """

    name = "FID"

    def __init__(
        self,
        weights: str | None = None,
        minimum: int = PUBLISHED_MINIMUM,
        trust_pickle: bool = False,
        device: str = "auto",
    ) -> None:
        super().__init__(minimum)
        self.model = weights or "inception-fid"
        self.trust_pickle = trust_pickle
        self.device = device

    def weights(self) -> str:
        """Return the hash of the network's weights."""
        return weights_of(self.model, self.trust_pickle)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return Inception's features [B, 2048]."""
        network = load_module(self.model, InceptionV3, self.device, self.trust_pickle, exact=CLASSIFIER)
        device = next(network.parameters()).device
        return torch.cat([network(part.to(device)).cpu() for part in images.split(16)])


class EmbeddedFID(_FrechetDistance):
    """Fréchet distance of the embeddings by an image encoder; with the default one it needs no download.

    Its numbers are on another scale than FID's and not to be compared with any published one.

    Args:
        minimum: the fewest images that a set may have.
        encoder: an `ImageEncoder`, or the name of one.
    """

    def __init__(self, minimum: int = PUBLISHED_MINIMUM, encoder: str | ImageEncoder = DEFAULT) -> None:
        super().__init__(minimum)
        self.encoder = image_encoder(encoder)
        self.name = f"Fréchet distance ({self.encoder.name})"

    def weights(self) -> str:
        """Return the hash of the encoder."""
        return self.encoder.weights()

    def features(self, images: Tensor) -> Tensor:
        """Return unit embeddings [B, d]."""
        return self.encoder.embed(images)


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the squared Fréchet (Wasserstein-2) distance of the Gaussians fitted to two sets of vectors.

    tr (Σ_1Σ_2)^½ is the sum of the singular values of A_1ᵀA_2 for any A_i with A_iA_iᵀ = Σ_i (Dowson and Landau
    1982). Unlike a general matrix root, that stays real and accurate when a covariance is singular, as it always is
    with fewer vectors than dimensions.

    Args:
        first: [n, d], `float64`.
        second: [m, d].
    """
    from scipy.linalg import svdvals

    means, factors = [], []
    for vectors in (first, second):
        means.append(vectors.mean(0))
        centred = (vectors - means[-1]) / np.sqrt(len(vectors) - 1)
        # R of QR has the same RᵀR with d rows where there are more vectors than that
        factors.append((np.linalg.qr(centred, mode="r") if len(vectors) > vectors.shape[1] else centred).T)
    spread = sum(np.square(factor).sum() for factor in factors)
    distance = np.square(means[0] - means[1]).sum() + spread - 2 * svdvals(factors[0].T @ factors[1]).sum()
    return max(0.0, float(distance))
