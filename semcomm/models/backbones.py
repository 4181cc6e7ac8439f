"""The three networks under LPIPS as plain modules, with torchvision's names for their tensors."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Network = Literal["alex", "vgg", "squeeze"]


class _Slices(nn.Module):
    """Layers in a row; the maps after some of them are what LPIPS compares."""

    def __init__(self, layers: Sequence[nn.Module], taps: Sequence[int]) -> None:
        super().__init__()
        self.features = nn.Sequential(*layers[: taps[-1] + 1])
        self.taps = frozenset(taps)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps [B, C, h, w] after each tapped layer."""
        maps = []
        for index, layer in enumerate(self.features):
            images = layer(images)
            if index in self.taps:
                maps.append(images)
        return maps


class _Fire(nn.Module):
    """SqueezeNet's block (Iandola et al. 2016): squeeze to few channels, expand by 1x1 and 3x3 side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return [B, 2 · expanded, h, w]."""
        maps = self.squeeze(maps).relu()
        return torch.cat([self.expand1x1(maps).relu(), self.expand3x3(maps).relu()], 1)


def alexnet() -> nn.Module:
    """Return the convolutions of AlexNet (Krizhevsky 2014); maps after each of the five."""
    pool = nn.MaxPool2d(3, 2)
    layers = [nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), pool]
    layers += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), pool]
    for channels, wider in ((192, 384), (384, 256), (256, 256)):
        layers += [nn.Conv2d(channels, wider, 3, padding=1), nn.ReLU()]
    return _Slices(layers, (1, 4, 7, 9, 11))


def vgg16() -> nn.Module:
    """Return the convolutions of VGG16 (Simonyan and Zisserman 2015); maps after the last of each five stages."""
    layers: list[nn.Module] = []
    taps, channels = [], 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        taps.append(len(layers) - 1)
        layers.append(nn.MaxPool2d(2, 2))
    return _Slices(layers, taps)


def squeezenet() -> nn.Module:
    """Return the fire modules of SqueezeNet 1.1 (Iandola et al. 2016); maps at seven places."""
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    layers = [nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), pool, _Fire(64, 16, 64), _Fire(128, 16, 64)]
    layers += [pool, _Fire(128, 32, 128), _Fire(256, 32, 128)]
    layers += [pool, _Fire(256, 48, 192), _Fire(384, 48, 192), _Fire(384, 64, 256), _Fire(512, 64, 256)]
    return _Slices(layers, (1, 4, 7, 9, 10, 11, 12))


BUILD = {"alex": alexnet, "vgg": vgg16, "squeeze": squeezenet}
TITLE = {"alex": "AlexNet", "vgg": "VGG16", "squeeze": "SqueezeNet"}
MIN_SIDE = {"alex": 31, "vgg": 16, "squeeze": 17}
"""Smallest side at which every map has a pixel."""
