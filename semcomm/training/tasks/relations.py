"""Training the relation head of SeSS on the PSG dataset's own files."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from semcomm import memo
from semcomm.errors import ModelError
from semcomm.images import content_hash
from semcomm.models import Precision, load_transformer, weights_of
from semcomm.models.relation_head import RelationHead, head_loss
from semcomm.training.psg import PSG, mask_tokens, recall
from semcomm.training.task import Task


class RelationTraining(Task):
    """A relation head in the Relate-Anything layout, from SAM's tokens of PSG's true masks to PSG's relations.

    SAM runs once for each image, before the first step; its tokens are kept in `token_folder`, so that a run that was
    stopped there goes on. Images with fewer than two masks teach nothing and are left out. Validation is recall on the
    dataset's own test split, masks given.

    Args:
        annotations: the file `psg.json`.
        images: the folder that its `file_name` starts from.
        panoptic: the folder that its `pan_seg_file_name` starts from.
        token_folder: where SAM's tokens are kept.
        sam: short name, hub id or folder of a `SamModel`.
        bert: folder or hub id of a BERT whose first layers the head starts from, as the authors' did; none starts anew.
        precision: of SAM.
        width: of the head's layers; 768 is BERT-base's.
        heads: attention heads.
        intermediate: width of the feed-forward part.
        layers: how many.
        feature_width: of a subject or object in each predicate's space.
        limit: the first so many images of each split only.
    """

    excluded_from_recipe: ClassVar[frozenset[str]] = frozenset({"annotations", "images", "panoptic", "token_folder"})

    def __init__(
        self,
        annotations: str,
        images: str,
        panoptic: str,
        token_folder: str,
        sam: str = "sam-vit-huge",
        bert: str | None = None,
        precision: Precision = "fp32",
        width: int = 768,
        heads: int = 12,
        intermediate: int = 3072,
        layers: int = 2,
        feature_width: int = 512,
        limit: int | None = None,
    ) -> None:
        self.files = annotations, images, panoptic
        self.token_folder = token_folder
        self.sam = sam
        self.bert = bert
        self.precision = precision
        self.sizes = {
            "width": width,
            "heads": heads,
            "intermediate": intermediate,
            "layers": layers,
            "feature_width": feature_width,
        }
        self.limit = limit

    def prepare(self, report: Callable[[str], None] | None = None) -> None:
        """Read both splits and have SAM's tokens of every mask.

        Raises:
            ImageError: when the dataset cannot be read.
            ModelError: when SAM is missing.
        """
        kept = memo.Memo(Path(self.token_folder))
        self.train, self.test = (self._split(split, kept, report) for split in ("train", "test"))
        if not self.train:
            raise ModelError("no training image has two masks, so there are no relations to learn")

    def _split(self, split: str, kept: memo.Memo, report: Callable[[str], None] | None) -> list[dict[str, Tensor]]:
        psg = PSG(*self.files, split=split)
        found = []
        count = min(len(psg), self.limit or len(psg))
        for number in range(count):
            example = psg[number]
            if len(example.masks) < 2:
                continue
            masks = hashlib.sha256(example.masks.numpy().tobytes()).hexdigest()
            key = {"tokens": content_hash(example.image), "masks": masks, "sam": weights_of(self.sam)}
            tokens = load(kept.get(key, lambda example=example: save({"tokens": self._tokens(example)})))["tokens"]
            found.append({"tokens": tokens, "target": example.target})
            if report and number % 100 == 99:
                report(f"tokens of {number + 1} of {count} {split} images")
        return found

    def _tokens(self, example: Any) -> Tensor:
        sam = load_transformer(self.sam, "SamModel", self.precision)
        return mask_tokens(sam, example.image, example.masks)[0]

    def fingerprint(self) -> str:
        """Return a hash of the relations of all images."""
        digest = hashlib.sha256(json.dumps([len(self.train), len(self.test)]).encode())
        for example in (*self.train, *self.test):
            digest.update(example["target"].nonzero().numpy().tobytes())
        return digest.hexdigest()

    def build(self) -> RelationHead:
        """Return the head, with BERT's first layers where they are asked for."""
        head = RelationHead(token_width=self.train[0]["tokens"].shape[1], **self.sizes)
        if self.bert:
            head.start_from_bert(load_transformer(self.bert, "BertModel", device="cpu").state_dict())
        return head

    def batch(self, size: int, progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Return `tokens` [size, n, d] and `target` [size, 56, n, n], padded, and how many masks are true, `count`."""
        chosen = [self.train[i] for i in torch.randint(len(self.train), (size,), generator=generator).tolist()]
        counts = [len(example["tokens"]) for example in chosen]
        most = max(counts)
        tokens = torch.zeros(size, most, chosen[0]["tokens"].shape[1])
        target = torch.zeros(size, chosen[0]["target"].shape[0], most, most, dtype=torch.bool)
        for row, (example, n) in enumerate(zip(chosen, counts)):
            tokens[row, :n], target[row, :, :n, :n] = example["tokens"], example["target"]
        return {"tokens": tokens, "target": target, "count": torch.tensor(counts)}

    def losses(self, module: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Return the loss of the head, relation by relation, reweighted."""
        counts = batch["count"].tolist()
        tokens = [row[:n] for row, n in zip(batch["tokens"], counts)]
        targets = [row[:, :n, :n] for row, n in zip(batch["target"], counts)]
        return {"loss": head_loss(module, tokens, targets)}

    def validate(self, module: RelationHead) -> dict[str, float]:
        """Return recall and mean recall at 20, 50 and 100 on the test split."""
        if not self.test:
            return {}
        scores = [module.scores(example["tokens"]) for example in self.test]
        return recall(scores, [example["target"] for example in self.test])

    def exported(self, module: RelationHead) -> dict[str, Tensor]:
        """Return the head's tensors under the authors' names."""
        return {name: tensor.contiguous() for name, tensor in module.state_dict().items()}

    def load(self, module: RelationHead, tensors: dict[str, Tensor]) -> None:
        """Start from a trained head."""
        try:
            module.load_state_dict(tensors)
        except RuntimeError as error:
            raise ModelError(f"the weights belong to another relation head: {error}") from None

    def describe(self, module: RelationHead) -> dict[str, Any]:
        """Return what the card says."""
        return {
            "name": "relation_head",
            "title": "Relation head",
            "purpose": "Relations between the masks of an image, from SAM's tokens, among PSG's predicates; for SeSS.",
            "network": self.sizes,
            "parameters": sum(p.numel() for p in module.parameters()),
            "images": {"training": len(self.train), "test": len(self.test)},
            "data": [
                "PSG: J. Yang et al., Panoptic Scene Graph Generation, ECCV 2022, on images of COCO.",
                f"Tokens of masks by {self.sam}.",
            ],
            "checks": {},
        }
