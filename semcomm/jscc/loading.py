"""Checkpoints of learned codecs: what a file of weights says it is, and its slices one by one."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from semcomm.errors import ConfigurationError, ModelError
from semcomm.jscc.codec import Codec, Network, Precision
from semcomm.jscc.deepjscc import DeepJSCCNetwork
from semcomm.jscc.lsci import LSCINetwork
from semcomm.models.files import fingerprint, read_weights

WEIGHTS = Path(__file__).parent / "weights"
"""Where the codecs are that come with semcomm."""
KINDS: dict[str, type[Network]] = {"lsci": LSCINetwork, "deepjscc": DeepJSCCNetwork}
"""What a card's `kind` means."""


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
        held: how many slices to load, from the base on; None for all. No weights of others are looked at.
        constellation: what the symbols are to be; None for the first that it was trained for.

    Raises:
        ModelError: when there is none, or it is damaged or of another kind.
        ConfigurationError: when it has fewer slices, or was not trained for this constellation.
    """
    path = path_of(checkpoint)
    return _codec(path, *_stamp(path), device, precision, held, constellation)


def slice_bits(network: Network, layers: int, bits_per_weight: int = 16) -> int:
    """Return the size in bits of the decoder's first `layers` slices, as they are shipped in half precision."""
    if isinstance(network, DeepJSCCNetwork):
        return bits_per_weight * sum(p.numel() for p in network.decoder.parameters())
    base = sum(p.numel() for p in network.decoder["base"].parameters())
    slices = network.decoder["slices"][:layers]
    return bits_per_weight * (base + sum(p.numel() for part in slices for p in part.parameters()))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=8)
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
        kind = KINDS[weights.card["kind"]]
        known = weights.card["constellations"] if kind is LSCINetwork else [kind.constellation]
        if held is not None:
            tensors = {name: tensor for name, tensor in weights.tensors.items() if _slice_of(name) < held}
            weights = replace(weights, tensors=tensors)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise weights.damaged(error) from None
    if constellation not in (None, *known):
        raise ConfigurationError(
            f"{path}: was trained for {', '.join(known)}, not for {constellation}: set constellation to one of these, "
            f"or train one with semcomm train experiments/train/lsci.yaml "
            f"task.constellations='{{\"{constellation}\": 1}}'"
        )
    changes = {}
    if kind is LSCINetwork:
        changes = {"held": held, "constellation": constellation or known[0]}
    elif held not in (None, 1):
        raise ConfigurationError(f"{path}: a DeepJSCC has one slice, not {held}")
    if not all(tensor.isfinite().all() for tensor in weights.tensors.values()):
        raise ModelError(f"{path}: holds weights that are not finite numbers: train it again, or take another")
    return Codec(weights.network(kind, **changes), weights.hash, weights.card, device, precision)


def _slice_of(name: str) -> int:
    """Return which slice a tensor belongs to, by its name."""
    part = name.split(".")
    return int(part[2]) if part[1] == "slices" else 0
