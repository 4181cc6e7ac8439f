"""Where LSCI's training begins: a linear code for its layers, one after another, read by a Kalman filter."""

import torch
from torch import Tensor
from torch.nn import functional as F

from semcomm.jscc import constellation as grids
from semcomm.jscc.disturbance import received
from semcomm.jscc.lsci import LSCINetwork

SNR_DB = 8.0
"""For which the code is made."""
SMALLEST = 1e-9
"""Variance that a component is taken to have at least, where pictures are of one colour."""


@torch.no_grad()
def fit(network: LSCINetwork, images: Tensor, generator: torch.Generator) -> None:
    """Set the linear transforms of all slices for images like `images` [B, 3, H, W].

    A layer sends the principal components of what a receiver of the layers before it still lacks, noise included; the
    amplitudes share out power as is best for Gaussian components over one noisy channel (Lee and Petersen, IEEE Trans.
    Commun. 24(12), 1976, where the noise is small).
    """
    mean = images.mean((0, 2, 3)) - 0.5
    last = network.decoder["base"].steps[str(min(network.widths))][0]
    last.bias.copy_(mean.repeat_interleave(min(network.widths) ** 2))
    centred = images - 0.5 - mean[:, None, None]
    known = torch.zeros_like(images)
    snr_db = torch.full((len(images),), SNR_DB)
    noise = grids.noise_with_rounding(snr_db, network.constellation)[:, None, None, None]
    for layer, ours, theirs in zip(network.layers, network.encoder["slices"], network.decoder["slices"]):
        cells, lacking = (_cells(x, layer.stride) for x in (centred, centred - known))
        variance, components = torch.linalg.eigh(lacking.T @ lacking / len(lacking))
        chosen = torch.arange(2 * layer.symbols) % len(variance)  # a cell with more values than pixels sends some again
        variance, components = (x.flip(-1)[..., chosen] for x in (variance, components))
        power = ((cells @ components) ** 2).mean(0).clamp_min(SMALLEST)
        amplitude = power**-0.25 / (power**0.5).mean() ** 0.5
        back = components / amplitude / chosen.bincount()[chosen]
        forward, back = (c.T.view_as(ours.analysis.weight) for c in (components * amplitude, back))
        ours.analysis.weight.copy_(forward)
        ours.analysis.bias.copy_(-(forward.sum((2, 3)) @ mean.double()))
        if theirs.expected is not None:
            theirs.expected.weight.copy_(forward)
            theirs.expected.bias.zero_()
        theirs.synthesis.weight.copy_(back)
        pairs = 2 * variance.clamp_min(SMALLEST) * amplitude**2  # as the noise is that of pairs
        theirs.log_variance.copy_(pairs.log())
        values = ours.analysis(images - 0.5)
        present = torch.ones_like(values[:, :1])
        sent, gain, _ = grids.emitted(values, present, snr_db, network.constellation)
        arrived = received(sent, snr_db, torch.zeros(len(images), dtype=torch.bool), generator)
        arrived = grids.spread(arrived, present, back=True) / gain
        known = theirs(arrived, noise / gain**2, present, known)[1]


def _cells(images: Tensor, stride: int) -> Tensor:
    """[B, 3, H, W] -> the pixels of each cell of stride x stride, `float64` [cells, 3·stride²]."""
    return F.pixel_unshuffle(images, stride).permute(0, 2, 3, 1).flatten(0, 2).double()
