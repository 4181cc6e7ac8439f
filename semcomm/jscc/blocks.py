"""Building blocks of the networks."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SNR_FEATURES = 32


class Condition(nn.Module):
    """Features of an SNR in dB and a constellation's quantisation error, for the gates."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, SNR_FEATURES), nn.Tanh(), nn.Linear(SNR_FEATURES, SNR_FEATURES))

    def forward(self, snr_db: Tensor, error: float) -> Tensor:
        """SNRs [B], and `constellation.quantisation_error` -> [B, SNR_FEATURES]."""
        snr_db = snr_db.float()
        given = [(snr_db - 9) / 7, torch.full_like(snr_db, (error - 0.3) / 0.2)]
        return torch.tanh(self.layers(torch.stack(given, 1)))


class GatedBlock(nn.Module):
    """A residual block of two convolutions with gates in [0.5, 1.5] between them that depend on the SNR.

    Gates by the SNR are ADJSCC's (Xu et al. 2022, arXiv 2012.00533), without its pooling.
    """

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, kernel, 1, kernel // 2)
        self.second = nn.Conv2d(channels, channels, kernel, 1, kernel // 2)
        self.gate = nn.Linear(SNR_FEATURES, channels)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        with torch.no_grad():
            self.second.weight *= 0.3

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Features [B, C, h, w] and the SNR's [B, SNR_FEATURES] -> [B, C, h, w]."""
        gate = 1 + 0.5 * torch.tanh(self.gate(condition))
        y = F.leaky_relu(self.first(x), 0.1, inplace=True)
        return x + self.second(y * gate[:, :, None, None].to(y.dtype))


class Stage(nn.Module):
    """Gated blocks in a row."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(GatedBlock(channels) for _ in range(blocks))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Features [B, C, h, w] -> [B, C, h, w]."""
        for block in self.blocks:
            x = block(x, condition)
        return x


def unshuffled(channels_in: int, channels: int, factor: int, kernel: int) -> nn.Sequential:
    """Return the module [B, channels_in, h·factor, w·factor] -> [B, channels, h, w]."""
    convolution = nn.Conv2d(channels_in * factor**2, channels, kernel, 1, kernel // 2)
    return nn.Sequential(nn.PixelUnshuffle(factor), convolution)


def shuffled(channels_in: int, channels: int, factor: int, kernel: int) -> nn.Sequential:
    """Return the module [B, channels_in, h, w] -> [B, channels, h·factor, w·factor]."""
    convolution = nn.Conv2d(channels_in, channels * factor**2, kernel, 1, kernel // 2)
    return nn.Sequential(convolution, nn.PixelShuffle(factor))


class Analysis(nn.Conv2d):
    """A convolution with windows side by side, of an image already cut into them: one product of matrices."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__(channels_in, channels, stride, stride)

    def forward(self, cells: Tensor) -> Tensor:
        """Cells [B, channels_in·stride², h, w] -> [B, channels, h, w]."""
        return F.conv2d(cells, self.weight.flatten(1)[..., None, None], self.bias)


class Synthesis(nn.ConvTranspose2d):
    """The transpose of an `Analysis`."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__(channels_in, channels, stride, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Coefficients [B, channels_in, h, w] -> cells [B, channels·stride², h, w]."""
        return F.conv2d(x, self.weight.flatten(1).T[..., None, None])
