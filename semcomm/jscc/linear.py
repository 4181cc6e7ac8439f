"""Where LSCI's training begins: a linear code for its layers, one after another, read by a Kalman filter."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semcomm.channels import noise_variance
from semcomm.jscc import constellation as grids
from semcomm.jscc.lsci import STEPS_DB, LSCINetwork
from semcomm.jscc.training_channel import received

SNR_DB = 7.0
"""For which the code is made."""
SMALLEST = 1e-4
"""Share of the mean variance that every direction has at least, so that no weight grows without need."""
LEAST_POWER = 0.03
"""Share of the mean power that every component gets at least."""


@torch.no_grad()
def fit(network: LSCINetwork, images: Tensor, generator: torch.Generator) -> None:
    """Set the linear transforms of all slices for images like `images` [B, 3, H, W].

    A layer's transmitter sees the image z1 and what it foresees a receiver to lack of it, z2. It sends the components
    a·z that tell most of what the receiver does lack: whose |cov(lacking, a·z)|² is the largest against a·z's own
    variance, given what the receiver has, and the noise that comes with sending it; with the powers that are best for
    them over one noisy channel. In a new network that is all of the image at the coarse strides, whose stages paint
    nothing yet.
    """
    mean = images.mean((0, 2, 3)) - 0.5
    last = network.decoder["base"].to_rgb[str(min(network.widths))]
    last.bias.copy_(mean.repeat_interleave(min(network.widths) ** 2))
    centred = images - 0.5 - mean[:, None, None]
    trips = [_Trip(torch.full((len(images),), x), centred) for x in (*STEPS_DB, SNR_DB)]
    name = network.constellation
    for layer, ours, theirs in zip(network.layers, network.encoder["slices"], network.decoder["slices"]):
        seen, lacking, there = trips[-1].cells(ours.analysis)
        unknown = seen - there @ _regression(there, seen)
        noise = noise_variance(grids.snr_of_estimates(torch.tensor(SNR_DB), name))
        components = _components(seen, unknown, lacking, noise, 2 * layer.symbols)
        ours.analysis.weight.copy_(components.T.view_as(ours.analysis.weight))
        shift = components.view(-1, 3, layer.stride**2, 2 * layer.symbols).sum((0, 2)).T @ mean.double()
        ours.analysis.bias.copy_(-shift)
        steps = []
        for trip in trips[:2]:
            seen, lacking, there = trip.cells(ours.analysis)
            expected = _regression(there, seen @ components)
            steps.append((expected, 2 * (seen @ components - there @ expected).var(0)))  # twice: noise is that of pairs
        if theirs.expected is not None:
            theirs.expected.weight.copy_(torch.cat([x.T for x, _ in steps]).view_as(theirs.expected.weight))
            theirs.expected.bias.zero_()
        theirs.log_variance.copy_(torch.cat([x for _, x in steps]).clamp_min(1e-9).log())
        heard = [trip.heard(network, ours.analysis, generator) for trip in trips]
        half = 2 * layer.symbols
        for part, trip, (arrived, _, rest) in zip((slice(half), slice(half, None)), trips, heard):
            news = _rows(theirs.news(arrived, *rest, F.pixel_unshuffle(trip.known, layer.stride))[:, part])
            back = _regression(news, trip.cells(ours.analysis)[1])
            theirs.synthesis.weight[part].copy_(back.view_as(theirs.synthesis.weight[part]))
        for trip, (arrived, told, rest) in zip(trips, heard):
            trip.known, trip.predicted = (
                F.pixel_shuffle(theirs(x, *rest, F.pixel_unshuffle(image, layer.stride))[1], layer.stride)
                for x, image in ((arrived, trip.known), (told, trip.predicted))
            )


class _Trip:
    """Images on their way over a channel of one SNR, [B, 3, H, W], around 0."""

    def __init__(self, snr_db: Tensor, images: Tensor) -> None:
        self.snr_db, self.images = snr_db, images
        self.known, self.predicted = torch.zeros_like(images), torch.zeros_like(images)

    def seen(self, channels: int) -> Tensor:
        """Return what the transmitter looks at: the images, and what it foresees to be lacking."""
        return torch.cat([self.images, self.images - self.predicted], 1)[:, :channels]

    def cells(self, ours: nn.Conv2d) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the transmitter sees of each cell, what the receiver lacks, and what it has."""
        seen = self.seen(ours.in_channels)
        return tuple(_rows(F.pixel_unshuffle(x, ours.stride[0])) for x in (seen, self.images - self.known, self.known))

    def heard(self, network: LSCINetwork, ours: nn.Conv2d, generator: torch.Generator) -> tuple[Tensor, Tensor, tuple]:
        """Return the next layer's values as they arrive, as they are foreseen, and what else a step takes."""
        values = F.conv2d(self.seen(ours.in_channels), ours.weight, stride=ours.stride)
        present = torch.ones_like(values[:, :1])
        sent, gain, told = grids.quantise_to_constellation(values, present, network.constellation)
        unfaded = torch.zeros(len(values), dtype=torch.bool)
        estimates, snr_db = received(sent, self.snr_db, unfaded, network.constellation, generator)
        arrived = grids.spread(estimates, present, back=True) / gain
        noise = noise_variance(snr_db)[:, None, None, None] / gain**2
        return arrived, told, (noise, network.high(snr_db), present)


def _components(seen: Tensor, news: Tensor, lacking: Tensor, noise: Tensor, count: int) -> Tensor:
    """Return what to send of what is seen, [seen, count], in the order of its worth.

    Args:
        seen: by the transmitter, [cells, seen].
        news: what the receiver does not expect of it, likewise.
        lacking: what it lacks of the pixels, [cells, pixels].
        noise: power, to unit power of what is sent.
        count: how many.
    """
    power = seen.T @ seen / len(seen)
    variance = news.T @ news / len(news)
    shared = news.T @ lacking / len(news)
    cost = variance + noise * power
    cost += SMALLEST * cost.diagonal().mean() * torch.eye(len(cost), dtype=cost.dtype)
    root = torch.linalg.cholesky(cost)
    worth = torch.linalg.solve_triangular(root, shared, upper=False)
    _, found = torch.linalg.eigh(worth @ worth.T)
    components = torch.linalg.solve_triangular(root.T, found.flip(1), upper=True)
    # with as many values as pixels all is told, and some is sent again
    components = components[:, torch.arange(count) % lacking.shape[1]]
    components /= ((power @ components) * components).sum(0).clamp_min(1e-12).sqrt()
    worth = ((shared.T @ components) ** 2).sum(0)
    own = ((variance @ components) * components).sum(0)
    return components * _powers(worth, own, noise).sqrt()


def _powers(worth: Tensor, own: Tensor, noise: Tensor) -> Tensor:
    """Return the powers q, 1 in the mean, that make the sum of worth·q / (own·q + noise) the largest."""
    low, high = worth.new_tensor(-40.0), worth.new_tensor(40.0)
    for _ in range(100):
        price = (low + high) / 2
        powers = (((worth * noise).sqrt() * torch.exp(-price) - noise) / own.clamp_min(1e-12)).clamp_min(LEAST_POWER)
        low, high = (price, high) if powers.mean() > 1 else (low, price)
    return powers


def _regression(given: Tensor, wanted: Tensor) -> Tensor:
    """Return the matrix that makes the best of `given` [n, a] for `wanted` [n, b], [a, b]."""
    own = given.T @ given / len(given)
    own += (SMALLEST * own.diagonal().mean() + 1e-12) * torch.eye(len(own), dtype=own.dtype)
    return torch.linalg.solve(own, given.T @ wanted / len(given))


def _rows(grid: Tensor) -> Tensor:
    """[B, C, h, w] -> `float64` [B·h·w, C]."""
    return grid.permute(0, 2, 3, 1).flatten(0, 2).double()
