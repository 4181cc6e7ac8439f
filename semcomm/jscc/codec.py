"""Trained codecs ready to use: images to lists of symbols, and back."""

from collections.abc import Sequence
from contextlib import ExitStack
from math import ceil
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from semcomm.channels import ChannelOutput
from semcomm.errors import ConfigurationError, ImageError, RateError
from semcomm.jscc import constellation as grids
from semcomm.jscc import plans
from semcomm.jscc.allocation import activity, activity_exponent, allocate
from semcomm.jscc.network import LearnedNetwork, uniform_plan
from semcomm.models.loading import Precision

Allocation = Literal["uniform", "adaptive"]


class Codec:
    """A network with its weights.

    Args:
        network: with its weights loaded.
        hash: SHA-256 (hex) of the weights' file; it belongs in the recipe of whatever is computed with them.
        card: of the weights, as read from their file.
        device: where to compute.
        precision: `fp32`, or `bf16` for autocast.
    """

    def __init__(
        self,
        network: LearnedNetwork,
        hash: str = "",
        card: dict | None = None,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
    ) -> None:
        self.network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
        self.hash = hash
        self.card = card or {}
        self.device = torch.device(device)
        self.precision = precision
        self._sent: tuple[list[Tensor], tuple[list[Tensor], Tensor]] | None = None

    def plan(
        self, images: Tensor, uses: float, allocation: Allocation = "uniform", snr_db: Tensor | None = None
    ) -> Tensor:
        """Return the number of layers of each block of each image, `uint8` [B, h, w].

        Args:
            images: [B, 3, H, W].
            uses: budget of each image in channel uses.
            allocation: `uniform`, or `adaptive`: more for blocks with stronger gradients, the more so the better the
                channel is.
            snr_db: known to the transmitter [B]; None for a good channel.

        Raises:
            RateError: when `uses` are fewer than the base layer takes.
            ImageError: when an image is smaller than a block.
        """
        padded = self._padded(images)
        stride, costs = self.network.stride, self.network.uses[: self.network.held]
        height, width = padded.shape[2] // stride, padded.shape[3] // stride
        budget = uses / (height * width)
        if budget < costs[0]:
            raise RateError(
                f"{uses:g} channel uses for an image of {images.shape[3]}x{images.shape[2]} pixels are fewer than the "
                f"{costs[0] * height * width} that the first layer of this codec takes"
            )
        if allocation == "uniform":
            layers = sum(cost <= budget for cost in costs)
            return uniform_plan(padded, self.network, layers)
        budgets = torch.full((len(images),), budget, dtype=torch.float64)
        exponent = activity_exponent(torch.full((len(images),), torch.inf) if snr_db is None else snr_db.cpu())
        return allocate(exponent[:, None, None] * activity(padded, stride), budgets, costs)

    def uses_of(self, images: Tensor, layers: int) -> int:
        """Return the channel uses of each image [B, 3, H, W] with the first `layers` layers everywhere.

        Raises:
            ConfigurationError: when the network has fewer layers.
        """
        if not 1 <= layers <= self.network.held:
            raise ConfigurationError(f"layers is {layers}; this codec has 1 to {self.network.held}")
        stride = self.network.stride
        return self.network.uses[layers - 1] * ceil(images.shape[2] / stride) * ceil(images.shape[3] / stride)

    def send(self, images: Tensor, snr_db: Tensor, plan: Tensor, refine: int = 0) -> tuple[list[Tensor], Tensor]:
        """Return the symbols of each image, `complex64` [k], layer after layer, row after row; the gains of its layers.

        Gains, [B, layers], are as signalled to the receiver: with the precision of `gain_bytes`. The last result is
        kept, since a sweep sends the same over one realisation of the channel after another.

        Args:
            images: [B, 3, H, W] in [0, 1].
            snr_db: known to the transmitter [B].
            plan: layers of each block [B, h, w].
            refine: gradient steps on each image's symbols (`semcomm.jscc.refinement`).
        """
        given = [images, snr_db, plan, torch.tensor(refine)]
        if self._sent is None or not all(map(torch.equal, self._sent[0], given)):
            self._sent = [x.clone() for x in given], self._encoded(images, snr_db, plan, refine)
        symbols, gains = self._sent[1]
        return list(symbols), gains

    def _encoded(self, images: Tensor, snr_db: Tensor, plan: Tensor, refine: int) -> tuple[list[Tensor], Tensor]:
        if refine:
            grids, gains = self._refined(images, snr_db, plan, refine)
        else:
            with self._computing():
                padded = self._padded(images).to(self.device, memory_format=torch.channels_last)
                grids, gains = self.network.encode(padded, snr_db.to(self.device), plan.to(self.device))
        pairs = [torch.complex(*grid.float().cpu().chunk(2, dim=1)).permute(0, 2, 3, 1) for grid in grids]
        there = [self.network.presence(plan, index)[:, 0] > 0 for index in range(len(grids))]
        symbols = [
            torch.cat([pair[b][mask[b]].flatten() for pair, mask in zip(pairs, there)]) for b in range(len(images))
        ]
        return symbols, torch.stack([gains_from(gain_bytes(one)) for one in gains])

    def _refined(self, images: Tensor, snr_db: Tensor, plan: Tensor, steps: int) -> tuple[list[Tensor], Tensor]:
        """Return the symbols of each layer of the batch and their gains, each image refined alone."""
        from semcomm.jscc.refinement import refined

        found = []
        with torch.inference_mode(False), torch.enable_grad(), self._autocast():
            for image, snr, layers in zip(images.split(1), snr_db.split(1), plan.split(1)):
                padded = self._padded(image).clone().to(self.device, memory_format=torch.channels_last)
                given = snr.clone().to(self.device), layers.clone().to(self.device)
                found.append(refined(self.network, padded, image.shape[2:], *given, steps))
        count = max(len(grids) for grids, _ in found)
        shapes = next([grid.shape for grid in grids] for grids, _ in found if len(grids) == count)
        grids = [
            torch.cat([one[n] if n < len(one) else torch.zeros(shapes[n], device=self.device) for one, _ in found])
            for n in range(count)
        ]
        return grids, torch.cat([F.pad(gains, (0, count - gains.shape[1]), value=1.0) for _, gains in found])

    def receive(
        self, symbols: Sequence[Tensor], gains: Tensor, snr_db: Tensor, plan: Tensor, height: int, width: int
    ) -> Tensor:
        """Return images [B, 3, height, width] in [0, 1].

        Args:
            symbols: estimates, `complex64` [k] for each image, as `estimates_of` gives them.
            gains: of the layers [B, layers], as sent.
            snr_db: of the estimates [B].
            plan: layers of each block [B, h, w], as sent.
            height: of the images.
            width: of the images.
        """
        count = min(int(plan.max()), self.network.held)  # layers of slices that are not held are left out
        grids = [[] for _ in range(count)]
        for received, one in zip(symbols, plan):
            start = 0
            for index in range(count):
                there = self.network.presence(one[None], index)[0, 0] > 0
                grid = torch.zeros(*there.shape, self.network.layers[index].symbols, dtype=torch.complex64)
                end = start + int(there.sum()) * grid.shape[2]
                grid[there] = received[start:end].reshape(-1, grid.shape[2])
                grids[index].append(torch.cat([grid.real, grid.imag], 2).permute(2, 0, 1))
                start = end
        with self._computing():
            arrived = [torch.stack(g).to(self.device, memory_format=torch.channels_last) for g in grids]
            images = self.network.decode(arrived, gains.to(self.device), snr_db.to(self.device), plan.to(self.device))
        return images.float().cpu()[..., :height, :width].clamp(0, 1)

    def plan_bytes(self, plan: Tensor) -> bytes:
        """Return the bytes that signal one image's plan [h, w] to a receiver; none where there is but one layer."""
        return plans.encode(plan) if len(self.network.layers) > 1 else b""

    def plan_from(self, data: bytes, height: int, width: int) -> Tensor:
        """Return the plan [h, w] of an image of `height` x `width` pixels from the bytes that signal it."""
        blocks = ceil(height / self.network.stride), ceil(width / self.network.stride)
        if len(self.network.layers) == 1:
            return torch.ones(blocks, dtype=torch.uint8)
        return plans.decode(data, *blocks)

    def _padded(self, images: Tensor) -> Tensor:
        """Repeat the last row and column until blocks fill the image."""
        height, width = images.shape[2:]
        stride = self.network.stride
        if min(height, width) < stride:
            raise ImageError(
                f"an image of {width}x{height} pixels is smaller than a block of this codec, {stride}x{stride} pixels: "
                "leave it out or enlarge it"
            )
        return F.pad(images, (0, -width % stride, 0, -height % stride), mode="replicate")

    def _computing(self) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(torch.inference_mode())
        stack.enter_context(self._autocast())
        return stack

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def gain_bytes(gains: Tensor) -> bytes:
    """Return the gains of one image's layers [layers] as bytes, two for each: their log2 in half precision."""
    return gains.double().log2().cpu().numpy().astype("<f2").tobytes()


def gains_from(data: bytes) -> Tensor:
    """Return the gains `float32` [layers] that `gain_bytes` made into `data`."""
    return torch.from_numpy(np.exp2(np.frombuffer(data, "<f2").astype(np.float32)))


def estimates_of(output: ChannelOutput, name: str) -> tuple[list[Tensor], Tensor]:
    """Return estimates of each image's DFT-spread values, which the networks take, and their SNR in dB [B].

    They are conditional means (`semcomm.jscc.constellation.conditional_mean`) divided by their mean Wiener gain: faded
    symbols count less, and the sum is unbiased. The error, quantisation included, is spread evenly by despreading.
    Of analog symbols without fading they are the received symbols.

    Args:
        output: of a channel.
        name: of the constellation.
    """
    pairs = _equalised(output)
    gains = _gains(pairs, name)
    estimates = []
    for (symbols, noise), gain in zip(pairs, gains):
        parts = grids.conditional_mean(torch.view_as_real(symbols.to(torch.complex64)), noise[:, None], name)
        estimates.append(torch.view_as_complex(parts) / gain.float())
    return estimates, _snr_db(gains)


def effective_snr_db(output: ChannelOutput) -> Tensor:
    """Return the SNR in dB of each image's symbols [B], strong and weak ones weighted as in analog estimates."""
    return _snr_db(_gains(_equalised(output), "analog"))


def _equalised(output: ChannelOutput) -> list[tuple[Tensor, Tensor]]:
    """Return each image's symbols [k] and their noise power, `float32` [k]."""
    return [(symbols, noise.expand(len(symbols)).float()) for symbols, noise in output.zero_forced()]


def _gains(pairs: Sequence[tuple[Tensor, Tensor]], name: str) -> Tensor:
    """Return the mean Wiener gain of each image's estimates, `float64` [B]."""
    return torch.stack([grids.wiener_gain(noise, name).double().mean() for _, noise in pairs])


def _snr_db(gains: Tensor) -> Tensor:
    return (10 * torch.log10(gains / (1 - gains))).float()
