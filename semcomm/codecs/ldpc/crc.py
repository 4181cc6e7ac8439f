"""Cyclic redundancy checks of 5G NR (3GPP TS 38.212, 5.1): bits in transmission order, register starting at zero."""

from typing import NamedTuple

import numpy as np
from numba import njit


class Crc(NamedTuple):
    """A generator polynomial: its coefficients without the leading one, and its degree."""

    polynomial: int
    length: int


CRC16 = Crc(0x1021, 16)
CRC24A = Crc(0x864CFB, 24)
CRC24B = Crc(0x800063, 24)


def attach_crc(blocks: np.ndarray, crc: Crc) -> np.ndarray:
    """Return `blocks`, `uint8` [C, n], with the check bits of each row appended: [C, n + length]."""
    checked = np.concatenate([blocks, np.zeros((len(blocks), crc.length), np.uint8)], axis=1)
    _append(checked, crc.polynomial, crc.length)
    return checked


def crc_holds(blocks: np.ndarray, crc: Crc) -> np.ndarray:
    """Return `bool` [C]: whether the last `length` bits of each row of `blocks` [C, n + length] are its check bits."""
    return _holds(blocks, crc.polynomial, crc.length)


@njit(cache=True, nogil=True)
def _remainder(bits, polynomial, length):
    mask = (1 << length) - 1
    register = 0
    for bit in bits:
        feedback = ((register >> (length - 1)) ^ bit) & 1
        register = ((register << 1) & mask) ^ (feedback * polynomial)
    return register


@njit(cache=True, nogil=True)
def _append(blocks, polynomial, length):
    for block in blocks:
        payload = len(block) - length
        register = _remainder(block[:payload], polynomial, length)
        for i in range(length):
            block[payload + i] = (register >> (length - 1 - i)) & 1


@njit(cache=True, nogil=True)
def _holds(blocks, polynomial, length):
    holds = np.empty(len(blocks), np.bool_)
    for i in range(len(blocks)):
        holds[i] = _remainder(blocks[i], polynomial, length) == 0
    return holds
