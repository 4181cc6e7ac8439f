"""Peers' transceivers, from their authors' checkpoints: SwinJSCC and WITT."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from semcomm.channels import ChannelOutput
from semcomm.errors import ConfigurationError
from semcomm.jscc.codec import Precision, effective_snr_db
from semcomm.jscc.swin import SwinNetwork
from semcomm.jscc.swin_loading import Variant, load_swin
from semcomm.ledger import Ledger
from semcomm.models import UsesWeights, device_of
from semcomm.models.files import fingerprint
from semcomm.transceivers.base import Info, Signal, Transceiver

SIDE_BITS = 64
"""Side information of an image without rate adaptation: 32 bits for its size, 32 for the power of its features."""

MOST_SNR_DB = 60.0
"""SNR that the networks are given where there is no noise."""


@dataclass(frozen=True)
class FeatureControl:
    """Side information of one image, counted in `side_bits`.

    Attributes:
        height: of the image.
        width: of the image.
        power: mean square of the features that were sent, `float32`.
        mask: of the features that are sent (w/ RA), one bit each; None for all.
    """

    height: int
    width: int
    power: float
    mask: Tensor | None


class SwinJSCC(UsesWeights, Transceiver):
    """SwinJSCC from its authors' checkpoints: shifted-window attention to analog symbols (`semcomm.jscc.swin`).

    Differences from the authors' evaluation: power is normalised over each image, not over a batch; the power that
    their receiver knows (32 bits) and the mask of the rate-adaptive variants (a bit for each feature: 320) are side
    information, counted in `side_bits`; images are rounded to 8 bits. Sides that are no multiple of the windows (128,
    on CIFAR-10 8) are padded, and the padding is sent. With fading, the receiver takes MMSE estimates.

    Args:
        checkpoint: the state dict of the whole network, `*.model` as the authors save it or safetensors.
        variant: `w/o`, `SA`, `RA` or `SA&RA`; None for what the file says. Files of `w/o` and `SA` look the same.
        rate: features sent for each token, w/ RA: CBR = rate / 1536 in the published sizes.
        legacy_sort: order equal sums of the rate mask as torch up to 1.12 did on CUDA, where the published
            rate-adaptive checkpoints were trained (see [Your network](../networks.md#peers-checkpoints)).
        constructed_at: side of the images for which the authors constructed the network, where the file does not say.
        trust_pickle: read a pickle. Even then only tensors, numbers and containers are read.
        assumed_snr_db: SNR that the transmitter assumes where the channel lets it know none.
        precision: `fp32`, or `bf16` for autocast.
        device: where to compute; `auto` takes a GPU where there is one.
    """

    excluded_from_recipe: ClassVar[frozenset[str]] = UsesWeights.excluded_from_recipe | {"checkpoint"}

    def __init__(
        self,
        checkpoint: str,
        variant: Variant | None = None,
        rate: int | None = None,
        legacy_sort: bool = False,
        constructed_at: int | None = None,
        trust_pickle: bool = False,
        assumed_snr_db: float = 10.0,
        precision: Precision = "fp32",
        device: str = "auto",
    ) -> None:
        if rate is not None and rate < 1:
            raise ConfigurationError(f"rate is {rate}; it is a number of features, at least 1")
        self.checkpoint = checkpoint
        self.variant = variant
        self.rate = rate
        self.legacy_sort = legacy_sort
        self.constructed_at = constructed_at
        self.trust_pickle = trust_pickle
        self.assumed_snr_db = assumed_snr_db
        self.precision = precision
        self.device = device

    def weights(self) -> str:
        """Return the SHA-256 of the checkpoint's file."""
        return fingerprint(self._path, self.trust_pickle)

    @property
    def _path(self) -> Path:
        return Path(self.checkpoint).expanduser()

    def network(self) -> SwinNetwork:
        """Return the network.

        Raises:
            ModelError: when the checkpoint is missing, damaged or of another network.
            ConfigurationError: when it needs a variant, a size or a rate that was not given.
        """
        device = str(device_of(self.device))
        network = load_swin(self._path, self.variant, self.constructed_at, self.trust_pickle, device)
        if network.rate_adaptive != (self.rate is not None):
            raise ConfigurationError(
                f"{self.checkpoint}: "
                + (
                    f"is rate-adaptive: set rate, the features sent for each token (1 to {network.features})"
                    if network.rate_adaptive
                    else f"has one rate, {network.channels} features for each token: leave rate out"
                )
            )
        if self.rate is not None and self.rate > network.features:
            raise ConfigurationError(f"rate is {self.rate}; {self.checkpoint} has {network.features} features")
        return network

    def _computing(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")

    @torch.inference_mode()
    def send(self, images: Tensor, snr_db: Tensor, rng: Sequence[torch.Generator]) -> Signal:
        """Turn `images` [B, 3, H, W] into symbols: the first half of the features in phase, the rest in quadrature."""
        network, device = self.network(), device_of(self.device)
        known_snr_db = torch.where(snr_db.isnan(), self.assumed_snr_db, snr_db).clamp(max=MOST_SNR_DB).to(device)
        height, width = images.shape[2:]
        with self._computing(device):
            padded = F.pad(
                images.to(device), (0, -width % network.multiple, 0, -height % network.multiple), mode="replicate"
            )
            features, masks = network.encode(padded, known_snr_db, self.rate, self.legacy_sort)
        symbols, control = [], []
        for index, image in enumerate(features.float().cpu()):
            mask = None if masks is None else masks[index].cpu() > 0
            values = (image if mask is None else image[..., mask]).flatten()
            power = values.square().mean().clamp_min(torch.finfo(torch.float32).tiny)
            symbols.append(torch.complex(*(values / (2 * power).sqrt()).chunk(2)))
            control.append(FeatureControl(height, width, power.item(), mask))
        side_bits = SIDE_BITS + (network.features if network.rate_adaptive else 0)
        uses = [len(x) for x in symbols]
        ledger = Ledger.of(
            images, source_bits=[float("nan")] * len(uses), channel_uses=uses, side_bits=[side_bits] * len(uses)
        )
        return Signal(ledger, symbols, control=control)

    @torch.inference_mode()
    def receive(
        self, output: ChannelOutput, control: Sequence[FeatureControl], rng: Sequence[torch.Generator]
    ) -> tuple[Tensor, Info]:
        """Turn what was received into images [B, 3, H, W]."""
        network, device = self.network(), device_of(self.device)
        height, width = control[0].height, control[0].width
        rows, columns = (-(-side // network.multiple) * network.multiple // network.stride for side in (height, width))
        features = torch.zeros(len(control), rows, columns, network.channels)
        for grid, symbols, one in zip(features, output.equalised(), control):
            values = torch.cat([symbols.real, symbols.imag]) * (2 * one.power) ** 0.5
            if one.mask is None:
                grid.copy_(values.view_as(grid))
            else:
                grid[..., one.mask] = values.view(rows, columns, -1)
        snr_db = effective_snr_db(output)
        with self._computing(device):
            images = network.decode(features.to(device), snr_db.to(device))
        return images.float().cpu()[..., :height, :width].clamp(0, 1), {"receiver_snr_db": snr_db}


class WITT(SwinJSCC):
    """WITT from its authors' checkpoints: the same network as SwinJSCC w/ SA.

    Args:
        checkpoint: the state dict of the whole network, `*.model` as the authors save it or safetensors.
        variant: `SA`, or `w/o` for WITT_W/O.
        constructed_at: side of the images for which the authors constructed the network, where the file does not say.
        trust_pickle: read a pickle. Even then only tensors, numbers and containers are read.
        assumed_snr_db: SNR that the transmitter assumes where the channel lets it know none.
        precision: `fp32`, or `bf16` for autocast.
        device: where to compute; `auto` takes a GPU where there is one.
    """

    def __init__(
        self,
        checkpoint: str,
        variant: Variant = "SA",
        constructed_at: int | None = None,
        trust_pickle: bool = False,
        assumed_snr_db: float = 10.0,
        precision: Precision = "fp32",
        device: str = "auto",
    ) -> None:
        super().__init__(
            checkpoint,
            variant,
            constructed_at=constructed_at,
            trust_pickle=trust_pickle,
            assumed_snr_db=assumed_snr_db,
            precision=precision,
            device=device,
        )
