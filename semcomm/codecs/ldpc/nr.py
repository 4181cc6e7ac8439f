"""`LDPC5G`: the transport-block coding chain of 5G NR as a channel code."""

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from semcomm.caches import cached
from semcomm.codecs.base import ChannelCode, Decoded
from semcomm.codecs.ldpc.base_graphs import CORE_ROWS, SYSTEMATIC_COLUMNS, base_graph_entries, circulants
from semcomm.codecs.ldpc.encoder import edge_table, encode_blocks
from semcomm.codecs.ldpc.kernel import decode_blocks
from semcomm.codecs.ldpc.parity_check import Schedule, schedule
from semcomm.codecs.ldpc.rate_matching import CircularBuffer
from semcomm.codecs.ldpc.segmentation import Segmentation, block_lengths, segment
from semcomm.errors import ConfigurationError, RateError

LOWEST_RATE, HIGHEST_RATE = 0.1, 0.93


class LDPC5G(ChannelCode):
    """5G NR LDPC code with CRCs, segmentation, rate matching and bit interleaving, as on the shared data channels.

    What is done, by section of 3GPP TS 38.212: CRC of the transport block, CRC24A above 3824 bits and CRC16 below
    (7.2.1); choice of base graph (7.2.2); code blocks with CRC24B (5.2.2); LDPC coding (5.3.2); rate matching with
    redundancy version 0 and an unlimited buffer, bit interleaving (5.4.2); concatenation (5.5). Left out:
    scrambling, which is `Separate`'s, and the quantisation of transport block sizes (38.214, 5.1.3.2). Any payload
    length will do: at most C - 1 zero bits are added so that it divides evenly into C code blocks.

    Args:
        rate: payload bits / coded bits as sent, 0.1 to 0.93; below 1/5 (base graph 2) or 1/3 (1) bits are repeated. The
            CRCs come out of the redundancy, so a code block is coded at a slightly higher rate.
        decoder: `layered`, ours: offset min-sum, stops when all checks hold, multi-threaded as `torch.get_num_threads`
            allows. `sionna`, a reference some hundred times slower: flooding belief propagation (boxplus), always all
            iterations; it uses no coded bits beyond three times (base graph 1) the block.
        max_iterations: of the decoder; by default 40 (`layered`) or 20 (`sionna`).

    Raises:
        ConfigurationError: for a rate out of range, an unknown decoder or fewer than one iteration.
    """

    def __init__(
        self,
        rate: float = 0.5,
        decoder: Literal["layered", "sionna"] = "layered",
        max_iterations: int | None = None,
    ):
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise ConfigurationError(f"LDPC5G: the rate is {rate}, but must be from {LOWEST_RATE} to {HIGHEST_RATE}.")
        if decoder not in ("layered", "sionna"):
            raise ConfigurationError(f"LDPC5G: there is no decoder {decoder!r}; take 'layered' or 'sionna'.")
        if max_iterations is None:
            max_iterations = 40 if decoder == "layered" else 20
        if max_iterations < 1:
            raise ConfigurationError(f"LDPC5G: max_iterations is {max_iterations}, but must be at least 1.")
        self.rate = rate
        self.decoder = decoder
        self.max_iterations = max_iterations

    def payload_bits(self, coded_bits: int) -> int:
        """Return floor(rate · coded_bits).

        Raises:
            RateError: when that is zero, or leaves no redundancy beside the CRC.
        """
        payload_bits = self._most(coded_bits)
        if payload_bits < 1:
            raise RateError(f"No payload bit fits into {coded_bits} coded bits at rate {self.rate}: send more.")
        block_lengths(segment(payload_bits, coded_bits), coded_bits, 1)
        return payload_bits

    def blocks(self, payload_bits: int) -> int:
        """Return how many code blocks `payload_bits` are cut into when as many bits are sent as the rate asks for."""
        return self._segmentation(payload_bits).blocks

    def construction(self, payload_bits: int) -> str:
        """Return which base graph `payload_bits` are coded by when as many bits are sent as the rate asks for."""
        return f"base graph {self._segmentation(payload_bits).base_graph}"

    def _segmentation(self, payload_bits: int) -> Segmentation:
        return segment(payload_bits, math.ceil(payload_bits / self.rate - 1e-9))

    def encode(self, bits: Tensor, coded_bits: int, bits_per_symbol: int) -> Tensor:
        """Encode `bits`, `uint8` [n], into `uint8` [coded_bits].

        Raises:
            RateError: when `bits` are none or more than the rate allows, when `coded_bits` are not a whole number of
                symbols, or too few for the CRC.
        """
        plan = self._plan(len(bits), coded_bits, bits_per_symbol)
        sent = np.empty(coded_bits, np.uint8)
        encode_blocks(
            plan.segmentation.split(bits.to(torch.uint8).numpy()),
            plan.edges,
            SYSTEMATIC_COLUMNS[plan.segmentation.base_graph],
            plan.segmentation.lifting_size,
            plan.buffer,
            plan.block_start,
            sent,
        )
        return torch.from_numpy(sent)

    def decode(self, llr: Tensor, payload_bits: int, bits_per_symbol: int) -> Decoded:
        """Decode `llr`, `float32` [coded_bits]; infinite ones are clipped, NaN counts as an erasure.

        A block is ok when its CRC holds and none of its bits was left undecided. If the CRCs of all of several blocks
        hold, and that of the transport block does not, none is ok.

        Raises:
            RateError: when no encoder could have sent `payload_bits` in this many LLRs.
        """
        plan = self._plan(payload_bits, len(llr), bits_per_symbol)
        received = llr.detach().to("cpu", torch.float32).contiguous().numpy()
        if self.decoder == "layered":
            blocks, decided = decode_blocks(received, plan.block_start, plan.buffer, plan.schedule, self.max_iterations)
        else:
            from semcomm.codecs.ldpc.sionna_decoder import decode_blocks_with_sionna

            blocks, decided = decode_blocks_with_sionna(
                received, plan.block_start, plan.buffer, plan.segmentation.base_graph, self.max_iterations
            )
        payload, block_ok = plan.segmentation.join(blocks)
        shares = torch.from_numpy(plan.segmentation.payload_shares())
        return Decoded(torch.from_numpy(payload), torch.from_numpy(block_ok & decided), shares)

    def _most(self, coded_bits: int) -> int:
        return math.floor(self.rate * coded_bits + 1e-9)  # so that 0.29 · 100 is 29

    def _plan(self, payload_bits: int, coded_bits: int, bits_per_symbol: int) -> "_Plan":
        if not 1 <= payload_bits <= self._most(coded_bits):
            raise RateError(
                f"{payload_bits} payload bits do not fit: at rate {self.rate}, {coded_bits} coded bits carry "
                f"1 to {self._most(coded_bits)}."
            )
        return _plan(payload_bits, coded_bits, bits_per_symbol)


class _Plan(NamedTuple):
    """All that is the same for every transport block of one size."""

    segmentation: Segmentation
    block_start: np.ndarray
    buffer: CircularBuffer
    edges: tuple[np.ndarray, np.ndarray, np.ndarray]
    schedule: Schedule


@cached(most=1024)
def _plan(payload_bits: int, coded_bits: int, bits_per_symbol: int) -> _Plan:
    segmentation = segment(payload_bits, coded_bits)
    lengths = block_lengths(segmentation, coded_bits, bits_per_symbol)
    base_graph, size = segmentation.base_graph, segmentation.lifting_size
    systematic = SYSTEMATIC_COLUMNS[base_graph]
    total_rows = int(base_graph_entries(base_graph)[-1, 0]) + 1

    filler = systematic * size - segmentation.block_bits
    columns = -(-(2 * size + int(lengths[-1]) + filler) // size)
    rows = min(max(columns - systematic, CORE_ROWS), total_rows)
    buffer = CircularBuffer(
        start=2 * size,
        filler_start=segmentation.block_bits,
        filler_end=systematic * size,
        end=(systematic + total_rows) * size,
        bits_per_symbol=bits_per_symbol,
    )
    known_column = -(-segmentation.block_bits // size)
    return _Plan(
        segmentation,
        np.concatenate([[0], np.cumsum(lengths)]),
        buffer,
        _edges(base_graph, size, rows),
        _schedule(base_graph, size, rows, known_column),
    )


@cached(most=256)
def _edges(base_graph: int, lifting_size: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = circulants(base_graph, lifting_size)
    return edge_table(table[table[:, 0] < rows])


@cached(most=256)
def _schedule(base_graph: int, lifting_size: int, rows: int, known_column: int) -> Schedule:
    """Return the schedule of the rows that were sent, without the columns from `known_column` on that are filler."""
    table = circulants(base_graph, lifting_size)
    systematic = SYSTEMATIC_COLUMNS[base_graph]
    filler = (table[:, 1] >= known_column) & (table[:, 1] < systematic)
    sent = table[(table[:, 0] < rows) & ~filler]
    return schedule(sent, lifting_size, columns=systematic + rows, unknown_columns=2)
