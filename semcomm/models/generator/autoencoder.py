"""The autoencoder of the embedded generator: images to latents of an eighth of their sides, and back."""

import hashlib

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 4
"""Of a latent, as in Stable Diffusion."""
STRIDE = 8
"""Pixels for each latent position, along each side."""
SIZE = 128
"""Side in pixels of the images that the networks were trained on."""


class Block(nn.Module):
    """Two 3x3 convolutions added to their input; the second starts at zero, so the block starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, h, w] -> the same."""
        return x + self.conv2(F.silu(self.conv1(F.silu(x))))


def enlarge(width_in: int, width: int) -> nn.Sequential:
    """Return layers that double the sides: a 1x1 convolution and a pixel shuffle."""
    return nn.Sequential(nn.Conv2d(width_in, 4 * width, 1), nn.PixelShuffle(2))


def patches(images: Tensor) -> Tensor:
    """Return [B, 3, H, W] as patches [B, 192, H/8, W/8], their pixels along the second dimension."""
    return F.pixel_unshuffle(images, STRIDE)


class AutoencoderNetwork(nn.Module):
    """The four principal components of each 8x8 patch, and a residual network that makes images of them.

    The encoder is linear and sees one patch at a time, so that what neighbouring patches share stays in the latents:
    that is what a denoiser can mend them by. (An encoder that is trained with the decoder, at a fixed variance of its
    latents, makes them white, so that none can be predicted from its neighbours.) The decoder adds to the inverse of
    the projection what it infers from the patches around.

    Args:
        width: channels of the decoder at an eighth of the sides; half at a quarter, a quarter at a half.
        depth: residual blocks of the decoder at an eighth of the sides.
    """

    def __init__(self, width: int = 64, depth: int = 3) -> None:
        super().__init__()
        self.width, self.depth = width, depth
        pixels = 3 * STRIDE**2
        self.analysis = nn.Conv2d(pixels, CHANNELS, 1).requires_grad_(False)
        self.synthesis = nn.Conv2d(CHANNELS, pixels, 1).requires_grad_(False)
        self.decoder = nn.Sequential(
            nn.Conv2d(CHANNELS, width, 3, padding=1),
            *(Block(width) for _ in range(depth)),
            enlarge(width, width // 2),
            *(Block(width // 2) for _ in range(2)),
            enlarge(width // 2, width // 4),
            Block(width // 4),
            nn.Conv2d(width // 4, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )
        nn.init.zeros_(self.decoder[-2].weight)
        nn.init.zeros_(self.decoder[-2].bias)

    @torch.no_grad()
    def fit(self, mean: Tensor, covariance: Tensor) -> None:
        """Set the projection to the principal components of patches, each scaled to variance 1.

        The numbers are rounded to half precision, in which they are shipped.

        Args:
            mean: of the patches, in the order of `patches`, [192].
            covariance: [192, 192].
        """
        variances, directions = torch.linalg.eigh(covariance.double())
        variances, directions = variances[-CHANNELS:].flip(0), directions[:, -CHANNELS:].flip(1).T
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        directions = directions * largest.sign()  # either sign would do
        deviations = variances.sqrt()[:, None]
        analysis = directions / deviations
        for layer, weight, bias in (
            (self.analysis, analysis, -analysis @ mean.double()),
            (self.synthesis, (directions * deviations).T, mean.double()),
        ):
            layer.weight.copy_(weight.half()[:, :, None, None])
            layer.bias.copy_(bias.half())

    def latent_space(self) -> str:
        """Return a hash (hex) of the projection: latents fit every decoder that was trained with the same."""
        tensors = (self.analysis.weight, self.analysis.bias)
        return hashlib.sha256(b"".join(t.detach().cpu().half().numpy().tobytes() for t in tensors)).hexdigest()

    def encode(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [0, 1], sides divisible by 8 -> latents [B, 4, H/8, W/8]."""
        return self.analysis(patches(images))

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, 4, h, w] -> images [B, 3, 8h, 8w], not clipped to [0, 1]."""
        return F.pixel_shuffle(self.synthesis(latents), STRIDE) + self.decoder(latents)
