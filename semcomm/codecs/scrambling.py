"""Scrambling of coded bits as in 5G NR: bits that are alike no longer make symbols that are."""

import numpy as np
import torch
from numba import njit
from torch import Tensor

from semcomm.caches import cached

C_INIT = 1
_SKIPPED, _LENGTH, _GRANULE = 1600, 31, 2**16


def scrambled(bits: Tensor) -> Tensor:
    """Return `bits`, `uint8` [n], added to the scrambling sequence (3GPP TS 38.211, 7.3.1.1); twice gives them back."""
    return bits ^ sequence(len(bits))


def descrambled(llr: Tensor) -> Tensor:
    """Return the LLRs log P(1)/P(0), [n], of bits that were scrambled."""
    return torch.where(sequence(len(llr)).bool(), -llr, llr)


def sequence(length: int, c_init: int = C_INIT) -> Tensor:
    """Return `length` bits, `uint8`, of the Gold sequence that 3GPP TS 38.211, 5.2.1 defines, begun at `c_init`."""
    return _whole(-(-length // _GRANULE) * _GRANULE, c_init)[:length]


@cached(most=8)
def _whole(length: int, c_init: int) -> Tensor:
    return torch.from_numpy(_gold(length, c_init))


@njit(cache=True, nogil=True)
def _gold(length, c_init):
    total = length + _SKIPPED
    first = np.zeros(total + _LENGTH, np.uint8)
    second = np.zeros(total + _LENGTH, np.uint8)
    first[0] = 1
    for i in range(_LENGTH):
        second[i] = (c_init >> i) & 1
    for n in range(total):
        first[n + 31] = first[n + 3] ^ first[n]
        second[n + 31] = second[n + 3] ^ second[n + 2] ^ second[n + 1] ^ second[n]
    return first[_SKIPPED:total] ^ second[_SKIPPED:total]
