"""Links without a channel: changes that leave the meaning of an image mostly alone (SeSS paper, Figures 13 and 17).

They run in the same sweeps as transceivers, with the same scoring, store and figures. They cost nothing, so bits and
channel uses are NaN. What comes into view from outside the image is black.
"""

from abc import abstractmethod
from collections.abc import Sequence
from math import cos, nan, radians, sin

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate, pad

from semcomm.channels import Channel
from semcomm.errors import ConfigurationError
from semcomm.images import quantise
from semcomm.ledger import Ledger
from semcomm.seeds import Seed
from semcomm.transceivers.base import Link, Reception

BLUE = (0.0, 0.0, 1.0)


class Distortion(Link):
    """A change of the image itself."""

    def transmit(self, images: Tensor, channel: Channel, seeds: Sequence[Seed]) -> Reception:
        """Change `images` [B, 3, H, W]; the channel is not used."""
        changed = quantise(self.distorted(images))
        return Reception(changed, Ledger.of(images, source_bits=nan, channel_uses=nan), {})

    @abstractmethod
    def distorted(self, images: Tensor) -> Tensor:
        """Return the changed images [B, 3, H, W]."""


class Translation(Distortion):
    """Shifts to the left.

    Args:
        pixels: by how much; negative to the right.
    """

    def __init__(self, pixels: int = 30) -> None:
        self.pixels = pixels

    def distorted(self, images: Tensor) -> Tensor:
        """Return the shifted images."""
        shift = max(-images.shape[-1], min(images.shape[-1], self.pixels))
        return pad(images, (-shift, shift))


class Rotation(Distortion):
    """Turns counter-clockwise about the centre, bilinear.

    Args:
        degrees: by how much.
    """

    def __init__(self, degrees: float = 5.0) -> None:
        self.degrees = degrees

    def distorted(self, images: Tensor) -> Tensor:
        """Return the turned images."""
        height, width = images.shape[-2:]
        c, s = cos(radians(self.degrees)), sin(radians(self.degrees))
        # grid_sample asks where each output pixel comes from, in units of half a side: turned the other way round
        turn = torch.tensor([[c, -s * height / width, 0.0], [s * width / height, c, 0.0]])
        grid = affine_grid(turn.expand(len(images), 2, 3), list(images.shape), align_corners=False)
        return grid_sample(images, grid, align_corners=False)


class Reflection(Distortion):
    """Mirrors left and right."""

    def distorted(self, images: Tensor) -> Tensor:
        """Return the mirrored images."""
        return images.flip(-1)


class Scaling(Distortion):
    """Cuts a margin off and scales what is left back to the size, bicubic.

    Args:
        pixels: margin on each of the four sides.
    """

    def __init__(self, pixels: int = 30) -> None:
        if pixels < 0:
            raise ConfigurationError(f"Scaling: pixels is {pixels}; a margin is at least 0")
        self.pixels = pixels

    def distorted(self, images: Tensor) -> Tensor:
        """Return the enlarged images."""
        height, width = images.shape[-2:]
        if 2 * self.pixels >= min(height, width):
            raise ConfigurationError(f"Scaling: a margin of {self.pixels} pixels leaves nothing of {width}x{height}")
        margin = slice(self.pixels, -self.pixels or None)
        return interpolate(images[..., margin, margin], (height, width), mode="bicubic")


class ColourFilter(Distortion):
    """Overlays a pure colour.

    Args:
        blend: share of the colour, 0 to 1.
        colour: red, green and blue in [0, 1]; the paper's is blue.
    """

    def __init__(self, blend: float = 0.2, colour: tuple[float, float, float] = BLUE) -> None:
        if not 0 <= blend <= 1:
            raise ConfigurationError(f"ColourFilter: blend is {blend}; it is a share from 0 to 1")
        self.blend = blend
        self.colour = colour

    def distorted(self, images: Tensor) -> Tensor:
        """Return the tinted images."""
        return (1 - self.blend) * images + self.blend * torch.tensor(self.colour)[:, None, None]
