"""The interface of a metric."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import wraps
from math import inf
from typing import Any, ClassVar

from torch import Tensor

from semcomm.component import Component
from semcomm.errors import MetricError
from semcomm.images import check_images


class Metric(Component, ABC):
    """Judges reconstructions against references, image by image; a mean over images is a mean of scores."""

    name: str
    """The name of its column."""
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    same_size: ClassVar[bool] = True
    """True where reference and reconstruction must have one size."""
    min_side: int = 1
    """The smallest height and width, in pixels, for which it is defined."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Put a check of what comes out around a `score` of the class's own."""
        super().__init_subclass__(**kwargs)
        if "score" in vars(cls):
            cls.score = _checked(cls.score)

    def __call__(self, reference: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the score of each image [B].

        Args:
            reference: [B, 3, H, W] in [0, 1].
            reconstruction: alike.

        Raises:
            ImageError: when they are of another shape, type or range.
            MetricError: when the metric is not defined for these sizes.
        """
        check_images(reference, f"{self.name}, reference")
        check_images(reconstruction, f"{self.name}, reconstruction")
        if len(reference) != len(reconstruction):
            raise MetricError(
                f"{self.name} compares image by image: {len(reference)} references do not fit {len(reconstruction)} "
                "reconstructions"
            )
        self.check(reference, reconstruction)
        return self.score(self.prepare(reference), reconstruction)

    def check(self, reference: Tensor, reconstruction: Tensor) -> None:
        """Raise a `MetricError` when the metric is not defined for images of these sizes."""
        for images in (reference, reconstruction):
            height, width = images.shape[-2:]
            if min(height, width) < self.min_side:
                raise MetricError(
                    f"{self.name} is not defined for {width}x{height} images: it needs sides of {self.min_side} pixels"
                    f"{self.smaller()}"
                )
        if self.same_size and reference.shape != reconstruction.shape:
            raise MetricError(
                f"{self.name} compares images of one size, not {_size(reference)} with {_size(reconstruction)}: "
                "scale or crop one of them"
            )

    def smaller(self) -> str:
        """Return what to do about images that are too small, to end an error message with."""
        return ""

    def prepare(self, reference: Tensor) -> Any:
        """Return what can be computed from the references alone; by default, themselves."""
        return reference

    @abstractmethod
    def score(self, prepared: Any, reconstruction: Tensor) -> Tensor:
        """Return the score of each reconstruction [B] against what `prepare` made of its reference."""


def _checked(score: Callable) -> Callable:
    @wraps(score)
    def checked(self: Metric, prepared: Any, reconstruction: Tensor) -> Tensor:
        scores = score(self, prepared, reconstruction)
        if not isinstance(scores, Tensor) or scores.shape != (len(reconstruction),):
            found = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise MetricError(
                f"{type(self).__name__}.score returned {found}; a tensor [{len(reconstruction)}] is needed, a score "
                "for each image"
            )
        return scores

    return checked


UNBOUNDED = (0.0, inf)


def _size(images: Tensor) -> str:
    return f"{images.shape[-1]}x{images.shape[-2]}"
