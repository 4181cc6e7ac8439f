"""Images for training: found, split by a hash of their names, decoded once and kept in memory as bytes."""

import csv
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semcomm.errors import ConfigurationError, ImageError
from semcomm.images import ImageSet, read_image, to_bytes

MEMORY_BYTES = 4 * 2**30
"""Decoded images are kept while they take no more than this; the rest is decoded each time."""


def share_of(name: str) -> float:
    """Return a number in [0, 1) that depends on a name alone: which images are held back, in every run alike."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big") / 2**56


def class_folders(folder: str) -> list[tuple[Path, str]]:
    """Return (image, class) for a folder that has a folder for each class, ordered by name.

    Raises:
        ImageError: when there is no image, or an image outside a class's folder.
    """
    found = []
    for name, path in ImageSet(folder).files().items():
        label, slash, _ = name.partition("/")
        if not slash:
            raise ImageError(f"{path}: lies in no class's folder; images of a class share a folder in {folder}")
        found.append((path, label))
    return found


def listed(file: str, label_column: str) -> tuple[list[tuple[Path, str]], list[dict[str, str]]]:
    """Return (image, label) for a CSV file with the columns `file` and `label_column`, and its rows.

    The images lie beside the CSV file.

    Raises:
        ConfigurationError: when the file or a column is missing.
    """
    path = Path(file).expanduser()
    try:
        with path.open(newline="", encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path}: cannot be read as a list of images ({error})") from None
    for column in ("file", label_column):
        if not rows or column not in rows[0]:
            raise ConfigurationError(f"{path}: has no images with a column {column!r}")
    rows = [{k: _unescaped(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows]
    if number := next((n for n, row in enumerate(rows, 1) if not row["file"] or row[label_column] is None), None):
        raise ConfigurationError(f"{path}: row {number} has no 'file' or no {label_column!r}")
    return [(path.parent / row["file"], row[label_column]) for row in rows], rows


def _unescaped(text: str) -> str:
    """Some lists write what is not ASCII as octal bytes of its UTF-8, as in Fr\\303\\251d\\303\\251ric."""
    runs = re.compile(r"(?:\\[0-3][0-7]{2})+")
    return runs.sub(lambda run: bytes(int(b, 8) for b in run[0].split("\\")[1:]).decode("utf-8", "replace"), text)


class ImageCollection:
    """Images by index as `uint8` [3, H, W], kept in memory where they fit.

    Args:
        paths: their files, or images that are no files of their own (`semcomm.training.sources.StoredImage`).
        size: squash each to `size` x `size` (bilinear, antialiased); None leaves them as they are.
        memory_bytes: how much may be kept.
    """

    def __init__(self, paths: Sequence[Path], size: int | None = None, memory_bytes: int = MEMORY_BYTES) -> None:
        self.paths = list(paths)
        self.size = size
        self.memory_bytes = memory_bytes
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        """Return one image.

        Raises:
            ImageError: when it cannot be read.
        """
        kept = self._kept.get(index)
        return self._decoded(index) if kept is None else kept

    def read(self, report: Callable[[str], None] | None = None) -> None:
        """Decode all images, several at a time, and keep what fits; so a damaged one is found at the start.

        Raises:
            ImageError: when there is none, or one cannot be read.
        """
        if not self.paths:
            raise ImageError("no images to train on")
        held = 0
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            try:
                for index, image in enumerate(threads.map(self._decoded, range(len(self)))):
                    if held + image.numel() <= self.memory_bytes:
                        self._kept[index] = image
                        held += image.numel()
            finally:
                threads.shutdown(cancel_futures=True)
        if report:
            report(f"{len(self)} images read, {len(self._kept)} of them kept in memory ({held / 2**20:.0f} MiB)")

    def _decoded(self, index: int) -> Tensor:
        path = self.paths[index]
        pixels = to_bytes(read_image(path)) if isinstance(path, Path) else path.pixels()
        if self.size is not None:
            pixels = np.asarray(Image.fromarray(pixels).resize((self.size, self.size), Image.Resampling.BILINEAR))
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)  # channels last in memory, as Pillow has them
