"""What the symbols of a learned codec may be: any complex number, or the points of a QAM, and of what power.

Symbols are kept as pairs of real channels here, `float32` [B, 2c, h, w]: the first c are in phase, the rest quadrature.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Literal, get_args

import torch
from torch import Tensor

from semcomm.errors import ConfigurationError

Name = Literal["analog", "qpsk", "16qam", "64qam"]
BITS_PER_SYMBOL: dict[str, int] = {"qpsk": 2, "16qam": 4, "64qam": 6}
HALVINGS = 8
"""Of the interval in which the scale of the symbols is sought: to 1 part in 50."""
IRRATIONAL = (0.5497004779019703, 0.8191725133961645, 0.6710436067037893)
"""For channels, rows and columns."""
LEAK = 0.05
"""Share of the gradient that values beyond the outermost points get, so that they can come back."""


def checked(name: str) -> str:
    """Return `name`, if there is such a constellation.

    Raises:
        ConfigurationError: if not.
    """
    if name not in get_args(Name):
        raise ConfigurationError(f"there is no constellation {name!r} here; choose from {', '.join(get_args(Name))}")
    return name


def levels(name: str) -> tuple[float, int]:
    """Return what divides the odd integers into the levels of one axis of a square QAM of unit power; their number."""
    count = 2 ** (BITS_PER_SYMBOL[name] // 2)
    return sqrt(2 * (count**2 - 1) / 3), count


def nearest(values: Tensor, name: str) -> Tensor:
    """Return the level of the constellation's axis that is nearest to each value."""
    divisor, count = levels(name)
    steps = ((values * divisor + count - 1) / 2).round().clamp(0, count - 1)
    return (2 * steps - (count - 1)) / divisor


def dither(shape: Sequence[int], name: str, device: torch.device | str = "cpu") -> Tensor:
    """Return what is added to values before they are rounded to a constellation, [2c, h, w]; both sides know it.

    Evenly spread over one step of the grid, in [-1/2, 1/2) steps, with neighbours far apart: the fractional parts of
    multiples of three irrational numbers (powers of the root of x^4 = x + 1), which a receiver makes again from the
    position alone. So rounding is noise that is uniform and independent of the values (subtractive dither: Schuchman,
    IEEE Trans. Commun. 12(4), 1964), and training sees what transmission does.

    Args:
        shape: 2c, h, w.
        name: of the constellation; zero for `analog`.
        device: where the tensor is to be.
    """
    if name == "analog":
        return torch.zeros(tuple(shape), device=device)
    phase = torch.zeros((), dtype=torch.float64)
    for size, multiple in zip(shape, IRRATIONAL):
        phase = phase[..., None] + multiple * torch.arange(size, dtype=torch.float64)
    divisor, _ = levels(name)
    return ((phase % 1 - 0.5) * 2 / divisor).to(device, torch.float32)


def emitted(values: Tensor, present: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Return the symbols that are sent for a network's `values`, zero where `present` is not, and what they leave.

    Analog symbols have mean power 1 over the present positions of each image. Those of a constellation are its points:
    the nearest to values and dither, scaled as far as the mean power of these points stays at most 1. Forwards they
    are exactly on the grid; backwards the rounding is passed over, except for values beyond the outermost points, where
    it would tell of a change that does not come.

    What the symbols leave is the error of their rounding in half steps of the grid, without gradient: in [-1, 1], and
    beyond where values are cut off; zero for `analog`.

    Args:
        values: [B, 2c, h, w].
        present: 0 or 1, [B, 1, h, w].
        name: of the constellation.
    """
    uses = (present.sum((1, 2, 3), keepdim=True) * (values.shape[1] // 2)).clamp_min(1)
    values = values.float() * present
    values = values * torch.rsqrt((values**2).sum((1, 2, 3), keepdim=True) / uses + 1e-12)
    if name == "analog":
        return values, torch.zeros_like(values)
    shift = dither(values.shape[1:], name, values.device)
    if name != "qpsk":  # all of its points have the same power
        values = values * _scale(values, shift, present, uses, name)
    divisor, count = levels(name)
    points = nearest(values.detach() + shift, name) * present
    left = (values.detach() + shift - points) * divisor * present
    outermost = count / divisor
    passed = (1 - LEAK) * values.clamp(-outermost, outermost) + LEAK * values
    return points + (passed - passed.detach()), left  # plus 0, with the gradient of `passed`


@torch.no_grad()
def _scale(values: Tensor, shift: Tensor, present: Tensor, uses: Tensor, name: str) -> Tensor:
    """Return the largest factor for each image [B, 1, 1, 1] with which the points' mean power is at most 1."""
    low = torch.full_like(uses, 0.05)  # here nearly every symbol is at the innermost points, of power far below 1
    high = torch.full_like(uses, 4.0)
    for _ in range(HALVINGS):
        middle = (low * high).sqrt()
        power = (nearest(values * middle + shift, name) ** 2 * present).sum((1, 2, 3), keepdim=True) / uses
        fits = power <= 1 + 1e-6  # points of power 1 on the whole are allowed, whatever float32 makes of their sum
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return low
