"""LPIPS, the learned perceptual image patch similarity."""

import importlib.util
from math import inf
from pathlib import Path

import torch
from torch import Tensor

from semcomm.errors import ModelError
from semcomm.metrics.base import UNBOUNDED
from semcomm.metrics.perceptual.base import WeightedMetric
from semcomm.models.backbones import BUILD, MIN_SIDE, TITLE, Network
from semcomm.models.files import read_tensors
from semcomm.models.loading import device_of, load_module, shared, weights_of

_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


class LPIPS(WeightedMetric):
    """Learned perceptual image patch similarity (Zhang et al., CVPR 2018), version 0.1; a distance, 0 is identical.

    d(x, y) = Σ_l mean over h, w of Σ_c w_lc (x̂_lhwc − ŷ_lhwc)², with x̂ the maps of a network trained on ImageNet,
    each pixel's channels scaled to unit length, and w ≥ 0 learned from human judgements (equation 1 there; equation 8
    of the SeSS paper). Images are taken from [0, 1] to [-1, 1] and standardised with the published shift and scale.
    The published linear weights are those that torchmetrics carries.

    Args:
        network: `alex` (the standard for comparisons), `vgg` or `squeeze`.
        weights: file of the network's weights in torchvision's layout, or a folder that holds one; by default what
            `semcomm models fetch lpips-alex --trust-pickle` has put in place.
        trust_pickle: read torchvision's `.pth`, which is a pickle.
        device: `auto`, or as PyTorch names it.
    """

    higher_is_better = False
    range = UNBOUNDED

    def __init__(
        self,
        network: Network = "alex",
        weights: str | None = None,
        trust_pickle: bool = False,
        device: str = "auto",
    ) -> None:
        self.network = network
        self.model = weights or f"lpips-{network}"
        self.trust_pickle = trust_pickle
        self.device = device
        self.name = "LPIPS" if network == "alex" else f"LPIPS ({TITLE[network]})"
        self.min_side = MIN_SIDE[network]

    def weights(self) -> str:
        """Return the hash of the network's weights; the linear weights are the published ones."""
        return weights_of(self.model, self.trust_pickle)

    def prepare(self, reference: Tensor) -> list[Tensor]:
        """Return the unit-length maps of each layer, each [B, C, h, w]."""
        return self._maps(reference)

    @torch.no_grad()
    def score(self, prepared: list[Tensor], reconstruction: Tensor) -> Tensor:
        """Return the distance of each image [B]."""
        maps = self._maps(reconstruction)
        total = torch.zeros(len(reconstruction), dtype=torch.float64)
        for weight, ours, theirs in zip(_linear(self.network, self.device), prepared, maps):
            total += torch.einsum("bchw,c->bhw", (ours - theirs).square(), weight).mean((1, 2)).double().cpu()
        return total

    @torch.no_grad()
    def _maps(self, images: Tensor) -> list[Tensor]:
        network = load_module(self.model, BUILD[self.network], self.device, self.trust_pickle)
        device = next(network.parameters()).device
        shift, scale = (torch.tensor(v, device=device)[:, None, None] for v in (_SHIFT, _SCALE))
        maps = network((2 * images.to(device) - 1 - shift) / scale)
        return [x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) for x in maps]  # 1e-10 as in the authors' code


class LpipsScore(LPIPS):
    """1 − LPIPS, the similarity that the SeSS paper compares with (equation 9); see `LPIPS`."""

    higher_is_better = True
    range = (-inf, 1.0)

    def __init__(
        self,
        network: Network = "alex",
        weights: str | None = None,
        trust_pickle: bool = False,
        device: str = "auto",
    ) -> None:
        super().__init__(network, weights, trust_pickle, device)
        self.name = self.name.replace("LPIPS", "LpipsScore")

    def score(self, prepared: list[Tensor], reconstruction: Tensor) -> Tensor:
        """Return the similarity of each image [B]."""
        return 1 - super().score(prepared, reconstruction)


def _linear(network: Network, device: str) -> list[Tensor]:
    """Return the published linear weights of each layer, [C] each, from the file that comes with torchmetrics."""
    target = device_of(device)

    def read() -> list[Tensor]:
        spec = importlib.util.find_spec("torchmetrics")  # finds it without the seconds that importing it takes
        if spec is None:
            raise ModelError("the linear weights of LPIPS come with torchmetrics: pip install 'semcomm[models]'")
        folder = Path(spec.submodule_search_locations[0])
        file = folder / "functional" / "image" / "lpips_models" / f"{network}.pth"
        found = read_tensors(file, trust_pickle=True)  # part of an installed package, like its code
        return [found[key].flatten().to(target) for key in sorted(found)]

    return shared(("lpips linear", network, target), read)
