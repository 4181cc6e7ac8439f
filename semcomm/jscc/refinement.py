"""Refinement of LSCI's symbols at the transmitter: gradient steps through the decoder, for one image at one SNR.

As NTSCC++ does over NTSCC+ (Wang et al., "Improved nonlinear transform source-channel coding to catalyze semantic
communications", 2023). The receiver stays as it is.
"""

from math import cos, pi

import torch
from torch import Tensor

from semcomm.jscc import constellation as grids
from semcomm.jscc.lsci import LSCINetwork
from semcomm.jscc.training_channel import simulate

RATE = 0.03
"""Adam's first learning rate, on values of unit power; it falls to 0 as a cosine."""
STEPS_BETWEEN = 5
"""Steps between two evaluations of the expected loss."""
DRAWS = 2
"""Noise realisations of an evaluation, the same for all."""


def refined(
    network: LSCINetwork, image: Tensor, original: tuple[int, int], snr_db: Tensor, plan: Tensor, steps: int
) -> tuple[list[Tensor], Tensor]:
    """Return symbols and gains as `LSCINetwork.encode` does, after `steps` of Adam on the values behind them.

    The loss is the squared error of the receiver's image over AWGN of `snr_db` with fresh noise in each step. Power is
    normalised and symbols are quantised in each step, as in training. Of the iterates, the network's own among them,
    the one with the least expected loss is returned.

    Args:
        network: in evaluation mode.
        image: [1, 3, H, W] in [0, 1], sides divisible by the stride.
        original: height and width of the image before it was padded: only these pixels count.
        snr_db: known to the transmitter [1].
        plan: layers of each block [1, h, w].
        steps: of Adam.
    """
    height, width = original
    values, _, _ = network.encode_values(image, snr_db, plan)
    present = [network.presence(plan, index) for index in range(len(values))]
    units, scales = zip(*map(grids.normalised, values, present))
    units = [unit.detach().clone().requires_grad_() for unit in units]
    unfaded = torch.zeros(1, dtype=torch.bool, device=image.device)
    generator = torch.Generator(image.device)

    def coded() -> tuple[list[Tensor], Tensor]:
        layers = zip(units, scales, present)
        sent = [grids.quantise_to_constellation(u / scale, there, network.constellation) for u, scale, there in layers]
        return [symbols for symbols, _, _ in sent], torch.stack([gain.flatten() for _, gain, _ in sent], 1)

    def loss(symbols: list[Tensor], gains: Tensor) -> Tensor:
        found = simulate(network, symbols, gains, snr_db, unfaded, plan, generator)
        return (found - image)[..., :height, :width].square().mean()

    @torch.no_grad()
    def expected() -> tuple[float, list[Tensor], Tensor]:
        found = coded()
        generator.manual_seed(0)
        return sum(loss(*found).item() for _ in range(DRAWS)), *found

    best = expected()
    optimiser = torch.optim.Adam(units, RATE)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * 0.5 * (1 + cos(pi * step / steps))
        generator.manual_seed(step + 1)
        optimiser.zero_grad()
        loss(*coded()).backward()
        optimiser.step()
        if (step + 1) % STEPS_BETWEEN == 0 or step + 1 == steps:
            best = min(best, expected(), key=lambda one: one[0])
    return best[1], best[2]
