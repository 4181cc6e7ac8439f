"""Files of weights: the one reader of our own (tensors, card, hash), the reader of those of others, and hashes."""

import hashlib
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, load_file
from torch import Tensor, nn

from semcomm.caches import cached
from semcomm.errors import ModelError
from semcomm.memo import Memo
from semcomm.parsing import parse_json

PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})
RUBBISH = (
    *(RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, MemoryError, OverflowError),
    *(AssertionError, struct.error, zipfile.BadZipFile),
)
"""Errors in which reading bytes that are no pickle can end."""

READ = frozenset({".safetensors", ".json", ".txt"})
"""Suffixes of the files that loading reads from a folder, apart from pickles that the user trusts."""

WRAPPERS = ("model", "model_state_dict", "state_dict")
"""Keys under which training scripts keep the state dict, beside optimiser and epoch."""

Shape = tuple[int, ...]
N = TypeVar("N", bound=nn.Module)


def cache_folder() -> Path:
    """Return the folder for what belongs to the user rather than to a run: `SEMCOMM_CACHE`, or ~/.cache/semcomm."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "semcomm"
    return Path(os.environ.get("SEMCOMM_CACHE", default)).expanduser()


@dataclass(frozen=True)
class Weights:
    """A safetensors file that a training of semcomm wrote: tensors, card and hash.

    Attributes:
        path: of the file.
        kind: the sort of network that it is for, in words for messages: "image encoder".
        tensors: by name, as they lie in the file.
        card: facts of the training; `network` has the constructor arguments of the network.
        hash: SHA-256 (hex) of the file; it belongs in the recipe of whatever is computed with the weights.
    """

    path: Path
    kind: str
    tensors: dict[str, Tensor]
    card: dict[str, Any]
    hash: str

    def network(self, build: Callable[..., N], others: Collection[str] = (), **changes: Any) -> N:
        """Return the network in evaluation mode, in `float32` on the CPU.

        The card may claim any size: memory is taken for what the file holds, so `build` must make no tensors but
        parameters and persistent buffers.

        Args:
            build: class of the network; its arguments stand in the card under `network`.
            others: names of tensors in the file that are not the network's.
            changes: arguments to take instead of the card's, or beside them.

        Raises:
            ModelError: when card and tensors do not fit the network or each other.
        """
        tensors = {k: v.float() if v.is_floating_point() else v for k, v in self.tensors.items() if k not in others}
        try:
            with torch.device("meta"):
                network = build(**{**self.card["network"], **changes})
            network.load_state_dict(tensors, assign=True)
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise self.damaged(f"its weights do not fit the network it names: {error}") from None
        return network.eval().requires_grad_(False)

    def damaged(self, why: object) -> ModelError:
        """Return the error that says that this file is not what it should be, and `why`: an error or a text."""
        return _damaged(self.path, self.kind, why)


def read_weights(path: Path, kind: str) -> Weights:
    """Read a file of weights that a training of semcomm wrote, or that comes with it.

    Args:
        path: of the safetensors file.
        kind: the sort of network, in words for messages: "image encoder".

    Raises:
        ModelError: when the file is missing, damaged or has no card.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: weights of the {kind} cannot be read ({error.strerror}). If they came with semcomm, install it "
            "again; else name a file that `semcomm train` wrote"
        ) from None
    try:
        tensors = load(data)
        header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
        card = parse_json(header["__metadata__"]["card"])
        if not isinstance(card, dict):
            raise TypeError("its card is no mapping")
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise _damaged(path, kind, error) from None
    return Weights(path, kind, tensors, card, hashlib.sha256(data).hexdigest())


def _damaged(path: Path, kind: str, why: object) -> ModelError:
    said = repr(why) if isinstance(why, KeyError) else str(why)  # str of a KeyError is the bare key
    return ModelError(f"{path}: is damaged or holds no {kind} ({shorten(said, 240)})")


def tensors_in(path: Path) -> dict[str, Shape]:
    """Return name -> shape of the tensors in a safetensors file, from its header alone.

    Raises:
        ModelError: when it is no safetensors file, or not the whole of one.
    """
    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith(b"version "):
        raise ModelError(f"{path}: is a pointer of Git LFS, not the file; `git lfs pull` fetches it")
    if start.startswith((b"PK\x03\x04", b"\x80")) and start[8:] != b"{":  # a header may be 128 bytes long
        raise ModelError(f"{path}: is a pickle, whatever its name says; it is not opened")
    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{path}: its {path.stat().st_size:,} bytes are no whole safetensors file ({error}); fetch it again"
        ) from None


def read_tensors(path: str | Path, trust_pickle: bool = False) -> dict[str, Tensor]:
    """Return the tensors in a file that others published, by name, on the CPU.

    Of a pickle, the state dict may lie under `model` or `state_dict`, and its names may begin with `module.`, as
    data-parallel training leaves them.

    Args:
        path: a safetensors file, or one of PyTorch's (`.pth`, `.pt`, `.bin`).
        trust_pickle: open a PyTorch file, which is a pickle. Even then only tensors, numbers and containers are read.

    Raises:
        ModelError: when it is missing, damaged, a pickle that is not trusted, or no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file of weights")
    if path.suffix == ".safetensors":
        tensors_in(path)
        try:
            state = load_file(path)
        except (SafetensorError, RuntimeError, ValueError, TypeError, KeyError) as error:
            raise ModelError(f"{path}: is no whole safetensors file ({error}); fetch it again") from None
    elif trust_pickle:
        state = _unpickled(path)
    else:
        raise ModelError(
            f"{path}: is no .safetensors file, and a pickle can run code when it is opened. If you know where it comes "
            "from, say trust_pickle=True, or save its state dict as safetensors"
        )
    for wrapper in WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{path}: holds no state dict (tensors by name), nor one under {' or '.join(WRAPPERS)}")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _unpickled(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, *RUBBISH) as error:
        raise ModelError(f"{path}: is damaged, or holds more than tensors, which is not read") from error


def fingerprint(path: Path, trust_pickle: bool = False) -> str:
    """Return the hash (hex, 64 characters) of what a model is: its weights, configuration, processor and tokenizer.

    The same files give the same hash wherever they are. A file is read once: its hash is kept, that of a
    large one in the cache folder, until its size or time of change differ.

    Args:
        path: a file of weights or a folder with all of a model.
        trust_pickle: whether pickles are part of it.
    """
    if path.is_file():
        return _sha256(path)
    files = files_in(path, READ | PICKLES if trust_pickle else READ)
    listing = "".join(f"{p.relative_to(path).as_posix()} {_sha256(p)}\n" for p in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def files_in(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Return a folder's files of these suffixes, in order; hidden folders, where downloads keep their state, apart."""
    hidden = {p for p in folder.rglob(".*") if p.is_dir()}
    found = (p for p in folder.rglob("*") if p.suffix in suffixes and p.is_file())
    return sorted(p for p in found if hidden.isdisjoint(p.parents))


def _sha256(path: Path) -> str:
    path = path.resolve()
    stat = path.stat()
    key = {"path": str(path), "size": stat.st_size, "changed": stat.st_mtime_ns}

    def compute() -> bytes:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest().encode()

    kept = _hashes(cache_folder() / "hashes") if stat.st_size >= _LARGE else _of_small
    return kept.get(key, compute).decode()


_LARGE = 2**24
"""Bytes from which on a file takes so long to read that its hash is kept on disk."""

_of_small = Memo()


@cached()
def _hashes(folder: Path) -> Memo:
    """Return the memo of large files' hashes: on disk, or in memory where the disk cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Memo()
    return Memo(folder) if os.access(folder, os.W_OK) else Memo()
