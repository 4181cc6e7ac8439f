"""Files of weights: is a safetensors file whole, may a file be opened at all, and the hash of its content."""

import hashlib
import os
import struct
import zipfile
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from semcomm.errors import ModelError
from semcomm.memo import Memo
from semcomm.parsing import parse_json

PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})
RUBBISH = (
    *(RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, MemoryError, OverflowError),
    *(AssertionError, struct.error, zipfile.BadZipFile),
)
"""What reading bytes that are no pickle can end in."""

READ = frozenset({".safetensors", ".json", ".txt"})
"""What loading reads from a folder, apart from pickles that the user trusts."""

Shape = tuple[int, ...]


def cache_folder() -> Path:
    """Return the folder for what belongs to the user rather than to a run: `SEMCOMM_CACHE`, or ~/.cache/semcomm."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "semcomm"
    return Path(os.environ.get("SEMCOMM_CACHE", default)).expanduser()


def tensors_in(path: Path) -> dict[str, Shape]:
    """Return name -> shape of the tensors in a safetensors file, from its header alone.

    Raises:
        ModelError: when it is no safetensors file, or not the whole of one.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if start.startswith(b"version "):
            raise ModelError(f"{path}: is a pointer of Git LFS, not the file; `git lfs pull` fetches it")
        if start.startswith((b"PK\x03\x04", b"\x80")):
            raise ModelError(f"{path}: is a pickle, whatever its name says; it is not opened")
        if len(start) < 8 or length > size - 8:
            raise ModelError(f"{path}: is no safetensors file, or cut short at {size:,} bytes; fetch it again")
        try:
            header = parse_json(file.read(length))
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            whole = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
            shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
            if any(type(number) is not int or number < 0 for shape in shapes.values() for number in shape):
                raise ValueError("a shape is no shape")
        except (ValueError, LookupError, TypeError, AttributeError):
            raise ModelError(f"{path}: the header of this safetensors file is damaged; fetch it again") from None
    if whole != size:
        raise ModelError(f"{path}: has {size:,} of {whole:,} bytes, so it is damaged or cut short; fetch it again")
    return shapes


def read_tensors(path: Path, trust_pickle: bool = False) -> dict[str, Tensor]:
    """Return the tensors in a file, on the CPU.

    Args:
        path: a safetensors file, or one of PyTorch's (`.pth`, `.pt`, `.bin`).
        trust_pickle: open a PyTorch file, which is a pickle. Even then only tensors are read from it.

    Raises:
        ModelError: when it is damaged, or a pickle that is not trusted.
    """
    if path.suffix not in PICKLES:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        tensors_in(path)
        try:
            return load_file(path)
        except (SafetensorError, RuntimeError, ValueError, TypeError, KeyError) as error:
            raise ModelError(f"{path}: is no whole safetensors file ({error}); fetch it again") from None
    if not trust_pickle:
        raise ModelError(
            f"{path}: is a pickle, which can run code when it is opened. If you know where it comes from, say "
            "trust_pickle=True; safetensors needs no trust"
        )
    import pickle

    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, *RUBBISH) as error:
        raise ModelError(f"{path}: is damaged, or holds more than tensors, which is not read") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ModelError(f"{path}: holds no state dict, that is no tensors by name")
    return found


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


@lru_cache
def _hashes(folder: Path) -> Memo:
    """Return the memo of large files' hashes: on disk, or in memory where the disk cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Memo()
    return Memo(folder) if os.access(folder, os.W_OK) else Memo()


def metadata(data: bytes) -> dict[str, str]:
    """Return the text metadata in a safetensors file's header (8 bytes of length, then JSON).

    Raises:
        ValueError: when there is no such header.
    """
    header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header.get("__metadata__", {})
