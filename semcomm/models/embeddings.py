"""Inputs and embeddings of networks for images: computed once per process and shared."""

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor

from semcomm.caches import Cache
from semcomm.images import content_hash, to_bytes
from semcomm.models.loading import load_processor

BATCH = 32
"""Images per pass through a network: more cost memory and gain no time."""

_embeddings = Cache("embeddings of images", most=8192)


def embed_once(images: Sequence[Tensor], model: str, embed: Callable[[Sequence[Tensor]], Tensor]) -> Tensor:
    """Return the embedding of each image [B, d], computing only those that are not at hand.

    Args:
        images: each [3, H, W] in [0, 1], of any size; a batch [B, 3, H, W] will do.
        model: the model's hash and precision.
        embed: computes at most `BATCH` embeddings [b, d].
    """
    keys = [(model, content_hash(image)) for image in images]
    found = {key: _embeddings[key] for key in keys if key in _embeddings}
    missing = {key: image for key, image in zip(keys, images) if key not in found}
    names, unseen = list(missing), list(missing.values())
    for start in range(0, len(names), BATCH):
        found.update(zip(names[start : start + BATCH], embed(unseen[start : start + BATCH])))
    for key, embedding in found.items():
        _embeddings[key] = embedding
    return torch.stack([found[key] for key in keys])


def pixel_values(images: Sequence[Tensor], model: str, processor: str) -> Tensor:
    """Return images as a model's own processor prepares them [B, 3, h, w].

    Args:
        images: each [3, H, W] in [0, 1], of any size.
        model: name of the model; see `semcomm.models.find`.
        processor: class of transformers.
    """
    pil_images = [Image.fromarray(to_bytes(image)) for image in images]
    return load_processor(model, processor)(images=pil_images, return_tensors="pt")["pixel_values"]
