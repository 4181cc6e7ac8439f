"""The image convention, and everything that reads or writes an image.

Images are `torch.float32` [B, 3, H, W] (one image: [3, H, W]) in [0, 1], sRGB. Files give 8 bits a channel, so values
are k/255; grey images become three equal channels; colour profiles are ignored, as in every benchmark of the field.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from semcomm.caches import cached
from semcomm.datasets import DATASETS, images_of
from semcomm.errors import ConfigurationError, ImageError
from semcomm.folders import find
from semcomm.guard.decoders import PILLOW_ERRORS

MAX_PIXELS = 40_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "GIF")
"""Formats an image may have, whatever its name says. Pillow knows many more, of which one runs a program (EPS)."""
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
    # a phone's JPEG may hold previews and depth maps beside the photograph, which comes first
    if getattr(file, "n_frames", 1) > 1 and file.format != "MPO":
        raise ImageError(f"{path}: has {file.n_frames} frames; save the one you mean as an image of its own")
    if (bits := _depth(file, path)) > 8:
        raise ImageError(f"{path}: has {bits} bits a channel, more than 8 bits; convert it to 8-bit sRGB")
    if file.mode == "CMYK":
        raise ImageError(f"{path}: is CMYK; convert it to 8-bit sRGB")
    file.load()
    file = ImageOps.exif_transpose(file)
    if file.has_transparency_data:
        file = file.convert("RGBA")
        if file.getchannel("A").getextrema()[0] < 255:
            raise ImageError(f"{path}: has transparent pixels; flatten it onto a background first")
    return file.convert("RGB")


def _depth(file: Image.Image, path: Path) -> int:
    """Return the bits of a channel, from the header: Pillow reads most deeper images as 8 bits without a word."""
    if file.format == "PNG":
        return _head(path, 25)[24]
    if file.format == "TIFF":
        return max(file.tag_v2.get(258, (1,)))
    if file.mode.startswith(("I", "F")):
        return 32 if file.mode == "F" else 16
    if file.format == "PPM":
        of_tile = file.tile[0][3]
        return of_tile[1].bit_length() if isinstance(of_tile, tuple) else 8
    if file.format == "JPEG2000":  # Ssiz of each component, ITU-T T.800 A.5.1
        _, found, size = path.read_bytes().partition(b"\xff\x4f\xff\x51")
        count = int.from_bytes(size[36:38], "big") if found else 0
        return max(((byte & 0x7F) + 1 for byte in size[38 : 38 + 3 * count : 3]), default=8)
    if file.format == "AVIF":  # high_bitdepth and twelve_bit of the AV1CodecConfigurationBox
        flags = [part[2] for part in path.read_bytes().split(b"av1C")[1:] if len(part) > 2]
        return max((12 if flag & 0x60 == 0x60 else 10 if flag & 0x40 else 8 for flag in flags), default=8)
    return 8


def _head(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


@cached()
def suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case, of files that `read_image` reads."""
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in (*FORMATS, "MPO"))


def images_fault(images: Any, one: bool = False) -> str | None:
    """Return what is wrong with images, and what to do; None for `float` [B, 3, H, W] in [0, 1].

    Values may lie beyond 0 and 1 by what rounding to 8 bits takes away.

    Args:
        images: anything.
        one: a single image is asked for, [3, H, W].
    """
    shape = "[3, H, W]" if one else "[B, 3, H, W]"
    if not isinstance(images, Tensor):
        kind = "numpy array" if isinstance(images, np.ndarray) else type(images).__name__
        return f"a {kind}, not a tensor {shape} in [0, 1]; use read_image, or torch.from_numpy and permute"
    found = f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
    wanted = 3 if one else 4
    if images.dim() != wanted or images.shape[-3] != 3:
        if not one and images.dim() == 3 and images.shape[0] == 3:
            way = "a single image is images[None]"
        elif images.dim() == wanted and images.shape[-1] == 3:
            way = f"bring the channels to the front, images.permute({'2, 0, 1' if one else '0, 3, 1, 2'})"
        elif images.dim() == wanted and images.shape[-3] == 1:
            way = f"make three channels of the grey one, images.expand({'' if one else '-1, '}3, -1, -1)"
        else:
            way = "three channels, and the batch first"
        return f"{found}, not {shape}; {way}"
    if not images.is_floating_point():
        return f"{found}, not float {shape} in [0, 1]" + (
            "; images.float() / 255" if images.dtype == torch.uint8 else ""
        )
    if not images.numel():
        return f"{found}, which holds no image"
    low, high = (float(v) for v in images.detach().aminmax())
    if not np.isfinite(low + high):
        return f"{found} with values that are no finite numbers"
    if low < -0.5 / 255 or high > 1 + 0.5 / 255:
        way = "images / 255" if low >= 0 and high > 2 else "(images + 1) / 2" if low > -1.01 and high < 1.01 else None
        return f"values from {low:.3g} to {high:.3g}, not in [0, 1]; {way + ', or ' if way else ''}images.clamp(0, 1)"
    return None


def check_images(images: Any, where: str) -> None:
    """Raise an `ImageError` that begins with `where`, unless `images` are `float` [B, 3, H, W] in [0, 1]."""
    if fault := images_fault(images):
        raise ImageError(f"{where}: got {fault}")


def write_image(path: str | Path, image: Tensor) -> None:
    """Write one image [3, H, W] as PNG.

    Raises:
        ImageError: when the name has another suffix, or it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ImageError(f"{path}: images are written as PNG, without loss; name it {path.with_suffix('.png').name}")
    if fault := images_fault(image, one=True):
        raise ImageError(f"{path}: got {fault}")
    try:
        _save(image, path)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror or error})") from None


def _save(image: Tensor, path: Path) -> None:
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

    def files(self, on_note: Callable[[str], None] = lambda note: None) -> dict[str, Path]:
        """Return name -> path of each image.

        Hidden and system files, folders of runs and what is no image are left out; links are followed.

        Args:
            on_note: called once with what was left out of a folder or a pattern.

        Raises:
            ImageError: when there is none.
        """
        if self.path == "builtin":
            found = _builtin()
        elif self.path in DATASETS and not Path(self.path).exists():
            found = images_of(self.path)
            if len(found) != (count := DATASETS[self.path].count):
                on_note(f"{self.path}: {len(found):,} images are here, of {count:,}")
        else:
            found = find(self.path, suffixes(), on_note)
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


def _scaled(image: Tensor, short_side: int) -> Tensor:
    height, width = image.shape[1:]
    scale = short_side / min(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return from_bytes(np.asarray(Image.fromarray(to_bytes(image)).resize(size, Image.Resampling.LANCZOS)))
