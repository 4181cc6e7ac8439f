"""Sources of training images: folders, lists, CIFAR-10 as it is distributed, and any torch `Dataset`."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semcomm.errors import ConfigurationError, ImageError
from semcomm.images import ImageSet, to_bytes
from semcomm.training.data import listed

CIFAR_RECORD = 1 + 3 * 32 * 32
"""Bytes of an image in the binary files of CIFAR-10: its label, then rows of red, of green, of blue."""
_HARMLESS = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


@dataclass(frozen=True)
class StoredImage:
    """An image that is no file of its own.

    Attributes:
        name: by which it is kept for training or validation, in every run alike.
        pixels: returns it, `uint8` [H, W, 3].
    """

    name: str
    pixels: Callable[[], np.ndarray]


def images_of(source: str | Mapping[str, Any]) -> tuple[list[Path | StoredImage], set[str]]:
    """Return the images of a source, and the authors that it names.

    Args:
        source: a folder of images; a CSV file with a column `file` beside images; a folder with the batches of CIFAR-10
            (`data_batch_1` or `data_batch_1.bin`, ...); or a torch `Dataset` as `{class_path, init_args}`, whose items
            are images or begin with them: PIL images, `uint8` or [0, 1] tensors [3, H, W].

    Raises:
        ImageError: when there are no images, or a batch is damaged.
        ConfigurationError: when a list or a dataset cannot be read.
    """
    if isinstance(source, Mapping):
        return _dataset(source), set()
    if source.endswith(".csv"):
        found, rows = listed(source, "file")
        return [path for path, _ in found], {row["author"] for row in rows if row.get("author")}
    batches = sorted(path for path in Path(source).expanduser().glob("data_batch_*") if path.is_file())
    if batches:
        return [image for batch in batches for image in _cifar(batch)], set()
    return list(ImageSet(source).files().values()), set()


def _cifar(batch: Path) -> list[StoredImage]:
    data = batch.read_bytes()
    if batch.suffix == ".bin":
        if len(data) % CIFAR_RECORD:
            raise ImageError(
                f"{batch}: is no whole batch of CIFAR-10: {len(data)} bytes are no multiple of {CIFAR_RECORD}"
            )
        rows = np.frombuffer(data, np.uint8).reshape(-1, CIFAR_RECORD)[:, 1:]
    else:
        rows = _unpickled(batch)
    pixels = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return [StoredImage(f"{batch.stem}/{index}", partial(pixels.__getitem__, index)) for index in range(len(pixels))]


class _Unpickler(pickle.Unpickler):
    """Arrays, numbers, texts and containers alone."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"it holds {module}.{name}")
        return super().find_class(module, name)


def _unpickled(batch: Path) -> np.ndarray:
    try:
        with batch.open("rb") as file:
            rows = np.asarray(_Unpickler(file, encoding="bytes").load()[b"data"])
        if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != CIFAR_RECORD - 1:
            raise ValueError(f"its data is {rows.dtype} {list(rows.shape)}")
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ImageError(f"{batch}: is no batch of CIFAR-10 ({error})") from None
    return rows


def _dataset(source: Mapping[str, Any]) -> list[StoredImage]:
    if set(source) - {"class_path", "init_args"} or "class_path" not in source:
        raise ConfigurationError(f"a dataset is class_path and init_args, not {', '.join(map(str, source))}")
    module, _, name = str(source["class_path"]).rpartition(".")
    try:
        dataset = getattr(import_module(module), name)(**(source.get("init_args") or {}))
        count = len(dataset)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{source['class_path']}: cannot be made a dataset of images ({error})") from None
    return [StoredImage(f"{name}/{index}", partial(_item, dataset, index)) for index in range(count)]


def _item(dataset: Sequence[Any], index: int) -> np.ndarray:
    item = dataset[index]
    image = item[0] if isinstance(item, tuple | list) else item
    if isinstance(image, Tensor):
        if image.ndim != 3 or image.shape[0] != 3:
            raise ImageError(f"{type(dataset).__name__}[{index}]: is {list(image.shape)}, not an image [3, H, W]")
        return to_bytes(image) if image.dtype != torch.uint8 else image.permute(1, 2, 0).numpy()
    if not hasattr(image, "convert"):
        raise ImageError(f"{type(dataset).__name__}[{index}]: is a {type(image).__name__}, not an image")
    return np.asarray(image.convert("RGB"))
