"""Checkpoints of learned codecs, found by name or path and loaded by the class that their card names."""

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from semcomm.caches import cached
from semcomm.errors import ConfigurationError, ModelError
from semcomm.jscc.codec import Codec, Precision
from semcomm.jscc.network import LearnedNetwork
from semcomm.models.files import fingerprint, read_weights

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the codecs that come with semcomm."""


def shipped() -> list[str]:
    """Return the names of the codecs that come with semcomm."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def path_of(checkpoint: str | Path) -> Path:
    """Return the file of a checkpoint: one that comes with semcomm by its name, else a file or a training's folder.

    Raises:
        ModelError: when there is none.
    """
    path = WEIGHTS / f"{checkpoint}.safetensors"
    if str(checkpoint) in shipped():
        return path
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        files = [file for file in path.glob("*.safetensors") if not file.name.startswith("checkpoint-")]
        if len(files) != 1:
            raise ModelError(
                f"{path}: holds {len(files)} codecs; name the file of one. Of a training that is not finished, "
                "semcomm train FILE --out DIR --export writes one"
            )
        return files[0]
    if not path.exists():
        raise ModelError(
            f"{checkpoint}: there is no such file, and no such codec comes with semcomm ({', '.join(shipped())}); "
            "train one with semcomm train experiments/train/lsci.yaml --out DIR"
        )
    return path


def hash_of(checkpoint: str | Path) -> str:
    """Return the SHA-256 (hex) of a checkpoint's file.

    Raises:
        ModelError: when there is none, or it cannot be read.
    """
    path = path_of(checkpoint)
    _stamp(path)
    return fingerprint(path)


def load_codec(
    checkpoint: str | Path,
    device: str = "cpu",
    precision: Precision = "fp32",
    held: int | None = None,
    constellation: str | None = None,
) -> Codec:
    """Return a codec, read once per process as long as its file stays the same.

    Args:
        checkpoint: name of one that comes with semcomm, a file, or the folder of a training.
        device: where to compute.
        precision: `fp32` or `bf16`.
        held: slices to load, from the base on; None for all. Weights of the others are not looked at.
        constellation: of the symbols; None for the first that it was trained for.

    Raises:
        ModelError: when there is none, or it is damaged or of another kind.
        ConfigurationError: when it has fewer slices, or was not trained for this constellation.
    """
    path = path_of(checkpoint)
    return _codec(path, *_stamp(path), device, precision, held, constellation)


def slice_bits(network: LearnedNetwork, layers: int, bits_per_weight: int = 16) -> int:
    """Return the size in bits of a receiver's weights for the first `layers` layers, shipped in half precision."""
    return bits_per_weight * sum(weights.numel() for weights in network.receiver_weights(layers))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    return stat.st_mtime_ns, stat.st_size


@cached(most=8)
def _codec(
    path: Path,
    modified: int,
    size: int,
    device: str,
    precision: Precision,
    held: int | None,
    constellation: str | None,
) -> Codec:
    weights = read_weights(path, "learned codec")
    try:
        cls = _class_of(weights.card)
        known = weights.card.get("constellations", [cls.constellation])
        if held is not None:
            tensors = {name: tensor for name, tensor in weights.tensors.items() if cls.layer_of(name) < held}
            weights = replace(weights, tensors=tensors)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise weights.damaged(error) from None
    except ImportError as error:
        raise ModelError(f"{path}: its network cannot be imported ({error}); install the package that has it") from None
    if constellation not in (None, *known):
        raise ConfigurationError(
            f"{path}: was trained for {', '.join(known)}, not for {constellation}: set constellation to one of these, "
            f"or train one with semcomm train experiments/train/lsci.yaml "
            f"task.constellations='{{\"{constellation}\": 1}}'"
        )
    if not all(tensor.isfinite().all() for tensor in weights.tensors.values()):
        raise ModelError(f"{path}: holds weights that are not finite numbers: train it again, or take another")
    network = weights.network(lambda **_: cls.from_card(weights.card, held, constellation))
    return Codec(network, weights.hash, weights.card, device, precision)


def _class_of(card: Mapping[str, Any]) -> type[LearnedNetwork]:
    """Return the class of the network that a card names by its import path."""
    module, _, name = card["class_path"].rpartition(".")
    cls = getattr(import_module(module), name, None)
    if not (isinstance(cls, type) and issubclass(cls, LearnedNetwork)):
        raise TypeError(f"{card['class_path']} is no LearnedNetwork")
    return cls
