"""Scenes by composition: what finds objects, what embeds them, what tells relations; and the two ways SeSS fills it."""

import hashlib
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from semcomm.errors import ConfigurationError
from semcomm.metrics.sess.geometry import GeometricRelations
from semcomm.metrics.sess.graph import Parameters
from semcomm.metrics.sess.importance import spectral_residual
from semcomm.metrics.sess.relations import CLIPRelations, HeadRelations, RelationModel
from semcomm.metrics.sess.scene import Backend, Scene, crops, pooled, summed
from semcomm.models.component import UsesWeights
from semcomm.models.encoders.base import DEFAULT, ImageEncoder, image_encoder
from semcomm.models.encoders.transformers import TransformerEncoder
from semcomm.models.loading import Precision
from semcomm.models.segmenters import FeatureRegions, SAMMasks, Segmenter, downscaled_for

CROP_SIDE = 336
"""Objects are cut out at this side, above what most encoders take, and scaled to its input by the encoder."""
MAP_SIDE = 224
"""Side of the square at which the map of a whole image is made; a multiple of the strides 32, 16, 14 and 8."""


class Scenes(UsesWeights, Backend):
    """Scenes by a segmenter, an image encoder and a model of relations: any of your own, or those of semcomm.

    Args:
        segmenter: finds the objects.
        encoder: embeds them and the whole image: an `ImageEncoder`, or the name of one.
        relations: tells how they are related.
        objects: where an object's embedding is from: `crop`, the object cut out of the image and embedded by itself
            (equation 19 of the paper), or `map`, the mean of the whole image's feature map inside its mask; the
            image's own is then the mean of all of it.
        importance: what is summed inside a mask: `saliency` (equation 25), or `area`.
        both: try the regions of each image on the other as well, which needs `map`; the score is the largest.
        name: of the column.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        encoder: str | ImageEncoder,
        relations: RelationModel,
        objects: Literal["crop", "map"] = "crop",
        importance: Literal["saliency", "area"] = "saliency",
        both: bool = False,
        name: str = "own scenes",
    ) -> None:
        if objects not in ("crop", "map") or importance not in ("saliency", "area"):
            raise ConfigurationError("Scenes: objects is 'crop' or 'map', importance 'saliency' or 'area'")
        if both and objects != "map":
            raise ConfigurationError("Scenes: regions of both images are tried on maps; set objects to 'map'")
        self.segmenter = segmenter
        self.encoder = image_encoder(encoder)
        self.relations = relations
        self.objects = objects
        self.importance = importance
        self.both = both
        self.name = name

    @property
    def predicates(self) -> tuple[str, ...]:
        """Names of the predicates."""
        return self.relations.predicates

    def weights(self) -> str:
        """Return the hashes of all parts that have weights, as one."""
        parts = (self.segmenter, self.encoder, self.relations)
        hashes = [part.weights() for part in parts if isinstance(part, UsesWeights)]
        return hashlib.sha256(" ".join(hashes).encode()).hexdigest()

    def describe(self, image: Tensor, crop: str) -> Scene:
        """Find the scene of one image [3, H, W] in [0, 1], its objects cut out by `mask` or `box`, or pooled."""
        image = downscaled_for(self.segmenter, image)
        features = None
        if self.objects == "map" or self.segmenter.uses_features:
            (features,) = self.encoder.features([image], MAP_SIDE)
        segments = self.segmenter.segment(image, features)
        graph = self.relations.relate(image, segments)
        masks = segments.masks[graph.nodes]
        if self.objects == "crop":
            (whole,) = self.encoder.embed([image]).double().numpy()
            cut = crops(image, masks, crop, CROP_SIDE)
            rows = self.encoder.embed(cut).double().numpy() if len(cut) else np.zeros((0, len(whole)))
            sums = summed(self._weighed(image, *masks.shape[1:]), masks)
            return Scene(whole, rows, masks, sums, graph.relation, graph.relation_score)
        plane = self._weighed(image, *features.shape[1:])
        features = features.half().numpy()
        (whole,) = pooled(features, np.ones((1, *plane.shape), bool))
        found = pooled(features, masks), masks, summed(plane, masks), graph.relation, graph.relation_score
        return Scene(whole, *found, features, plane)

    def _weighed(self, image: Tensor, height: int, width: int) -> np.ndarray:
        """Return what importance sums, `float32` [height, width]."""
        if self.importance == "area":
            return np.ones((height, width), np.float32)
        plane = spectral_residual(image)[None, None]
        return torch.nn.functional.interpolate(plane, (height, width), mode="area")[0, 0].numpy()

    def predicate_similarity(self) -> np.ndarray:
        """Return the similarity of each predicate to each [p, p]."""
        return self.relations.predicate_similarity()


class Embedded(Scenes):
    """Scenes that need no download: regions of an image encoder's feature map, and relations by their geometry.

    It departs from the paper where that proved better (`docs/sess.md` has the ablations): objects are pooled from the
    map of the whole image instead of cut out, weighed by their area, each image's regions are tried on the other, and
    the similarity of the whole images weighs as much as that of the graphs.

    Args:
        encoder: an image encoder with a feature map, or the name of one.
        regions: so many objects in an image.
    """

    version = 2
    parameters = Parameters.embedded()

    def __init__(self, encoder: str | ImageEncoder = DEFAULT, regions: int = 4) -> None:
        found = image_encoder(encoder)
        name = "embedded" if encoder == DEFAULT else f"embedded, {found.name}"
        super().__init__(FeatureRegions(regions), found, GeometricRelations(), "map", "area", both=True, name=name)


class Pretrained(Scenes):
    """Scenes by the models of the SeSS paper, by name, local folder or file.

    An image is first shrunk to `max_width`, as the authors do. Where there is no relation head, relations are
    zero-shot: CLIP compares the crop that holds two objects with the predicates; it does not see which is the subject.

    Args:
        sam: short name, hub id or folder of a `SamModel`, or a checkpoint file of Meta's.
        clip: short name, hub id or folder of a CLIP.
        relation_head: checkpoint of a relation head in the Relate-Anything layout; none asks CLIP.
        grid: points per side from which masks are sought. 32 are SAM's default; 8 are bearable without a GPU.
        max_width: of the image, in pixels.
        precision: of weights and arithmetic of SAM and CLIP.
        trust_pickle: read checkpoints that are pickles (Meta's and the authors' are).
        device: `auto`, or as PyTorch names it.
    """

    excluded_from_recipe = CLIPRelations.excluded_from_recipe | {"sam", "relation_head"}

    def __init__(
        self,
        sam: str = "sam-vit-huge",
        clip: str = "clip-vit-h-14",
        relation_head: str | None = None,
        grid: int = 32,
        max_width: int = 800,
        precision: Precision = "fp32",
        trust_pickle: bool = False,
        device: str = "auto",
    ) -> None:
        options = clip, precision, trust_pickle, device
        relations = HeadRelations(relation_head, *options) if relation_head else CLIPRelations(*options)
        super().__init__(
            SAMMasks(sam, grid, max_width, precision, trust_pickle, device),
            TransformerEncoder(clip, precision, device, trust_pickle),
            relations,
            name="pretrained" if relation_head else "pretrained, zero-shot relations",
        )
