"""The fast LDPC decoder: layered offset min-sum on quantised LLRs, compiled by numba.

Offset min-sum: J. Chen and M. Fossorier, "Density evolution for two improved BP-based decoding algorithms of LDPC
codes", IEEE Communications Letters 2002; layered schedule: D. Hocevar, "A reduced complexity decoder architecture via
layered decoding of LDPC codes", SiPS 2004.

Posteriors are 16 bit, check-to-variable messages 8 bit, in eighths of a natural unit. Everything that costs time is
a loop over one contiguous run of Z elements per circulant, which LLVM turns into vector instructions. Where Z is
small, `lanes` code words lie interleaved, and the runs are Z·lanes long. A word's result never depends on the words
beside it: it is written down in the iteration in which all its checks first hold.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import int8, int16, njit

from semcomm.codecs.ldpc.parity_check import Schedule
from semcomm.codecs.ldpc.rate_matching import CircularBuffer, recover

LEVELS_PER_UNIT = 8
OFFSET = int16(LEVELS_PER_UNIT // 2)
LARGEST_MESSAGE = int16(127)
LARGEST_CHANNEL_LLR = np.float32(127)
"""In natural units. With 8 levels in each, and at most 127 per edge, a posterior stays far inside 16 bits."""

RUN = 16
"""Runs are padded to a multiple of this many elements, so that the vector loops have no remainder."""

LANE_ELEMENTS = 64
"""Code words are interleaved until a run has this many elements."""


def decode_blocks(
    llr: np.ndarray,
    block_start: np.ndarray,
    buffer: CircularBuffer,
    schedule: Schedule,
    max_iterations: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Decode code blocks, on as many threads as torch may use.

    Args:
        llr: `float32` [coded bits], log P(1)/P(0), block after block.
        block_start: `int64` [C + 1], where each block begins.
        buffer: what was sent, in which order; the first `filler_start` bits of a word are its information.
        schedule: the parity-check matrix.
        max_iterations: a block stops when all its checks hold, or after this many iterations.

    Returns:
        Information bits, `uint8` [C, filler_start], and `bool` [C], whether all of them were decided one way or the
        other: an erased bit reads as 0, and a block of nothing but zeros would pass a CRC.
    """
    blocks = len(block_start) - 1
    bits = np.empty((blocks, buffer.filler_start), np.uint8)
    decided = np.empty(blocks, np.bool_)
    lanes = 1
    while lanes * schedule.lifting_size < LANE_ELEMENTS and lanes < blocks:
        lanes *= 2

    def decode(first: int, last: int) -> None:
        _decode(llr, block_start, first, last, buffer, schedule, lanes, max_iterations, bits, decided)

    # Threads that let go of the interpreter lock rather than numba's own, whose pool does not survive a fork.
    groups = -(-blocks // lanes)
    threads = min(torch.get_num_threads(), groups)
    if threads == 1:
        decode(0, blocks)
    else:
        step = lanes * -(-groups // (4 * threads))
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda first: decode(first, min(first + step, blocks)), range(0, blocks, step)))
    return bits, decided


@njit(cache=True, nogil=True, error_model="numpy")
def _decode(llr, block_start, first, last, buffer, schedule, lanes, max_iterations, bits, decided):
    """Decode blocks `first` to `last`, `lanes` at a time."""
    columns, edges = len(schedule.rotation), len(schedule.column)
    size = schedule.lifting_size * lanes
    run = (size + RUN - 1) // RUN * RUN
    stride = size + run
    degree = np.diff(schedule.row_start).max()

    word_llr = np.zeros(columns * schedule.lifting_size, np.float32)
    posterior = np.zeros(columns * stride + RUN, np.int16)
    to_variable = np.zeros(edges * run, np.int8)
    to_check = np.zeros(degree * run, np.int16)
    smallest, second, sign = np.zeros(run, np.int16), np.zeros(run, np.int16), np.zeros(run, np.int16)
    running, holds = np.zeros(lanes, np.bool_), np.zeros(lanes, np.bool_)

    for group in range(first, last, lanes):
        posterior[:] = 0
        to_variable[:] = 0
        running[:] = False
        for lane in range(min(lanes, last - group)):
            block = group + lane
            recover(llr[block_start[block] : block_start[block + 1]], buffer, LARGEST_CHANNEL_LLR, word_llr)
            _load(word_llr, schedule, lane, lanes, stride, posterior)
            running[lane] = True
        for iteration in range(max_iterations):
            for row in range(len(schedule.row_start) - 1):
                _update_row(row, schedule, lanes, run, stride, posterior, to_variable, to_check, smallest, second, sign)
            holds[:] = running
            _check(schedule, lanes, run, stride, posterior, sign, holds)
            for lane in range(lanes):
                if running[lane] and (holds[lane] or iteration == max_iterations - 1):
                    block = group + lane
                    decided[block] = _read(posterior, schedule, lane, lanes, stride, bits[block])
                    running[lane] = not decided[block]  # all checks hold, yet some bits are still unknown: go on
            if not running.any():
                break


@njit(cache=True, nogil=True, error_model="numpy")
def _load(word_llr, schedule, lane, lanes, stride, posterior):
    """Quantise a word's LLRs into its lane of the posteriors, each column rotated, its start repeated at its end.

    Inside the decoder a positive number means 0, so that signs multiply as parities add.
    """
    size = schedule.lifting_size
    limit = np.float32(LEVELS_PER_UNIT) * LARGEST_CHANNEL_LLR
    for column in range(len(schedule.rotation)):
        source = word_llr[column * size : (column + 1) * size]
        start = column * stride + lane
        once = posterior[start : start + size * lanes : lanes]
        again = posterior[start + size * lanes : start + 2 * size * lanes : lanes]
        kept = size - schedule.rotation[column]
        for z in range(size):
            level = np.rint(min(max(np.float32(-LEVELS_PER_UNIT) * source[z], -limit), limit))
            source[z] = level
        head, tail = source[size - kept :], source[: size - kept]
        for z in range(len(head)):
            once[z] = int16(head[z])
        rest = once[kept:]
        for z in range(len(tail)):
            rest[z] = int16(tail[z])
        for z in range(size):
            again[z] = once[z]


@njit(cache=True, nogil=True, error_model="numpy")
def _update_row(row, schedule, lanes, run, stride, posterior, to_variable, to_check, smallest, second, sign):
    """Pass messages through the Z checks of one row of circulants and bring the posteriors up to date.

    LLVM vectorises a loop over several arrays only while it takes few tests to prove that they are apart; one array
    more in either of the two loops over edges, and they become three times slower (`benchmarks/ldpc.py` shows it).
    """
    for i in range(run):
        smallest[i], second[i], sign[i] = 32767, 32767, 0
    first = schedule.row_start[row]
    last = schedule.row_start[row + 1]
    for edge in range(first, last):
        start = schedule.column[edge] * stride + schedule.read_from[edge] * lanes
        source = posterior[start : start + run]
        old = to_variable[edge * run : (edge + 1) * run]
        message = to_check[(edge - first) * run : (edge - first + 1) * run]
        for i in range(run):
            value = int16(source[i] - int16(old[i]))
            message[i] = value
            magnitude = int16(abs(value))
            sign[i] = int16(sign[i] ^ value)
            second[i] = min(second[i], max(smallest[i], magnitude))
            smallest[i] = min(smallest[i], magnitude)
    for edge in range(first, last):
        start = schedule.column[edge] * stride
        target = posterior[start : start + run]
        new = to_variable[edge * run : (edge + 1) * run]
        message = to_check[(edge - first) * run : (edge - first + 1) * run]
        for i in range(run):
            value = message[i]
            # The least of the others. With two equal minima either is right, so which edge had it does not matter.
            magnitude = second[i] if int16(abs(value)) == smallest[i] else smallest[i]
            magnitude = max(min(int16(magnitude - OFFSET), LARGEST_MESSAGE), int16(0))
            negative = int16(int16(sign[i] ^ value) >> int16(15))  # 0 or -1
            answer = int16(int16(magnitude ^ negative) - negative)
            new[i] = int8(answer)
            target[i] = int16(value + answer)
        count = schedule.repeat[edge] * lanes
        again = posterior[start + schedule.lifting_size * lanes : start + schedule.lifting_size * lanes + count]
        for i in range(count):
            again[i] = target[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _check(schedule, lanes, run, stride, posterior, sign, holds):
    """Clear `holds` [lanes] where a parity check fails; stop as soon as none is left."""
    size = schedule.lifting_size * lanes
    for row in range(len(schedule.row_start) - 1):
        sign[:] = 0
        for edge in range(schedule.row_start[row], schedule.row_start[row + 1]):
            start = schedule.column[edge] * stride + schedule.check_from[edge] * lanes
            source = posterior[start : start + run]
            for i in range(run):
                sign[i] = int16(sign[i] ^ source[i])
        if lanes == 1:
            failed = int16(0)
            for i in range(size):
                failed = int16(failed | sign[i])
            holds[0] &= failed >= 0
        else:
            for first in range(lanes, size, lanes):
                for lane in range(lanes):
                    sign[lane] = int16(sign[lane] | sign[first + lane])
            for lane in range(lanes):
                holds[lane] &= sign[lane] >= 0
        if not holds.any():
            break


@njit(cache=True, nogil=True, error_model="numpy")
def _read(posterior, schedule, lane, lanes, stride, bits):
    """Write a word's information bits and return whether each of them is decided."""
    size = schedule.lifting_size
    undecided = 0
    for column in range((len(bits) + size - 1) // size):
        target = bits[column * size : (column + 1) * size]
        rotation = schedule.rotation[column]
        start = column * stride + lane
        # The buffer holds bit (z + rotation) mod Z at z: first those before the rotation, then those after it.
        before = posterior[start + (size - rotation) * lanes : start + size * lanes : lanes]
        for z in range(min(rotation, len(target))):
            target[z] = before[z] < 0
            undecided += before[z] == 0
        after = posterior[start : start + (size - rotation) * lanes : lanes]
        for z in range(len(target) - rotation):
            target[rotation + z] = after[z] < 0
            undecided += after[z] == 0
    return undecided == 0
