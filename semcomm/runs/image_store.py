"""Images by the hash of their pixels: originals on their way to the workers, and reconstructions."""

import io
import warnings
from pathlib import Path

import numpy as np
from torch import Tensor

from semcomm.files import files_at
from semcomm.images import content_hash, from_bytes, to_bytes


class ImageStore:
    """PNG files named by the hash of what is in them; one that was damaged counts as absent.

    Args:
        place: a folder, or a URL that fsspec knows.
        kind: `reconstructions` or `images`.
    """

    def __init__(self, place: str | Path, kind: str = "reconstructions") -> None:
        self._files = files_at(place, kind)

    def has(self, key: str) -> bool:
        """Say whether an image is there, without reading it."""
        return self._files.has(_name(key))

    def write(self, image: Tensor) -> str:
        """Keep an image [3, H, W] and return its hash."""
        from PIL import Image

        key = content_hash(image)
        if not self.has(key):
            buffer = io.BytesIO()
            Image.fromarray(to_bytes(image)).save(buffer, format="PNG", compress_level=1)
            self._files.write(_name(key), buffer.getvalue())
        return key

    def read(self, key: str) -> Tensor | None:
        """Return an image [3, H, W], or None where it is not there whole; what is damaged goes, with a warning."""
        data = self._files.read(_name(key))
        image = None if data is None else _decoded(data)
        if image is not None and content_hash(image) == key:
            return image
        if data is not None:
            warnings.warn(f"{self._files.at(_name(key))} is damaged; it is made again when it is needed", stacklevel=2)
            self._files.remove(_name(key))
        return None

    def copy(self, key: str, to: "ImageStore") -> None:
        """Bring an image to another place, unless it is there."""
        if not to.has(key) and (image := self.read(key)) is not None:
            to.write(image)


def _name(key: str) -> str:
    return f"{key[:2]}/{key}.png"


def _decoded(data: bytes) -> Tensor | None:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as file:
            return from_bytes(np.asarray(file.convert("RGB")))
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError):
        return None
