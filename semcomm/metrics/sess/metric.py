"""SeSS as a metric."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from semcomm.metrics.base import Metric
from semcomm.metrics.sess.graph import Parameters
from semcomm.metrics.sess.matching import Match, match
from semcomm.metrics.sess.scene import Backend, Scene, image_similarity
from semcomm.metrics.sess.scenes import Embedded, Pretrained

BACKENDS = {"embedded": Embedded, "pretrained": Pretrained}
PRESETS = {"paper": Parameters.paper, "authors": Parameters.authors, "embedded": Parameters.embedded}


class SeSS(Metric):
    """Semantic Similarity Score: how well the object-relation graphs of two images match (equations 18 to 25).

    Source: "Semantic Similarity Score for Measuring Visual Similarity at Semantic Level". The images may differ in
    size. Two images without objects have the similarity of the whole images alone.

    Args:
        backend: what finds objects, embeds them and tells relations: `embedded`, `pretrained`, or one of them with
            arguments of its own, or `Scenes` of your parts. `embedded` needs no download; its scores are not those of
            the paper's models. The backend's name is in the column's name.
        parameters: `paper`, `authors`, `embedded`, or a file that `semcomm sess tune` wrote; by default those of the
            backend, which are `paper` but for `embedded`.
    """

    range = (0.0, 1.0)
    same_size = False

    def __init__(
        self,
        backend: Literal["embedded", "pretrained"] | Backend = "embedded",
        parameters: str | Parameters | None = None,
    ) -> None:
        self.backend = BACKENDS[backend]() if isinstance(backend, str) else backend
        label = None
        if parameters is None:
            self.parameters = self.backend.parameters
        elif isinstance(parameters, Parameters):
            self.parameters, label = parameters, "own parameters"
        elif parameters in PRESETS:
            self.parameters = PRESETS[parameters]()
            label = None if self.parameters == self.backend.parameters else parameters
        else:
            self.parameters, label = Parameters.load(parameters), Path(parameters).stem
        self.name = f"SeSS ({self.backend.name}, {label})" if label else f"SeSS ({self.backend.name})"

    def prepare(self, reference: Tensor) -> list[Scene]:
        """Return the scene of each reference."""
        return [self.backend.scene(image, self.parameters.crop) for image in reference]

    def score(self, prepared: Sequence[Scene], reconstruction: Tensor) -> Tensor:
        """Return the SeSS of each image [B]."""
        scenes = [self.backend.describe(image, self.parameters.crop) for image in reconstruction]
        return torch.tensor([self.match(a, b).score for a, b in zip(prepared, scenes)], dtype=torch.float64)

    def match(self, reference: Scene, reconstruction: Scene) -> Match:
        """Match two scenes."""
        return self.match_views(reference, reconstruction)[0]

    def match_views(self, reference: Scene, reconstruction: Scene) -> tuple[Match, tuple[Scene, Scene]]:
        """Return the best match of two scenes, and the scenes that it matches; see `Backend.views`."""
        image_score, predicates = image_similarity(reference, reconstruction), self.backend.predicate_similarity()
        found = [
            (match(*(scene.graph(self.parameters) for scene in pair), image_score, predicates, self.parameters), pair)
            for pair in self.backend.views(reference, reconstruction)
        ]
        return max(found, key=lambda view: view[0].score)
