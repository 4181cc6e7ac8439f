"""The embedded generator's two files of weights, read and checked."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from semcomm.errors import ModelError
from semcomm.models.files import metadata
from semcomm.models.generator.autoencoder import AutoencoderNetwork
from semcomm.models.generator.denoiser import DenoiserNetwork

WEIGHTS = Path(__file__).parent.parent / "weights"
AUTOENCODER = WEIGHTS / "generator_autoencoder.safetensors"
DENOISER = WEIGHTS / "generator_denoiser.safetensors"


@dataclass(frozen=True)
class Loaded:
    """A network in evaluation mode, and what its file says of it.

    Attributes:
        network: with its weights, as `float32`.
        others: tensors of the file that are not the network's.
        card: facts of the training.
        hash: SHA-256 (hex) of the file.
    """

    network: nn.Module
    others: dict[str, Tensor]
    card: dict[str, Any]
    hash: str


def read_autoencoder(path: Path = AUTOENCODER) -> Loaded:
    """Read an autoencoder from the file that its training wrote.

    Raises:
        ModelError: when it is missing, damaged or holds something else.
    """
    return _read(path, AutoencoderNetwork, "autoencoder")


def read_denoiser(path: Path = DENOISER) -> Loaded:
    """Read a denoiser from the file that its training wrote; `others` has the `class_means` [classes, d].

    Raises:
        ModelError: when it is missing, damaged or holds something else.
    """
    return _read(path, DenoiserNetwork, "denoiser")


def _read(path: Path, build: Callable[..., nn.Module], kind: str) -> Loaded:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: the embedded generator's {kind} cannot be read ({error.strerror}); it comes with semcomm, so "
            "install it again, or name a file that `semcomm train` wrote"
        ) from None
    try:
        tensors = {k: v.float() if v.is_floating_point() else v for k, v in load(data).items()}
        card = json.loads(metadata(data)["card"])
        network = build(**card["network"])
        own = network.state_dict().keys()
        network.load_state_dict({k: v for k, v in tensors.items() if k in own})
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: is damaged or holds no {kind} of the embedded generator ({error})") from None
    others = {k: v for k, v in tensors.items() if k not in own}
    return Loaded(network.eval().requires_grad_(False), others, card, hashlib.sha256(data).hexdigest())
