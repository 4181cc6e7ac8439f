"""Plans of layers as bytes: adaptive range coding, each block predicted from those above and to the left.

The probabilities are those of LZMA's range coder: 11 bits, moved by a sixteenth towards each bit that is coded.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from semcomm.errors import DecodeError

ONE, STEP = 11, 4
TOP, RENORMALISE = 32, 24
HIGHEST = 15


def encode(plan: Tensor) -> bytes:
    """Return the layers of the blocks of one image, `uint8` [h, w] of 1 to 15, as bytes."""
    rows = plan.tolist()
    writer = _Writer()
    for y, x in np.ndindex(*plan.shape):
        predicted, context = _prediction(rows, y, x)
        _code(rows[y][x], predicted, context, writer.bit)
    return writer.finish()


def decode(data: bytes, height: int, width: int) -> Tensor:
    """Return the plan `uint8` [height, width] that `encode` made into `data`; anything at all gives some plan.

    Raises:
        DecodeError: when there is no block.
    """
    if height < 1 or width < 1:
        raise DecodeError(f"a plan of {height}x{width} blocks cannot be decoded")
    rows = [[0] * width for _ in range(height)]
    reader = _Reader(data)
    for y, x in np.ndindex(height, width):
        predicted, context = _prediction(rows, y, x)
        rows[y][x] = _code(None, predicted, context, reader.bit)
    return torch.tensor(rows, dtype=torch.uint8)


def _prediction(rows: list[list[int]], y: int, x: int) -> tuple[int, int]:
    """Return the median of left, above and left + above - corner, and how far left and above differ."""
    left = rows[y][x - 1] if x else None
    above = rows[y - 1][x] if y else None
    if left is None or above is None:
        return (left or above or HIGHEST // 2), 3
    slope = left + above - rows[y - 1][x - 1]
    return sorted((left, above, slope))[1], min(2, abs(left - above))


def _code(layers: int | None, predicted: int, context: int, bit: Callable[[tuple, int | None], int]) -> int:
    """Code `layers`, or decode it where it is None: whether it is as predicted, which way not, and how far."""
    if not bit(("other", context), None if layers is None else layers != predicted):
        return predicted
    down = 1 if predicted >= HIGHEST else 0
    if 1 < predicted < HIGHEST:
        down = bit(("down", context), None if layers is None else layers < predicted)
    room = predicted - 1 if down else HIGHEST - predicted
    distance = 1
    while distance < room and bit(
        ("farther", down, distance), None if layers is None else _far(layers, predicted, distance)
    ):
        distance += 1
    return predicted - distance if down else predicted + distance


def _far(layers: int, predicted: int, distance: int) -> bool:
    return abs(layers - predicted) > distance


class _Coder:
    """The interval, and the probability of a 0 in each context."""

    def __init__(self) -> None:
        self.size = 2**TOP
        self.zero: dict[tuple, int] = defaultdict(lambda: 2 ** (ONE - 1))

    def _split(self, context: tuple) -> int:
        return (self.size >> ONE) * self.zero[context]

    def _learn(self, context: tuple, bit: int) -> None:
        chance = self.zero[context]
        self.zero[context] = chance - (chance >> STEP) if bit else chance + ((2**ONE - chance) >> STEP)


class _Writer(_Coder):
    def __init__(self) -> None:
        super().__init__()
        self.low, self.shifts = 0, 0

    def bit(self, context: tuple, bit: int | None) -> int:
        """Code a bit."""
        bound = self._split(context)
        if bit:
            self.low += bound
        self.size = self.size - bound if bit else bound
        self._learn(context, bit)
        while self.size < 2**RENORMALISE:
            self.size, self.low, self.shifts = self.size << 8, self.low << 8, self.shifts + 1
        return bit

    def finish(self) -> bytes:
        """Return the shortest bytes within the interval; the zeros that follow need not be sent."""
        for zeros in range(TOP + 8 * self.shifts, -1, -1):
            value = -(-self.low >> zeros) << zeros
            if value < self.low + self.size:
                break
        return value.to_bytes(TOP // 8 + self.shifts + 1, "big")[1:].rstrip(b"\0")


class _Reader(_Coder):
    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.bytes: Iterator[int] = iter(data)
        self.code = 0
        for _ in range(TOP // 8):
            self._shift()

    def _shift(self) -> None:
        self.code = self.code << 8 | next(self.bytes, 0)

    def bit(self, context: tuple, bit: None) -> int:
        """Decode a bit."""
        bound = self._split(context)
        found = int(self.code >= bound)
        if found:
            self.code -= bound
        self.size = self.size - bound if found else bound
        self._learn(context, found)
        while self.size < 2**RENORMALISE:
            self.size <<= 8
            self._shift()
        return found
