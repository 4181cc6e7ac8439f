"""Which coded bits are sent, and in which order (3GPP TS 38.212, 5.4.2, redundancy version 0, no limited buffer)."""

from typing import NamedTuple

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
        for symbol in range(symbols):
            sent[symbol * buffer.bits_per_symbol + row] = word[position]
            position += 1
            if position == buffer.filler_start:
                position = buffer.filler_end
            if position == buffer.end:
                position = buffer.start


@njit(cache=True, nogil=True, error_model="numpy")
def recover(llr, buffer, largest, word_llr):
    """Add the LLRs [E] of one block up in `word_llr` [end or more], zero where nothing was sent.

    An LLR that is not a number counts as nothing heard, one beyond +-`largest` as +-`largest`.
    """
    word_llr[:] = 0.0
    position = buffer.start
    symbols = len(llr) // buffer.bits_per_symbol
    for row in range(buffer.bits_per_symbol):
        for symbol in range(symbols):
            value = llr[symbol * buffer.bits_per_symbol + row]
            if value == value:
                word_llr[position] += min(max(value, -largest), largest)
            position += 1
            if position == buffer.filler_start:
                position = buffer.filler_end
            if position == buffer.end:
                position = buffer.start
    word_llr[buffer.filler_start : buffer.filler_end] = -largest
