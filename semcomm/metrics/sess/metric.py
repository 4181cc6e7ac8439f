"""SeSS as a metric."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from semcomm.metrics.base import Metric
from semcomm.metrics.sess.embedded import Embedded
from semcomm.metrics.sess.graph import Parameters
from semcomm.metrics.sess.matching import Match, match
from semcomm.metrics.sess.pretrained import Pretrained
from semcomm.metrics.sess.scene import Backend, Scene, image_similarity

BACKENDS = {"embedded": Embedded, "pretrained": Pretrained}
PRESETS = {"paper": Parameters.paper, "authors": Parameters.authors}


class SeSS(Metric):
    """Semantic Similarity Score: how well the object-relation graphs of two images match (equations 18 to 25).

    Source: "Semantic Similarity Score for Measuring Visual Similarity at Semantic Level". The images may differ in
    size. Two images without objects have the similarity of the whole images alone.

    Args:
        backend: what finds objects, embeds them and finds relations: `embedded`, `pretrained`, or one of them with
            arguments of its own. `embedded` needs no download and is for trying and testing; its scores are not those
            of the paper's models. The backend's name is in the column's name.
        parameters: `paper`, `authors`, or a file that `semcomm sess tune` wrote.
    """

    range = (0.0, 1.0)
    same_size = False

    def __init__(
        self, backend: Literal["embedded", "pretrained"] | Backend = "embedded", parameters: str | Parameters = "paper"
    ):
        self.backend = BACKENDS[backend]() if isinstance(backend, str) else backend
        if isinstance(parameters, str):
            self.parameters = PRESETS[parameters]() if parameters in PRESETS else Parameters.load(parameters)
            label = parameters if parameters in PRESETS else Path(parameters).stem
        else:
            self.parameters, label = parameters, "own parameters"
        self.name = f"SeSS ({self.backend.name})" if label == "paper" else f"SeSS ({self.backend.name}, {label})"

    def prepare(self, reference: Tensor) -> list[Scene]:
        """Return the scene of each reference."""
        return [self.backend.scene(image, self.parameters.crop) for image in reference]

    def score(self, prepared: Sequence[Scene], reconstruction: Tensor) -> Tensor:
        """Return the SeSS of each image [B]."""
        scenes = [self.backend.describe(image, self.parameters.crop) for image in reconstruction]
        return torch.tensor([self.match(a, b).score for a, b in zip(prepared, scenes)], dtype=torch.float64)

    def match(self, reference: Scene, reconstruction: Scene) -> Match:
        """Match two scenes."""
        graphs = (scene.graph(self.parameters) for scene in (reference, reconstruction))
        return match(
            *graphs,
            image_similarity(reference, reconstruction),
            self.backend.predicate_similarity(),
            self.parameters,
        )
