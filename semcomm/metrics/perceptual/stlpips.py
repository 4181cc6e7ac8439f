"""ST-LPIPS, the shift-tolerant variant of LPIPS, with weights from the package index."""

import re
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semcomm.metrics.base import UNBOUNDED
from semcomm.metrics.perceptual.base import WeightedMetric
from semcomm.models.installed import installed_weights
from semcomm.models.loading import device_of, shared

Network = Literal["alex", "vgg"]
PACKAGE, VERSION = "stlpips-pytorch", "0.0.2"
SHA256 = {
    "alex": "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
    "vgg": "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
}
MIN_SIDE = {"alex": 21, "vgg": 18}
"""Smallest side at which every layer has what it pads with."""
_EPSILON = 1e-10


class BlurPool(nn.Module):
    """A binomial filter of 3x3, then every second position (Zhang 2019); two positions are reflected at each border."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        binomial = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("filt", torch.outer(binomial, binomial).expand(channels, 1, 3, 3).clone())

    def forward(self, maps: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H // 2 + 1, W // 2 + 1]."""
        return F.conv2d(F.pad(maps, (2, 2, 2, 2), mode="reflect"), self.filt, stride=2, groups=len(self.filt))


def _alex() -> tuple[list[nn.Module], tuple[int, ...]]:
    """AlexNet, its strides of 2 and more taken after a blur: layers, and those whose maps are compared."""
    layers = [nn.Conv2d(3, 64, 11, padding=2), BlurPool(64), nn.ReLU(), nn.MaxPool2d(3, 1), BlurPool(64)]
    layers += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 1), BlurPool(192)]
    for before, channels in ((192, 384), (384, 256), (256, 256)):
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
    return layers, (2, 6, 10, 12, 14)


def _vgg() -> tuple[list[nn.Module], tuple[int, ...]]:
    """VGG16 likewise."""
    layers: list[nn.Module] = []
    taps, before = [], 3
    for channels, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        if layers:
            layers += [nn.MaxPool2d(2, 1), BlurPool(before)]
        for _ in range(depth):
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
            before = channels
        taps.append(len(layers) - 1)
    return layers, tuple(taps)


BUILD = {"alex": _alex, "vgg": _vgg}
TITLE = {"alex": "ST-LPIPS", "vgg": "ST-LPIPS (VGG16)"}


class ShiftTolerantNetwork(nn.Module):
    """The maps that ST-LPIPS compares, standardised input included, and the weight of each channel."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        layers, self.taps = BUILD[network]()
        self.net = nn.Sequential(*layers)
        widths = [next(x.out_channels for x in layers[tap::-1] if isinstance(x, nn.Conv2d)) for tap in self.taps]
        self.lin = nn.ParameterList(torch.ones(width) for width in widths)
        self.register_buffer("shift", torch.zeros(1, 3, 1, 1))
        self.register_buffer("scale", torch.ones(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W] in [0, 1] -> unit-length maps [B, C, h, w]."""
        maps = (2 * images - 1 - self.shift) / self.scale
        found = []
        for number, layer in enumerate(self.net):
            maps = layer(maps)
            if number in self.taps:
                found.append(maps / (maps.square().sum(1, keepdim=True).sqrt() + _EPSILON))
        return found

    def read(self, state: dict[str, Tensor]) -> "ShiftTolerantNetwork":
        """Take the published weights, whose layers are numbered alike and grouped in slices."""
        found = {re.sub(r"^net\.slice\d+\.", "net.", name): value for name, value in state.items()}
        found = {name.removeprefix("scaling_layer."): value for name, value in found.items()}
        found = {re.sub(r"^lin(\d)\.model\.1\.weight$", r"lin.\1", name): value for name, value in found.items()}
        self.load_state_dict({name: v.flatten() if name.startswith("lin.") else v for name, v in found.items()})
        return self


class STLPIPS(WeightedMetric):
    """Shift-tolerant LPIPS (Ghildyal and Liu, ECCV 2022, "Shift-tolerant Perceptual Similarity Metric"); a distance.

    LPIPS whose network blurs before it leaves positions out, trained on the same human judgements (BAPPS), so that
    small shifts count less. Its values are not to be compared with LPIPS's. The weights come with the package
    `stlpips-pytorch` (BSD-2-Clause; the extra `perceptual`), of which no code is used.

    Args:
        network: `alex` or `vgg`.
        device: `auto`, or as PyTorch names it.
    """

    higher_is_better = False
    range = UNBOUNDED

    def __init__(self, network: Network = "alex", device: str = "auto") -> None:
        self.network = network
        self.device = device
        self.name = TITLE[network]
        self.min_side = MIN_SIDE[network]

    def weights(self) -> str:
        """Return the SHA-256 (hex) of the weights' file."""
        return SHA256[self.network]

    def prepare(self, reference: Tensor) -> list[Tensor]:
        """Return the unit-length maps of each layer, each [B, C, h, w]."""
        return self._maps(reference)

    @torch.no_grad()
    def score(self, prepared: list[Tensor], reconstruction: Tensor) -> Tensor:
        """Return the distance of each image [B]."""
        total = torch.zeros(len(reconstruction), dtype=torch.float64)
        for weight, ours, theirs in zip(self._network().lin, prepared, self._maps(reconstruction)):
            total += torch.einsum("bchw,c->bhw", (ours - theirs).square(), weight).mean((1, 2)).double().cpu()
        return total

    @torch.no_grad()
    def _maps(self, images: Tensor) -> list[Tensor]:
        network = self._network()
        return network(images.to(network.shift.device))

    def _network(self) -> ShiftTolerantNetwork:
        device = device_of(self.device)

        def make() -> ShiftTolerantNetwork:
            name = f"{self.network}_shift_tolerant.pth"
            path = installed_weights(PACKAGE, VERSION, name, SHA256[self.network], "semcomm[perceptual]")
            network = ShiftTolerantNetwork(self.network).read(torch.load(path, weights_only=True, map_location="cpu"))
            return network.to(device).eval().requires_grad_(False)

        return shared(("st-lpips", self.network, str(device)), make)
