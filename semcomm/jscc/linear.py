"""Initialisation of LSCI: a linear code for its layers, one after another, decoded by a Kalman filter."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semcomm.channels import noise_variance
from semcomm.jscc import constellation as grids
from semcomm.jscc.lsci import UPDATES_DB, LSCINetwork
from semcomm.jscc.training_channel import received

SNR_DB = 7.0
"""Design SNR of the code."""
SMALLEST = 1e-4
"""Least variance of a direction, relative to the mean, so that no weight grows without need."""
LEAST_POWER = 0.03
"""Least power of a component, relative to the mean."""


@torch.no_grad()
def fit(network: LSCINetwork, images: Tensor, generator: torch.Generator) -> None:
    """Set the linear transforms of all slices for images like `images` [B, 3, H, W].

    A layer's transmitter has the image z1 and its predicted residual at a receiver, z2. It sends the components a·z
    that explain most of the receiver's true residual: whose |cov(residual, a·z)|² is the largest relative to the
    variance of a·z given the receiver's image, plus channel noise; with the powers that are best for them over one
    noisy channel. In a new network, coarse strides have no other update of the image yet.
    """
    mean = images.mean((0, 2, 3)) - 0.5
    last = network.decoder["base"].to_rgb[str(min(network.widths))]
    last.bias.copy_(mean.repeat_interleave(min(network.widths) ** 2))
    centred = images - 0.5 - mean[:, None, None]
    passes = [_Pass(torch.full((len(images),), x), centred) for x in (*UPDATES_DB, SNR_DB)]
    name = network.constellation
    for layer, ours, theirs in zip(network.layers, network.encoder["slices"], network.decoder["slices"]):
        seen, residual, known = passes[-1].cells(ours.analysis)
        innovation = seen - known @ _regression(known, seen)
        noise = noise_variance(grids.snr_of_estimates(torch.tensor(SNR_DB), name))
        components = _components(seen, innovation, residual, noise, 2 * layer.symbols)
        ours.analysis.weight.copy_(components.T.view_as(ours.analysis.weight))
        shift = components.view(-1, 3, layer.stride**2, 2 * layer.symbols).sum((0, 2)).T @ mean.double()
        ours.analysis.bias.copy_(-shift)
        updates = []
        for one in passes[:2]:
            seen, _, known = one.cells(ours.analysis)
            expected = _regression(known, seen @ components)
            variance = 2 * (seen @ components - known @ expected).var(0)  # twice: noise is that of pairs
            updates.append((expected, variance))
        if theirs.expected is not None:
            theirs.expected.weight.copy_(torch.cat([x.T for x, _ in updates]).view_as(theirs.expected.weight))
            theirs.expected.bias.zero_()
        theirs.log_variance.copy_(torch.cat([x for _, x in updates]).clamp_min(1e-9).log())
        arrived = [one.transmit(network, ours.analysis, generator) for one in passes]
        half = 2 * layer.symbols
        for part, one, (values, _, rest) in zip((slice(half), slice(half, None)), passes, arrived):
            innovation = _rows(theirs.innovation(values, *rest, F.pixel_unshuffle(one.known, layer.stride))[:, part])
            back = _regression(innovation, one.cells(ours.analysis)[1])
            theirs.synthesis.weight[part].copy_(back.view_as(theirs.synthesis.weight[part]))
        for one, (values, noiseless, rest) in zip(passes, arrived):
            one.known, one.predicted = (
                F.pixel_shuffle(theirs(x, *rest, F.pixel_unshuffle(image, layer.stride))[1], layer.stride)
                for x, image in ((values, one.known), (noiseless, one.predicted))
            )


class _Pass:
    """Transmission of images [B, 3, H, W] around 0 over a channel of one SNR, layer by layer.

    `known` is the receiver's reconstruction, `predicted` the transmitter's prediction of it.
    """

    def __init__(self, snr_db: Tensor, images: Tensor) -> None:
        self.snr_db, self.images = snr_db, images
        self.known, self.predicted = torch.zeros_like(images), torch.zeros_like(images)

    def seen(self, channels: int) -> Tensor:
        """Return the transmitter's input: the images, and their predicted residual."""
        return torch.cat([self.images, self.images - self.predicted], 1)[:, :channels]

    def cells(self, ours: nn.Conv2d) -> tuple[Tensor, Tensor, Tensor]:
        """Return the transmitter's input for each cell, the receiver's residual, and its reconstruction."""
        seen = self.seen(ours.in_channels)
        return tuple(_rows(F.pixel_unshuffle(x, ours.stride[0])) for x in (seen, self.images - self.known, self.known))

    def transmit(
        self, network: LSCINetwork, ours: nn.Conv2d, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, tuple]:
        """Return the next layer's values as received and without noise, and the other arguments of an update."""
        values = F.conv2d(self.seen(ours.in_channels), ours.weight, stride=ours.stride)
        present = torch.ones_like(values[:, :1])
        sent, gain, noiseless = grids.quantise_to_constellation(values, present, network.constellation)
        unfaded = torch.zeros(len(values), dtype=torch.bool)
        estimates, snr_db = received(sent, self.snr_db, unfaded, network.constellation, generator)
        arrived = grids.dft_spread(estimates, present, inverse=True) / gain
        noise = noise_variance(snr_db)[:, None, None, None] / gain**2
        return arrived, noiseless, (noise, network.high(snr_db), present)


def _components(seen: Tensor, innovation: Tensor, residual: Tensor, noise: Tensor, count: int) -> Tensor:
    """Return the components to send of the transmitter's input, [seen, count], in the order of their gain.

    Args:
        seen: the transmitter's input, [cells, seen].
        innovation: its part that the receiver cannot predict, likewise.
        residual: of the receiver's pixels, [cells, pixels].
        noise: power, relative to unit power of the components.
        count: number of components.
    """
    power = seen.T @ seen / len(seen)
    variance = innovation.T @ innovation / len(innovation)
    shared = innovation.T @ residual / len(innovation)
    cost = variance + noise * power
    cost += SMALLEST * cost.diagonal().mean() * torch.eye(len(cost), dtype=cost.dtype)
    root = torch.linalg.cholesky(cost)
    whitened = torch.linalg.solve_triangular(root, shared, upper=False)
    _, found = torch.linalg.eigh(whitened @ whitened.T)
    components = torch.linalg.solve_triangular(root.T, found.flip(1), upper=True)
    # beyond as many values as pixels, the best are repeated
    components = components[:, torch.arange(count) % residual.shape[1]]
    components /= ((power @ components) * components).sum(0).clamp_min(1e-12).sqrt()
    gains = ((shared.T @ components) ** 2).sum(0)
    own = ((variance @ components) * components).sum(0)
    return components * _powers(gains, own, noise).sqrt()


def _powers(gains: Tensor, own: Tensor, noise: Tensor) -> Tensor:
    """Return the powers q, 1 in the mean, that make the sum of gains·q / (own·q + noise) the largest."""
    low, high = gains.new_tensor(-40.0), gains.new_tensor(40.0)
    for _ in range(100):
        price = (low + high) / 2
        powers = (((gains * noise).sqrt() * torch.exp(-price) - noise) / own.clamp_min(1e-12)).clamp_min(LEAST_POWER)
        low, high = (price, high) if powers.mean() > 1 else (low, price)
    return powers


def _regression(given: Tensor, wanted: Tensor) -> Tensor:
    """Return the least-squares matrix [a, b] from `given` [n, a] to `wanted` [n, b]."""
    own = given.T @ given / len(given)
    own += (SMALLEST * own.diagonal().mean() + 1e-12) * torch.eye(len(own), dtype=own.dtype)
    return torch.linalg.solve(own, given.T @ wanted / len(given))


def _rows(grid: Tensor) -> Tensor:
    """Return the cells of [B, C, h, w] as rows, `float64` [B·h·w, C]."""
    return grid.permute(0, 2, 3, 1).flatten(0, 2).double()
