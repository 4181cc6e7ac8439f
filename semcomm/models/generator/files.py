"""The embedded generator's two files of weights, read and checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from semcomm.models.files import read_weights
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
    weights = read_weights(path, "autoencoder of the embedded generator")
    return Loaded(weights.network(AutoencoderNetwork), {}, weights.card, weights.hash)


def read_denoiser(path: Path = DENOISER) -> Loaded:
    """Read a denoiser from the file that its training wrote; `others` has the `class_means` [classes, d].

    Raises:
        ModelError: when it is missing, damaged or holds something else.
    """
    weights = read_weights(path, "denoiser of the embedded generator")
    network = weights.network(DenoiserNetwork, others=("class_means",))
    try:
        others = {"class_means": weights.tensors["class_means"].float()}
    except KeyError as error:
        raise weights.damaged(error) from None
    return Loaded(network, others, weights.card, weights.hash)
