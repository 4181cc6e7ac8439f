"""The embedded image encoder: a small residual network of our own, shipped with its weights.

It turns an image, or the crop of an object, into a unit vector; the cosine of two vectors says how alike the two
look. Trained with `semcomm train experiments/train/encoder.yaml`; what it was measured to do stands in its card,
`semcomm/models/weights/encoder.md`. It is made for trying and testing, and is no match for CLIP.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semcomm.errors import ModelError
from semcomm.models.files import read_weights

WEIGHTS = Path(__file__).parent / "weights" / "encoder.safetensors"
SIZE = 128
"""Side in pixels of the square that the network sees."""
MAX_BLOCKS = 1000


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016), with the average-pooled shortcut of ResNet-D."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if stride > 1 or channels_in != channels:
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(channels_in, channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] -> [B, channels, H/stride, W/stride]."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class EncoderNetwork(nn.Module):
    """Residual stages at strides 4, 8 and 16, their mean over the image, and a linear map to the embedding.

    The last normalisation centres the embedding, so that two unrelated images have a cosine near 0, not near 0.5.

    Args:
        widths: channels of each stage; each stage halves the resolution of the one before.
        depths: residual blocks of each stage.
        dimensions: length of the embedding.

    Raises:
        ValueError: with more than 1,000 residual blocks.
    """

    def __init__(
        self, widths: Sequence[int] = (48, 96, 256), depths: Sequence[int] = (1, 2, 3), dimensions: int = 256
    ) -> None:
        super().__init__()
        if sum(depths) > MAX_BLOCKS:
            raise ValueError(f"{sum(depths)} residual blocks; the limit is {MAX_BLOCKS}")
        self.widths, self.depths, self.dimensions = tuple(widths), tuple(depths), dimensions
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(12, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        blocks = []
        channels = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths)):
            for block in range(depth):
                blocks.append(ResidualBlock(channels, width, 2 if stage and not block else 1))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.embedding = nn.Linear(channels, dimensions, bias=False)
        self.centre = nn.BatchNorm1d(dimensions, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [0, 1], sides divisible by 16 -> embeddings [B, dimensions], not normalised."""
        x = self.blocks(self.stem(images - 0.5))
        return self.centre(self.embedding(x.mean(dim=(2, 3))))


class Encoder:
    """The trained encoder, ready to use.

    Args:
        network: the network with its weights.
        hash: SHA-256 (hex) of the weights' file; it belongs in the recipe of whatever is computed with them.
        card: what the file says about its training.
        device: where to compute.
    """

    def __init__(self, network: EncoderNetwork, hash: str, card: dict, device: str = "cpu") -> None:
        self.network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
        self.hash = hash
        self.card = card
        self.device = torch.device(device)

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""
        return self.network.dimensions

    @classmethod
    def read(cls, path: str | Path, device: str = "cpu") -> Self:
        """Read an encoder from the safetensors file that its training wrote.

        Raises:
            ModelError: when the file is missing, damaged or holds something else.
        """
        weights = read_weights(Path(path), "image encoder")
        return cls(weights.network(EncoderNetwork), weights.hash, weights.card, device)

    @torch.no_grad()
    def embed(self, images: Tensor, batch: int = 32) -> Tensor:
        """Return unit embeddings, `float32` [B, dimensions] on the CPU, of images [B, 3, H, W] in [0, 1].

        The whole image is squashed to 128x128 whatever its shape (bilinear, antialiased), as in training: nothing
        is cut off and nothing is padded. Computed in float32, `batch` images at a time.

        Raises:
            ModelError: when `images` is not [B, 3, H, W].
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ModelError(f"the encoder takes images [B, 3, H, W] in [0, 1], not {list(images.shape)}")
        if not len(images):
            return torch.zeros(0, self.dimensions)
        return torch.cat([self._embed(part) for part in images.split(batch)])

    def _embed(self, images: Tensor) -> Tensor:
        return F.normalize(self.network(squash(images.to(self.device, torch.float32), SIZE)), dim=1).cpu()


def squash(images: Tensor, size: int) -> Tensor:
    """Resize [B, 3, H, W] to [B, 3, size, size], bilinear and antialiased, whatever the shape; channels last."""
    images = images.contiguous(memory_format=torch.channels_last)
    if images.shape[2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)


@cache
def load_encoder(device: str = "cpu") -> Encoder:
    """Return the encoder that comes with semcomm, read once per process and device.

    Raises:
        ModelError: when its file is missing or damaged.
    """
    return Encoder.read(WEIGHTS, device)
