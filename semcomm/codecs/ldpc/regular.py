"""`RegularLDPC`: Gallager's regular codes, a baseline beside the structured codes of 5G."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from semcomm.caches import cached
from semcomm.codecs.base import ChannelCode, Decoded
from semcomm.codecs.ldpc.crc import CRC24A, attach_crc, crc_holds
from semcomm.codecs.ldpc.kernel import decode_blocks
from semcomm.codecs.ldpc.parity_check import Schedule, schedule
from semcomm.codecs.ldpc.rate_matching import CircularBuffer
from semcomm.errors import ConfigurationError, RateError


class RegularLDPC(ChannelCode):
    """A regular LDPC code as R. Gallager drew them ("Low-Density Parity-Check Codes", 1963, section 2.2).

    The parity-check matrix is d_v bands of n / d_c rows, the first with d_c consecutive ones in each row, the others
    the same with its columns shuffled, as the package pyldpc makes it. Information bits stand first in a word, then
    parity bits. The code itself does not detect a wrong word, so each word carries a CRC24A. What does
    not fill a whole word, of the payload or of the coded bits, is filled with zeros.

    Args:
        length: n, coded bits of a word, a multiple of d_c.
        d_v: checks that each bit takes part in, at least 2.
        d_c: bits in each check, more than d_v. The code rate is a little above 1 - d_v / d_c, CRC included.
        seed: of the shuffles.
        max_iterations: of the decoder, which is that of `LDPC5G`.

    Raises:
        ConfigurationError: when there is no such code.
    """

    def __init__(self, length: int = 1008, d_v: int = 3, d_c: int = 6, seed: int = 0, max_iterations: int = 40):
        if not 2 <= d_v < d_c or length < d_c or length % d_c:
            raise ConfigurationError(
                f"RegularLDPC: no regular code has length={length}, d_v={d_v}, d_c={d_c}: "
                "take 2 <= d_v < d_c, and a length that is a multiple of d_c."
            )
        if max_iterations < 1:
            raise ConfigurationError(f"RegularLDPC: max_iterations is {max_iterations}, but must be at least 1.")
        self.length = length
        self.max_iterations = max_iterations
        self._code = _code(length, d_v, d_c, seed)
        self._word_payload = len(self._code.parity) - CRC24A.length
        if self._word_payload < 1:
            raise ConfigurationError(
                f"RegularLDPC: a word of {length} bits carries {len(self._code.parity)}, too few for a CRC of "
                f"{CRC24A.length}. Take a greater length."
            )

    def payload_bits(self, coded_bits: int) -> int:
        """Return what fits into the whole words among `coded_bits`.

        Raises:
            RateError: when there is not one.
        """
        if coded_bits < self.length:
            raise RateError(f"{coded_bits} coded bits do not hold one word of {self.length}: send more at once.")
        return coded_bits // self.length * self._word_payload

    def encode(self, bits: Tensor, coded_bits: int, bits_per_symbol: int) -> Tensor:
        """Encode `bits`, `uint8` [n], into `uint8` [coded_bits].

        Raises:
            RateError: when `bits` are none or more than fit, or `coded_bits` are not a whole number of symbols.
        """
        words = self._words(len(bits), coded_bits, bits_per_symbol)
        blocks = np.zeros(words * self._word_payload, np.uint8)
        blocks[: len(bits)] = bits.numpy()
        information = torch.from_numpy(attach_crc(blocks.reshape(words, -1), CRC24A))
        parity = (information.float() @ self._code.parity).to(torch.int64) & 1  # sums below 2^24 are exact
        sent = torch.zeros(coded_bits, dtype=torch.uint8)
        sent[: words * self.length] = torch.cat([information, parity.to(torch.uint8)], dim=1).flatten()
        return sent

    def decode(self, llr: Tensor, payload_bits: int, bits_per_symbol: int) -> Decoded:
        """Decode `llr`, `float32` [coded_bits]; infinite ones are clipped, NaN counts as an erasure.

        Raises:
            RateError: when no encoder could have sent `payload_bits` in this many LLRs.
        """
        words = self._words(payload_bits, len(llr), bits_per_symbol)
        buffer = CircularBuffer(0, len(self._code.parity), len(self._code.parity), self.length, 1)
        starts = np.arange(words + 1) * self.length
        received = llr.detach().to("cpu", torch.float32).contiguous().numpy()
        information, decided = decode_blocks(received, starts, buffer, self._code.schedule, self.max_iterations)
        payload = torch.from_numpy(information[:, : self._word_payload].reshape(-1)[:payload_bits])
        ends = np.minimum(np.arange(1, words + 1) * self._word_payload, payload_bits)
        block_bits = torch.from_numpy(np.diff(ends, prepend=0))
        return Decoded(payload, torch.from_numpy(crc_holds(information, CRC24A) & decided), block_bits)

    def _words(self, payload_bits: int, coded_bits: int, bits_per_symbol: int) -> int:
        """Return how many words `payload_bits` take; what is left of the coded bits stays empty."""
        most = self.payload_bits(coded_bits)
        if coded_bits % bits_per_symbol:
            raise RateError(
                f"{coded_bits} coded bits are not a whole number of symbols of {bits_per_symbol} bits: "
                f"ask for {coded_bits - coded_bits % bits_per_symbol}."
            )
        if not 1 <= payload_bits <= most:
            raise RateError(f"{payload_bits} payload bits: {coded_bits} coded bits carry 1 to {most}.")
        return -(-payload_bits // self._word_payload)


class _Code(NamedTuple):
    """A code in systematic form.

    Attributes:
        parity: `float32` [k, n - k] of 0/1: information bits times it, modulo 2, are the parity bits.
        schedule: of the parity-check matrix, its columns in the order information, parity.
    """

    parity: Tensor
    schedule: Schedule


@cached(most=16)
def _code(length: int, d_v: int, d_c: int, seed: int) -> _Code:
    matrix = gallager_matrix(length, d_v, d_c, seed)
    reduced, pivots = _row_reduced(matrix)
    free = np.setdiff1d(np.arange(length), pivots)
    check, bit = np.nonzero(matrix[:, np.concatenate([free, pivots])])
    edges = np.column_stack([check, bit, np.zeros_like(check)])
    parity = torch.from_numpy(reduced[:, free].T.astype(np.float32))
    return _Code(parity, schedule(edges, lifting_size=1, columns=length))


def gallager_matrix(length: int, d_v: int, d_c: int, seed: int) -> np.ndarray:
    """Return a regular parity-check matrix, `uint8` [length·d_v / d_c, length]."""
    generator = np.random.default_rng(seed)
    band = np.kron(np.eye(length // d_c, dtype=np.uint8), np.ones((1, d_c), np.uint8))
    return np.concatenate([band] + [band[:, generator.permutation(length)] for _ in range(d_v - 1)])


def _row_reduced(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the reduced row echelon form over GF(2), without zero rows, and the column of each row's pivot."""
    columns = matrix.shape[1]
    packed = np.packbits(matrix, axis=1)
    pivots = []
    for column in range(columns):
        ones = (packed[:, column // 8] >> (7 - column % 8)) & 1
        below = np.flatnonzero(ones[len(pivots) :])
        if len(below) == 0:
            continue
        row, pivot = len(pivots), len(pivots) + below[0]
        packed[[row, pivot]] = packed[[pivot, row]]
        ones[[row, pivot]] = ones[[pivot, row]]
        ones[row] = 0
        packed[ones == 1] ^= packed[row]
        pivots.append(column)
        if len(pivots) == len(matrix):
            break
    return np.unpackbits(packed[: len(pivots)], axis=1)[:, :columns], np.array(pivots)
