"""The pretrained backend of SeSS: masks by SAM, relations by a trained head or by CLIP, embeddings by CLIP."""

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from semcomm.metrics.sess.importance import saliency_sums, spectral_residual
from semcomm.metrics.sess.relations import Relations, clip_scores, predicates, relations
from semcomm.metrics.sess.scene import Backend, Scene, crops
from semcomm.models import Precision, UsesWeights, device_of, load_transformer, weights_of
from semcomm.models.clip import CLIP
from semcomm.models.loading import shared
from semcomm.models.relation_head import RelationHead
from semcomm.models.sam_checkpoint import load_sam
from semcomm.models.sam_masks import MaskSettings, ObjectMasks, downscaled, generate_masks

CROP_SIDE = 336
"""Objects are cut out at this side, above what any CLIP takes, and scaled to its input by its own processor."""


class Pretrained(UsesWeights, Backend):
    """The models of the SeSS paper, by name, local folder or file.

    An image is first downscaled to `max_width`, as the authors do. Where there is no relation head, relations are
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

    predicates = predicates()
    excluded_from_recipe = frozenset(
        {"device", "sam", "clip", "relation_head", "trust_pickle"}
    )  # `weights` says which they are

    def __init__(
        self,
        sam: str = "sam-vit-huge",
        clip: str = "clip-vit-h-14",
        relation_head: str | None = None,
        grid: int = 32,
        max_width: int = 800,
        precision: Precision = "float32",
        trust_pickle: bool = False,
        device: str = "auto",
    ) -> None:
        self.name = "pretrained" if relation_head else "pretrained, zero-shot relations"
        self.sam = sam
        self.relation_head = relation_head
        self.settings = MaskSettings(grid=grid, max_width=max_width)
        self.precision = precision
        self.trust_pickle = trust_pickle
        self.device = device
        self.clip = CLIP(clip, precision, device, trust_pickle)

    def weights(self) -> str:
        """Return the hashes of SAM, CLIP and the relation head, as one."""
        hashes = [weights_of(self.sam, self.trust_pickle), self.clip.weights()]
        if self.relation_head:
            hashes.append(weights_of(self.relation_head, self.trust_pickle))
        return hashlib.sha256(" ".join(hashes).encode()).hexdigest()

    def describe(self, image: Tensor, crop: str) -> Scene:
        """Find the scene of one image [3, H, W] in [0, 1], its objects cut out by `mask` or `box`."""
        image = downscaled(image, self.settings.max_width)
        (found,) = generate_masks(self._sam, [image], self.settings)
        graph = self._relations(image, found)
        masks = found.masks.cpu().numpy()[graph.nodes]
        rows = self.clip.embed_images([image, *crops(image, masks, crop, CROP_SIDE)]).double().numpy()
        sums = saliency_sums(spectral_residual(image), torch.from_numpy(masks))
        return Scene(rows[0], rows[1:], masks, sums, graph.relation, graph.relation_score)

    def predicate_similarity(self) -> np.ndarray:
        """Return the cosine of CLIP's embeddings of the 56 predicates [56, 56] (equation 21)."""
        return self._predicate_similarity

    @cached_property
    def _predicate_similarity(self) -> np.ndarray:
        texts = self.clip.embed_texts(list(self.predicates)).double().numpy()
        return texts @ texts.T

    def _relations(self, image: Tensor, found: ObjectMasks) -> Relations:
        if self.relation_head:
            return relations(self._head.scores(found.tokens))
        return relations(clip_scores(image, found.boxes, self.clip.embed_images, self.clip.embed_texts))

    @property
    def _sam(self) -> torch.nn.Module:
        path = Path(self.sam).expanduser()
        if not path.is_file():
            return load_transformer(self.sam, "SamModel", self.precision, self.device, self.trust_pickle)
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        key = ("sam", str(path), self.precision, self.device)
        return shared(key, lambda: load_sam(path, self.trust_pickle).to(device_of(self.device), dtype))

    @property
    def _head(self) -> RelationHead:
        def load() -> RelationHead:
            head = RelationHead.load(self.relation_head, trust_pickle=self.trust_pickle)
            return head.to(device_of(self.device)).eval()

        return shared(("relation head", self.relation_head, self.device), load)
