"""Recognition, the task metric: does a recogniser see the same in what arrived as in what was sent?"""

import csv
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from semcomm.errors import ConfigurationError, MetricError
from semcomm.images import content_hash, read_image
from semcomm.metrics.base import Metric
from semcomm.models.component import UsesWeights
from semcomm.models.recognisers import DEFAULT, Recogniser
from semcomm.models.recognisers import recogniser as recogniser_of

TITLES = {"agreement": "Recognition", "probability": "Recognition probability", "accuracy": "Recognition accuracy"}


class Recognition(UsesWeights, Metric):
    """Agreement of a recogniser with itself: 1 where it gives what arrived the class that it gave the original.

    With `score="probability"`, the probability that what arrived keeps of the original's first class, p'(c) / p(c), at
    most 1: smoother, and 1 for identical images. With `score="accuracy"`, 1 where the class is that of the data set.
    A mean over images is the rate of agreement, or the accuracy.

    Args:
        recogniser: a `Recogniser`, `efficientnet-lite0` (ImageNet's 1,000 classes, no download), or the folder or hub
            id of an image classifier of transformers.
        score: `agreement`, `probability` or `accuracy`.
        labels: for `accuracy`, a CSV file beside the images with the columns `file` and `label_column`. An original is
            found in it by its pixels, so images must be sent whole.
        label_column: holds the number of the class, in the recogniser's order, from 0.
    """

    range = (0.0, 1.0)
    same_size = False

    def __init__(
        self,
        recogniser: str | Recogniser = DEFAULT,
        score: Literal["agreement", "probability", "accuracy"] = "agreement",
        labels: str | None = None,
        label_column: str = "label",
    ) -> None:
        if score not in TITLES:
            raise ConfigurationError(f"Recognition: score is {score!r}; it is one of {', '.join(TITLES)}")
        if (score == "accuracy") != (labels is not None):
            raise ConfigurationError("Recognition: labels are for score 'accuracy', which needs them")
        self.recogniser = recogniser_of(recogniser)
        self.kind = score
        self.labels = labels
        self.label_column = label_column
        default = recogniser == DEFAULT
        self.name = TITLES[score] if default else f"{TITLES[score]} ({self.recogniser.name})"

    def weights(self) -> str:
        """Return the hash of the recogniser's weights."""
        return self.recogniser.weights()

    def prepare(self, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class that is expected of each image [B], and its probability in the original [B]."""
        found = self.recogniser.probabilities(reference)
        if self.labels is None:
            return found.argmax(1), found.amax(1)
        classes = torch.tensor([self._label(image) for image in reference])
        if int(classes.max()) >= found.shape[1]:
            raise MetricError(
                f"{self.labels}: class {int(classes.max())}, and {self.recogniser.name} has {found.shape[1]}"
            )
        return classes, found.gather(1, classes[:, None])[:, 0]

    def score(self, prepared: Sequence[Tensor], reconstruction: Tensor) -> Tensor:
        """Return the score of each image [B]."""
        classes, before = prepared
        found = self.recogniser.probabilities(reconstruction)
        if self.kind == "probability":
            after = found.gather(1, classes[:, None])[:, 0]
            return (after.double() / before.double()).clamp(max=1)
        return (found.argmax(1) == classes).double()

    def _label(self, image: Tensor) -> int:
        found = self._labels.get(content_hash(image))
        if found is None:
            raise MetricError(
                f"{self.name}: an image is not among those that {self.labels} lists; send them whole and unscaled"
            )
        return found

    @cached_property
    def _labels(self) -> dict[str, int]:
        path = Path(self.labels).expanduser()
        try:
            with path.open(newline="", encoding="utf-8") as text:
                rows = [(row["file"], int(row[self.label_column])) for row in csv.DictReader(text)]
        except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{path}: needs the columns 'file' and {self.label_column!r}, with numbers of classes ({error})"
            ) from None
        if not rows or min(label for _, label in rows) < 0:
            raise ConfigurationError(f"{path}: lists no images, or a class below 0")
        return {content_hash(read_image(path.parent / name)): label for name, label in rows}
