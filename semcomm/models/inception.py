"""Inception v3 as FID has it: the network of TensorFlow's 2015 release, with the tensors' names of torchvision."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

Size = int | tuple[int, int]


class _Convolution(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, channels: int, width: int, kernel: Size, stride: int = 1, padding: Size = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, maps: Tensor) -> Tensor:
        return self.bn(self.conv(maps)).relu()


class _Block(nn.Module):
    """Branches side by side; each is a row of convolutions by name, the last pair of which may fork."""

    def row(self, maps: Tensor, *names: str) -> Tensor:
        """Return `maps` after the convolutions of these names, one after the other."""
        for name in names:
            maps = getattr(self, name)(maps)
        return maps

    def fork(self, maps: Tensor, *names: str) -> Tensor:
        """Return the maps of the convolutions of these names, each on `maps`, stacked."""
        return torch.cat([getattr(self, name)(maps) for name in names], 1)


def _mean(maps: Tensor) -> Tensor:
    """Average 3x3 neighbours; those beyond the border do not count, as in TensorFlow."""
    return avg_pool2d(maps, 3, 1, 1, count_include_pad=False)


class _A(_Block):
    """35x35 pixels."""

    def __init__(self, channels: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = _Convolution(channels, 64, 1)
        self.branch5x5_1 = _Convolution(channels, 48, 1)
        self.branch5x5_2 = _Convolution(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = _Convolution(channels, 64, 1)
        self.branch3x3dbl_2 = _Convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Convolution(96, 96, 3, padding=1)
        self.branch_pool = _Convolution(channels, pooled, 1)

    def forward(self, maps: Tensor) -> Tensor:
        branches = [
            self.branch1x1(maps),
            self.row(maps, "branch5x5_1", "branch5x5_2"),
            self.row(maps, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
            self.branch_pool(_mean(maps)),
        ]
        return torch.cat(branches, 1)


class _B(_Block):
    """35x35 to 17x17 pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3 = _Convolution(channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = _Convolution(channels, 64, 1)
        self.branch3x3dbl_2 = _Convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Convolution(96, 96, 3, stride=2)

    def forward(self, maps: Tensor) -> Tensor:
        deep = self.row(maps, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
        return torch.cat([self.branch3x3(maps), deep, max_pool2d(maps, 3, 2)], 1)


class _C(_Block):
    """17x17 pixels; 7x7 convolutions in two halves."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        across, down = {"kernel": (1, 7), "padding": (0, 3)}, {"kernel": (7, 1), "padding": (3, 0)}
        self.branch1x1 = _Convolution(channels, 192, 1)
        self.branch7x7_1 = _Convolution(channels, width, 1)
        self.branch7x7_2 = _Convolution(width, width, **across)
        self.branch7x7_3 = _Convolution(width, 192, **down)
        self.branch7x7dbl_1 = _Convolution(channels, width, 1)
        self.branch7x7dbl_2 = _Convolution(width, width, **down)
        self.branch7x7dbl_3 = _Convolution(width, width, **across)
        self.branch7x7dbl_4 = _Convolution(width, width, **down)
        self.branch7x7dbl_5 = _Convolution(width, 192, **across)
        self.branch_pool = _Convolution(channels, 192, 1)

    def forward(self, maps: Tensor) -> Tensor:
        branches = [
            self.branch1x1(maps),
            self.row(maps, *(f"branch7x7_{n}" for n in range(1, 4))),
            self.row(maps, *(f"branch7x7dbl_{n}" for n in range(1, 6))),
            self.branch_pool(_mean(maps)),
        ]
        return torch.cat(branches, 1)


class _D(_Block):
    """17x17 to 8x8 pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = _Convolution(channels, 192, 1)
        self.branch3x3_2 = _Convolution(192, 320, 3, stride=2)
        self.branch7x7x3_1 = _Convolution(channels, 192, 1)
        self.branch7x7x3_2 = _Convolution(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = _Convolution(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = _Convolution(192, 192, 3, stride=2)

    def forward(self, maps: Tensor) -> Tensor:
        branches = [
            self.row(maps, "branch3x3_1", "branch3x3_2"),
            self.row(maps, *(f"branch7x7x3_{n}" for n in range(1, 5))),
            max_pool2d(maps, 3, 2),
        ]
        return torch.cat(branches, 1)


class _E(_Block):
    """8x8 pixels. The last block of the 2015 network takes the maximum of neighbours where the first has the mean."""

    def __init__(self, channels: int, takes_maximum: bool) -> None:
        super().__init__()
        self.takes_maximum = takes_maximum
        self.branch1x1 = _Convolution(channels, 320, 1)
        self.branch3x3_1 = _Convolution(channels, 384, 1)
        self.branch3x3_2a = _Convolution(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = _Convolution(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = _Convolution(channels, 448, 1)
        self.branch3x3dbl_2 = _Convolution(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _Convolution(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = _Convolution(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = _Convolution(channels, 192, 1)

    def forward(self, maps: Tensor) -> Tensor:
        pooled = max_pool2d(maps, 3, 1, 1) if self.takes_maximum else _mean(maps)
        deep = self.row(maps, "branch3x3dbl_1", "branch3x3dbl_2")
        branches = [
            self.branch1x1(maps),
            self.fork(self.branch3x3_1(maps), "branch3x3_2a", "branch3x3_2b"),
            self.fork(deep, "branch3x3dbl_3a", "branch3x3dbl_3b"),
            self.branch_pool(pooled),
        ]
        return torch.cat(branches, 1)


class InceptionV3(nn.Module):
    """Inception v3 (Szegedy et al. 2016) up to its pooled features."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3)
        self.Mixed_5b = _A(192, 32)
        self.Mixed_5c = _A(256, 64)
        self.Mixed_5d = _A(288, 64)
        self.Mixed_6a = _B(288)
        self.Mixed_6b = _C(768, 128)
        self.Mixed_6c = _C(768, 160)
        self.Mixed_6d = _C(768, 160)
        self.Mixed_6e = _C(768, 192)
        self.Mixed_7a = _D(768)
        self.Mixed_7b = _E(1280, takes_maximum=False)
        self.Mixed_7c = _E(2048, takes_maximum=True)

    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, 2048] of images [B, 3, H, W] in [0, 1]: resized to 299x299 and taken to [-1, 1]."""
        maps = 2 * interpolate(images, (299, 299), mode="bilinear", align_corners=False) - 1
        for group in _GROUPS:
            for name in group:
                maps = getattr(self, name)(maps)
            if group is not _GROUPS[-1]:
                maps = max_pool2d(maps, 3, 2)
        return maps.mean((2, 3))


_GROUPS: Sequence[Sequence[str]] = (
    ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"),
    ("Conv2d_3b_1x1", "Conv2d_4a_3x3"),
    tuple(f"Mixed_{block}" for block in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")),
)
"""The parts of the network in order; a pooling stands between the groups."""

CLASSIFIER = {"fc.weight": (1008, 2048)}
"""Unused, but the sign of the 2015 network: torchvision's Inception has 1,000 classes and gives other distances."""
