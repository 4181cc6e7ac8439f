"""The image convention, and everything that reads or writes an image.

Images are `torch.float32` [B, 3, H, W] (one image: [3, H, W]) in [0, 1], sRGB. Files give 8 bits a channel, so values
are k/255; grey images become three equal channels; colour profiles are ignored, as in every benchmark of the field.
"""

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from semcomm.datasets import DATASETS, images_of
from semcomm.errors import ConfigurationError, ImageError
from semcomm.guard.decoders import PILLOW_ERRORS

MAX_PIXELS = 40_000_000
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif"})
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "GIF")
"""What an image may be, whatever its name says. Pillow knows many more, of which one runs a program (EPS)."""
BUILTIN = {
    "astronaut": "astronaut.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "motorcycle": "motorcycle_left.png",
    "rocket": "rocket.jpg",
}
"""The built-in photographs: free images that come with scikit-image, by our name."""


def to_bytes(image: Tensor) -> np.ndarray:
    """Round [3, H, W] in [0, 1] to `uint8` [H, W, 3]."""
    return (image.detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def from_bytes(pixels: np.ndarray) -> Tensor:
    """Return `uint8` [H, W, 3] as `float32` [3, H, W], values k/255."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).contiguous().float() / 255


def quantise(images: Tensor) -> Tensor:
    """Round images of any shape to k/255 in [0, 1], on the CPU; what is not a number becomes 0."""
    return (images.detach().float().nan_to_num(0.0).clamp(0, 1) * 255).round().cpu() / 255


def content_hash(image: Tensor) -> str:
    """Return the hash (hex, 64 characters) of one image [3, H, W] as 8-bit pixels."""
    pixels = to_bytes(image)
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Read one image as [3, H, W] in [0, 1]; EXIF orientation is applied.

    Raises:
        ImageError: when it is missing, no image, damaged, animated, deeper than 8 bits, transparent or larger than
            `max_pixels`. The size is checked before anything is decoded.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we have a limit of our own
            with Image.open(path, formats=FORMATS) as file:
                return from_bytes(np.asarray(_checked(file, path, max_pixels)))
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such file") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{path}: far more pixels than the limit of {max_pixels:,}; shrink it first") from None
    except (*PILLOW_ERRORS, MemoryError) as error:
        raise ImageError(f"{path}: cannot be read as an image ({error})") from None


def _checked(file: Image.Image, path: Path, max_pixels: int) -> Image.Image:
    width, height = file.size
    if width * height > max_pixels:
        raise ImageError(
            f"{path}: {width}x{height} is {width * height / 1e6:.0f} megapixels, over the limit of "
            f"{max_pixels / 1e6:.0f}; shrink it first, or raise max_pixels"
        )
    if getattr(file, "n_frames", 1) > 1:
        raise ImageError(f"{path}: has {file.n_frames} frames; save the one you mean as an image of its own")
    if file.mode.startswith(("I", "F")):
        raise ImageError(f"{path}: has more than 8 bits a channel (mode {file.mode}); convert it to 8-bit sRGB")
    if file.mode == "CMYK":
        raise ImageError(f"{path}: is CMYK; convert it to 8-bit sRGB")
    if file.format == "PNG" and _png_depth(path) == 16:
        raise ImageError(f"{path}: has 16 bits a channel; convert it to 8-bit sRGB")
    file.load()
    file = ImageOps.exif_transpose(file)
    if file.has_transparency_data:
        file = file.convert("RGBA")
        if file.getchannel("A").getextrema()[0] < 255:
            raise ImageError(f"{path}: has transparent pixels; flatten it onto a background first")
    return file.convert("RGB")


def _png_depth(path: Path) -> int:
    """Pillow reads a 16-bit RGB PNG as 8 bits without a word; its header tells."""
    with path.open("rb") as file:
        return file.read(25)[24]


def write_image(path: str | Path, image: Tensor) -> None:
    """Write one image [3, H, W] as PNG."""
    Image.fromarray(to_bytes(image)).save(path, format="PNG", compress_level=1)


@dataclass(frozen=True)
class ImageSet:
    """Which images an experiment runs on, in a fixed order (by name).

    Args:
        path: `builtin` for the built-in photographs, an image, a folder (searched through), a glob pattern, or the
            name of a known data set (`semcomm data`).
        limit: the first so many only.
        size: scale so that the short side has this many pixels (Lanczos), before any crop.
        crop: cut this many pixels, square, from the centre.
        on_error: what to do about an image that cannot be used: `raise`, or `skip` it and say so.
        max_pixels: images with more pixels are refused before they are decoded.
        sample: so many only, drawn by a hash of their names: the same on every machine, and part of any larger sample.
    """

    path: str = "builtin"
    limit: int | None = None
    size: int | None = None
    crop: int | None = None
    on_error: Literal["raise", "skip"] = "raise"
    max_pixels: int = MAX_PIXELS
    sample: int | None = None

    def __post_init__(self) -> None:
        for name in ("limit", "sample", "size", "crop"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"images.{name} is {value}; it must be at least 1")

    def files(self) -> dict[str, Path]:
        """Return name -> path of each image.

        Raises:
            ImageError: when there is none.
        """
        if self.path == "builtin":
            found = _builtin()
        elif self.path in DATASETS and not Path(self.path).exists():
            found = images_of(self.path)
        else:
            found = _found(self.path)
        if self.sample is not None:
            found = {name: found[name] for name in sorted(found, key=_drawn)[: self.sample]}
        names = sorted(found)[: self.limit]
        return {name: found[name] for name in names}

    def load(self, path: Path) -> Tensor:
        """Read one of the images, scaled and cut as asked for, as [3, H, W]."""
        image = read_image(path, self.max_pixels)
        if self.size is not None:
            image = _scaled(image, self.size)
        if self.crop is not None:
            height, width = image.shape[1:]
            if min(height, width) < self.crop:
                raise ImageError(f"{path}: {width}x{height} is smaller than the crop of {self.crop}")
            top, left = (height - self.crop) // 2, (width - self.crop) // 2
            image = image[:, top : top + self.crop, left : left + self.crop].contiguous()
        return image

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """Give (name, image) of each image; one that cannot be used raises or, with `skip`, is left out."""
        for name, path in self.files().items():
            try:
                yield name, self.load(path)
            except ImageError:
                if self.on_error == "raise":
                    raise


def _drawn(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _builtin() -> dict[str, Path]:
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return {name: folder / file for name, file in BUILTIN.items()}


def _found(pattern: str) -> dict[str, Path]:
    root = Path(pattern).expanduser()
    if root.is_file():
        return {root.name: root}
    if root.is_dir():
        paths = [p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
        if not paths:
            raise ImageError(f"{root}: no images in this folder (looked for {', '.join(sorted(SUFFIXES))})")
        return {p.relative_to(root).as_posix(): p for p in paths}
    if not any(c in pattern for c in "*?["):
        raise ImageError(f"{root}: there is no such image or folder")
    anchor = Path(root.anchor)
    paths = [p for p in anchor.glob(str(root.relative_to(anchor))) if p.is_file()]
    if not paths:
        raise ImageError(f"{pattern}: matches no file")
    return {p.as_posix(): p for p in paths}


def _scaled(image: Tensor, short_side: int) -> Tensor:
    height, width = image.shape[1:]
    scale = short_side / min(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return from_bytes(np.asarray(Image.fromarray(to_bytes(image)).resize(size, Image.Resampling.LANCZOS)))
