"""Which coded bits are sent, and in which order (3GPP TS 38.212, 5.4.2, redundancy version 0, no limited buffer).

The functions here are compiled into those of `encoder` and `kernel`. Numba's cache of those two does not notice a
change in this file: touch them as well.
"""

from typing import NamedTuple

import numpy as np
from numba import njit


class CircularBuffer(NamedTuple):
    """The coded bits of a block as rows of the mother code word, and which of them are read out, round and round.

    Attributes:
        start: the first bit sent; those before it are punctured (2Z in NR).
        filler_start: K', the first filler bit, a known zero that is not sent.
        filler_end: the first bit after the filler.
        end: where reading starts again.
        bits_per_symbol: Q_m of the bit interleaver, which writes by rows and reads by columns.
    """

    start: int
    filler_start: int
    filler_end: int
    end: int
    bits_per_symbol: int


@njit(cache=True, nogil=True)
def match(word, buffer, sent):
    """Fill `sent` [E] with the bits of `word` [end or more] that go on the channel, interleaved."""
    position = buffer.start
    symbols = len(sent) // buffer.bits_per_symbol
    for row in range(buffer.bits_per_symbol):
        target = sent[row :: buffer.bits_per_symbol]
        done = 0
        while done < symbols:
            count = min(symbols - done, _run_length(position, buffer))
            target[done : done + count] = word[position : position + count]
            done += count
            position = _next_run(position + count, buffer)


@njit(cache=True, nogil=True, error_model="numpy")
def recover(llr, buffer, largest, word_llr):
    """Add the LLRs [E] of one block up in `word_llr` [end or more], zero where nothing was sent.

    An LLR that is not a number counts as an erasure, one beyond +-`largest` as +-`largest`.
    """
    word_llr[:] = 0.0
    position = buffer.start
    symbols = len(llr) // buffer.bits_per_symbol
    for row in range(buffer.bits_per_symbol):
        source = llr[row :: buffer.bits_per_symbol]
        done = 0
        while done < symbols:
            count = min(symbols - done, _run_length(position, buffer))
            received, target = source[done : done + count], word_llr[position : position + count]
            for i in range(count):
                value = received[i]
                value = value if value == value else np.float32(0.0)
                target[i] += min(max(value, -largest), largest)
            done += count
            position = _next_run(position + count, buffer)
    word_llr[buffer.filler_start : buffer.filler_end] = -largest


@njit(cache=True, nogil=True)
def _run_length(position, buffer):
    return (buffer.filler_start if position < buffer.filler_start else buffer.end) - position


@njit(cache=True, nogil=True)
def _next_run(position, buffer):
    if position == buffer.filler_start:
        position = buffer.filler_end
    return buffer.start if position == buffer.end else position
