"""Latents <-> bits: real numbers as IEEE 754 says, or uniformly quantised; and how a receiver mends wrecked ones."""

from abc import ABC, abstractmethod
from math import prod
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from semcomm.component import Component
from semcomm.errors import ConfigurationError, DecodeError

Format = Literal["float64", "float32", "float16", "bfloat16"]
BITS: dict[str, int] = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16}
LARGEST = torch.finfo(torch.float32).max
"""Of a float32."""


class ReceivedLatent(NamedTuple):
    """A latent as received.

    Attributes:
        latent: `float32` of the shape asked for, finite.
        repaired: how many of its values did not come from the bits.
    """

    latent: Tensor
    repaired: int


class LatentCodec(Component, ABC):
    """A latent of real numbers <-> bits, with side information that goes over a control channel."""

    side_bits: ClassVar[int] = 0
    """Bits of side information."""

    bits_per_value: int

    def bits(self, shape: tuple[int, ...]) -> int:
        """Return how many bits a latent of a shape takes."""
        return self.bits_per_value * prod(shape)

    @abstractmethod
    def encode(self, latent: Tensor) -> tuple[Tensor, Any]:
        """Code `latent`, of any shape, into bits, `uint8` [n], and their side information."""

    @abstractmethod
    def decode(self, bits: Tensor, shape: tuple[int, ...], side: Any, rng: torch.Generator) -> ReceivedLatent:
        """Return the latent of a shape in `bits`, however damaged.

        Raises:
            DecodeError: when there are not as many bits as such a latent takes.
        """

    def _expect(self, bits: Tensor, shape: tuple[int, ...]) -> None:
        if len(bits) != self.bits(shape):
            raise DecodeError(
                f"{type(self).__name__}: {len(bits):,} bits arrived, and a latent of {list(shape)} takes "
                f"{self.bits(shape):,}"
            )


class FloatLatent(LatentCodec):
    """Numbers in a floating-point format, sign first (IEEE 754; bfloat16 is the upper half of float32).

    A flip in an exponent makes a value of any size, so the receiver mends what cannot be: `replace` draws a value from
    N(0, 1) in place of one that is not finite, above `limit` or below `smallest` in magnitude, as the authors of
    Img2Img-SC do (limit 10, smallest 0.01); `clip` sets what is not a number to 0 and cuts off at `limit`.

    Args:
        format: `float64` (the paper), `float32`, `float16` or `bfloat16`.
        repair: `replace` or `clip`.
        limit: largest magnitude that is believed, at most that of a float32.
        smallest: smallest magnitude that is believed; for `replace` alone. It replaces sound values as well.
    """

    def __init__(
        self,
        format: Format = "float64",
        repair: Literal["replace", "clip"] = "replace",
        limit: float = 10.0,
        smallest: float = 0.01,
    ) -> None:
        if not 0 <= smallest < limit <= LARGEST:
            raise ConfigurationError(
                f"FloatLatent: smallest is {smallest} and limit {limit}; it takes 0 <= smallest < limit <= 3.4e38"
            )
        self.format = format
        self.repair = repair
        self.limit = limit
        self.smallest = smallest
        self.bits_per_value = BITS[format]

    def encode(self, latent: Tensor) -> tuple[Tensor, None]:
        """Code `latent` into 16, 32 or 64 bits a value, each value's sign first."""
        values = latent.detach().cpu().to(getattr(torch, self.format)).contiguous().flatten()
        if self.format == "bfloat16":
            values = values.view(torch.int16)
        numbers = values.numpy()
        return torch.from_numpy(np.unpackbits(numbers.astype(numbers.dtype.newbyteorder(">")).view(np.uint8))), None

    def decode(self, bits: Tensor, shape: tuple[int, ...], side: None, rng: torch.Generator) -> ReceivedLatent:
        """Return the latent in `bits`, mended."""
        self._expect(bits, shape)
        octets = np.packbits(bits.numpy())
        if self.format == "bfloat16":
            found = torch.from_numpy(octets.view(">i2").astype(np.int16)).view(torch.bfloat16).float()
        else:
            numbers = octets.view(np.dtype(self.format).newbyteorder(">"))
            # compared in their own format: float64 values beyond float32 are as wrong as infinite ones either way
            with np.errstate(over="ignore", invalid="ignore"):
                found = torch.from_numpy(numbers.astype(np.float32))
        if self.repair == "clip":
            wrong = ~(found.abs() <= self.limit)
            return ReceivedLatent(found.nan_to_num(0.0).clamp(-self.limit, self.limit).reshape(shape), int(wrong.sum()))
        size = found.abs()
        wrong = ~((size <= self.limit) & (size >= self.smallest))
        count = int(wrong.sum())
        found[wrong] = torch.randn(count, generator=rng)
        return ReceivedLatent(found.reshape(shape), count)


class QuantisedLatent(LatentCodec):
    """Numbers rounded to 2^bits levels, evenly spaced from the smallest to the largest; natural binary, high bit first.

    Both ends are side information: two float32, 64 bits. Every word is a level, so nothing needs mending.

    Args:
        bits: per value, 4 to 8.
    """

    side_bits = 64

    def __init__(self, bits: int = 8) -> None:
        if not 4 <= bits <= 8:
            raise ConfigurationError(f"QuantisedLatent: bits is {bits}; it is 4 to 8 per value")
        self.bits_per_value = bits

    def encode(self, latent: Tensor) -> tuple[Tensor, tuple[float, float]]:
        """Code `latent` into `bits` bits a value; what is not finite counts as 0."""
        values = latent.detach().cpu().float().flatten().nan_to_num(0.0, 0.0, 0.0)
        values = values.clamp(-LARGEST / 4, LARGEST / 4)  # so that the range is a float32 as well
        low, high = values.aminmax() if len(values) else (torch.zeros(()), torch.zeros(()))
        scale = (2**self.bits_per_value - 1) / (high - low).clamp_min(1e-20)
        levels = ((values - low) * scale).round().to(torch.uint8)
        bits = np.unpackbits(levels.numpy()[:, None], axis=1)[:, 8 - self.bits_per_value :]
        return torch.from_numpy(np.ascontiguousarray(bits).ravel()), (float(low), float(high))

    def decode(
        self, bits: Tensor, shape: tuple[int, ...], side: tuple[float, float], rng: torch.Generator
    ) -> ReceivedLatent:
        """Return the latent in `bits`."""
        self._expect(bits, shape)
        low, high = side
        octets = np.zeros((len(bits) // self.bits_per_value, 8), np.uint8)
        octets[:, 8 - self.bits_per_value :] = bits.numpy().reshape(-1, self.bits_per_value)
        levels = torch.from_numpy(np.packbits(octets, axis=1)[:, 0]).float()
        return ReceivedLatent((low + levels * ((high - low) / (2**self.bits_per_value - 1))).reshape(shape), 0)
