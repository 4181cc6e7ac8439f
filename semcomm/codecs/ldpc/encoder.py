"""LDPC encoding of 5G NR (3GPP TS 38.212, 5.3.2), as long runs of XOR over the circulants."""

import numpy as np
from numba import njit

from semcomm.codecs.ldpc.base_graphs import CORE_ROWS
from semcomm.codecs.ldpc.rate_matching import match


def edge_table(circulants: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return first edge of each row [rows + 1], column [edges] and shift [edges] of circulants ordered by row."""
    row, column, shift = circulants.T.copy()
    row_start = np.searchsorted(row, np.arange(row[-1] + 2))
    return row_start, column, shift


@njit(cache=True, nogil=True)
def encode_blocks(blocks, edges, systematic_columns, lifting_size, buffer, sent_start, sent):
    """Encode the code blocks and write what goes on the channel, block after block.

    Args:
        blocks: `uint8` [C, K'].
        edges: the `edge_table` of the rows whose parity bits are needed, at least the core's.
        systematic_columns: 22 or 10.
        lifting_size: Z.
        buffer: what is sent.
        sent_start: `int64` [C + 1], where each block begins in `sent`.
        sent: `uint8` [coded bits], the result.
    """
    rows = len(edges[0]) - 1
    word = np.zeros(((systematic_columns + rows) * lifting_size), np.uint8)
    for i in range(len(blocks)):
        word[:] = 0
        word[: blocks.shape[1]] = blocks[i]
        _fill_parity(word, edges, systematic_columns, lifting_size)
        match(word, buffer, sent[sent_start[i] : sent_start[i + 1]])


@njit(cache=True, nogil=True)
def _fill_parity(word, edges, systematic_columns, lifting_size):
    """Solve the parity columns of `word` [columns·Z], which hold zeros, from its systematic ones.

    The first one is the only to stand in the core at a shift other than zero. It does so in three rows, in two of
    them at the same shift, so the sum of all core rows gives it; then each row gives one new column at shift 0.
    """
    row_start, column, shift = edges
    first = systematic_columns
    total = np.zeros(lifting_size, np.uint8)
    single = 0
    for edge in range(row_start[CORE_ROWS]):
        if column[edge] < first:
            _add_rotated(total, word, column[edge] * lifting_size, shift[edge])
        elif column[edge] == first:
            single ^= shift[edge]
    _add_rotated(word[first * lifting_size : (first + 1) * lifting_size], total, 0, lifting_size - single)

    for row in range(len(row_start) - 1):
        if row == CORE_ROWS - 1:
            continue  # its columns are known by now
        new = first + row + 1 if row < CORE_ROWS else first + row
        parity = word[new * lifting_size : (new + 1) * lifting_size]
        for edge in range(row_start[row], row_start[row + 1]):
            if column[edge] < new:
                _add_rotated(parity, word, column[edge] * lifting_size, shift[edge])


@njit(cache=True, nogil=True)
def _add_rotated(accumulator, word, start, shift):
    """Add bit (z + shift) mod Z of the column of `word` at `start` to element z of `accumulator` [Z], modulo 2."""
    size = len(accumulator)
    head, tail = word[start + shift : start + size], word[start : start + shift]
    for z in range(len(head)):
        accumulator[z] ^= head[z]
    rest = accumulator[size - shift :]
    for z in range(len(tail)):
        rest[z] ^= tail[z]
