"""The relation head of Relate-Anything: from the tokens of masks to a score for every (predicate, subject, object).

Layout and constants are those of the SeSS authors' published code, so that their checkpoint loads by name: a linear
layer into the width of BERT, its first two layers as an encoder over the tokens, a linear layer, and two projections
whose scaled dot product is the logit. The authors run their head in training mode, so that dropout is live and no two
results agree; ours has no dropout and one result.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from semcomm.errors import ModelError
from semcomm.models.files import read_tensors
from semcomm.models.loading import import_transformers

POSITION = 1
"""The position of every token: masks have no order."""
PADDED = -9999.0
"""Logit of a pair that is not there, as the authors have it."""


class RelationHead(nn.Module):
    """The head. Its parts are named as in the authors' state dict, its defaults are their sizes.

    Args:
        token_width: of the mask tokens (SAM: 256).
        width: of the encoder (BERT-base: 768).
        heads: of its attention.
        intermediate: width of its feed-forward part.
        layers: how many of them.
        feature_width: of a subject or object in each predicate's space.
        predicates: how many predicates.
        positions: rows of the table of positions, of which one is used.
    """

    def __init__(
        self,
        token_width: int = 256,
        width: int = 768,
        heads: int = 12,
        intermediate: int = 3072,
        layers: int = 2,
        feature_width: int = 512,
        predicates: int = 56,
        positions: int = 512,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ModelError(f"a relation head of width {width} cannot have {heads} attention heads")
        self.predicates = predicates
        self.fc_input = nn.Sequential(nn.Linear(token_width, width), nn.LayerNorm(width))
        transformers = import_transformers()
        config = transformers.BertConfig(
            vocab_size=1,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=intermediate,
            max_position_embeddings=positions,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.model = transformers.BertModel(config, add_pooling_layer=False)
        self.model.embeddings.word_embeddings = None  # the tokens are vectors already
        self.fc_output = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        self.cls_sub = nn.Linear(width, predicates * feature_width)
        self.cls_obj = nn.Linear(width, predicates * feature_width)
        self.eval()

    def forward(self, tokens: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the logits of all relations.

        Args:
            tokens: [B, n, token_width].
            present: `bool` [B, n], False for padding; all are present unless given.

        Returns:
            [B, predicates, n, n]; rows are subjects, columns objects. The diagonal is not masked; pairs with padding
            have the logit -9999.
        """
        encoded = self.model(
            inputs_embeds=self.fc_input(tokens),
            attention_mask=None if present is None else present.long(),
            position_ids=torch.full((1, tokens.shape[1]), POSITION, device=tokens.device),
        )
        hidden = self.fc_output(encoded.last_hidden_state)
        subject, object_ = (
            project(hidden).unflatten(-1, (self.predicates, -1)) for project in (self.cls_sub, self.cls_obj)
        )
        logits = torch.einsum("bsrf,borf->brso", subject, object_) / math.sqrt(subject.shape[-1])
        if present is not None:
            pair = present[:, None, :, None] & present[:, None, None, :]
            logits = logits.masked_fill(~pair, PADDED)
        return logits

    @torch.no_grad()
    def scores(self, tokens: Tensor) -> Tensor:
        """Return the scores of the relations between the masks of one image.

        Args:
            tokens: [n, token_width], n may be 0.

        Returns:
            `float32` [predicates, n, n] in [0, 1], on the CPU; 0 on the diagonal.
        """
        if not len(tokens):
            return torch.zeros(self.predicates, 0, 0)
        weight = self.fc_input[0].weight
        if tokens.shape[-1] != weight.shape[1]:
            raise ModelError(f"the relation head takes tokens of width {weight.shape[1]}, not {tokens.shape[-1]}")
        scores = self(tokens[None].to(weight))[0].float().sigmoid().cpu()
        return scores * (1 - torch.eye(len(tokens)))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], heads: int = 12, predicates: int = 56) -> Self:
        """Build the head that a state dict in the authors' layout describes.

        Sizes are those of the tensors. Two numbers leave no trace in them: the attention heads, of which BERT-base has
        12, and the predicates, of which PSG has 56. BERT's word embeddings and pooler are left out: nothing uses them.

        Raises:
            ModelError: when the names or shapes are not those of a relation head.
        """
        unused = ("model.pooler.", "model.embeddings.word_embeddings.", "model.embeddings.position_ids")
        state = {name: tensor for name, tensor in state.items() if not name.startswith(unused)}
        feed_forward = [name for name in state if name.endswith(".intermediate.dense.weight")]
        try:
            width, token_width = state["fc_input.0.weight"].shape
            intermediate = state["model.encoder.layer.0.intermediate.dense.weight"].shape[0]
            outputs = state["cls_sub.weight"].shape[0]
            positions = state["model.embeddings.position_embeddings.weight"].shape[0]
            layer = 4 * width * width + 2 * width * intermediate
            asked = width * (token_width + positions + 2 * outputs) + len(feed_forward) * layer
            if asked > (held := sum(tensor.numel() for tensor in state.values())):
                raise ValueError(f"its shapes ask for {asked:,} numbers, and it holds {held:,}")
            head = cls(
                token_width=token_width,
                width=width,
                heads=heads,
                intermediate=intermediate,
                layers=len(feed_forward),
                feature_width=outputs // predicates,
                predicates=predicates,
                positions=positions,
            )
            head.load_state_dict(state)
        except KeyError as missing:
            raise ModelError(f"this is no relation head: it has no {missing.args[0]}") from None
        except (RuntimeError, IndexError, ZeroDivisionError, ValueError) as error:
            raise ModelError(f"this is no relation head in the Relate-Anything layout: {error}") from None
        return head

    @classmethod
    def load(cls, path: str | Path, heads: int = 12, predicates: int = 56, trust_pickle: bool = False) -> Self:
        """Load a checkpoint: safetensors, or a pickle such as the authors' `ram_epoch12.pth` if you say you trust it.

        Raises:
            ModelError: when the file cannot be read or holds no relation head.
        """
        state = read_tensors(path, trust_pickle)
        try:
            return cls.from_state(state, heads, predicates)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None

    def start_from_bert(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a trained BERT as the start of training, as the authors did: its first layers.

        Args:
            state: the state dict of transformers' `BertModel`, of the same sizes.

        Raises:
            ModelError: when a weight is missing or of another size.
        """
        try:
            self.model.load_state_dict({name: state[name] for name in self.model.state_dict()})
        except KeyError as missing:
            raise ModelError(f"this is no BERT for a relation head: it has no {missing.args[0]}") from None
        except RuntimeError as error:
            raise ModelError(f"this BERT is not of the sizes of the relation head: {error}") from None


def relation_losses(logits: Tensor, target: Tensor) -> Tensor:
    """Return the multi-label categorical cross-entropy of each relation.

    log(1 + sum of exp(logit) over the pairs that do not have it) + log(1 + sum of exp(-logit) over those that do):
    J. Su et al., "ZLPR: A Novel Loss for Multi-label Classification", arXiv 2208.02955.

    The diagonal counts, as pairs that do not have it.

    Args:
        logits: [B, predicates, n, n].
        target: of the same shape, true where the relation holds.

    Returns:
        [B, predicates].
    """
    logits, target = logits.flatten(2), target.flatten(2).bool()
    zero = torch.zeros_like(logits[..., :1])
    absent = torch.cat([zero, logits.masked_fill(target, -math.inf)], dim=-1)
    holding = torch.cat([zero, (-logits).masked_fill(~target, -math.inf)], dim=-1)
    return absent.logsumexp(-1) + holding.logsumexp(-1)


def head_loss(head: RelationHead, tokens: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Return the training loss of a batch of images: a mean in which the relations that go worst weigh most.

    Each loss is weighted by its ratio to the largest, as in the authors' code. The weights are constants to the
    gradient: how hard a relation is decides how much it counts, and is not itself to be learnt.

    Args:
        head: the relation head.
        tokens: of each image, [n_i, token_width] with n_i at least 1; padded here.
        targets: of each image, true where a relation holds, [predicates, n_i, n_i].

    Returns:
        A scalar.
    """
    count = max(len(each) for each in tokens)
    device = tokens[0].device
    padded = torch.zeros(len(tokens), count, tokens[0].shape[-1], dtype=tokens[0].dtype, device=device)
    present = torch.zeros(len(tokens), count, dtype=torch.bool, device=device)
    target = torch.zeros(len(tokens), head.predicates, count, count, dtype=torch.bool, device=device)
    for i, (each, holds) in enumerate(zip(tokens, targets, strict=True)):
        n = len(each)
        padded[i, :n], present[i, :n], target[i, :, :n, :n] = each, True, holds
    losses = relation_losses(head(padded, present), target)
    return (losses * (losses / losses.max()).detach()).mean()
