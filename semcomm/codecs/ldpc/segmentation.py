"""From a transport block to code blocks and back (3GPP TS 38.212, 5.1, 5.2.2 and 7.2.1)."""

from dataclasses import dataclass

import numpy as np

from semcomm.caches import cached
from semcomm.codecs.ldpc.base_graphs import choose_base_graph, choose_lifting_size
from semcomm.codecs.ldpc.crc import CRC16, CRC24A, CRC24B, Crc, attach_crc, crc_holds
from semcomm.errors import RateError

HIGHEST_BLOCK_RATE = {1: 0.95, 2: 0.90}
"""For each base graph, CRC included. Above 0.95 a receiver need not decode (3GPP TS 38.214, 5.1.3). Base graph 2 has
rates that high for small blocks only, whose punctured bits message passing does not recover even without noise."""


@dataclass(frozen=True)
class Segmentation:
    """The segmentation of one transport block.

    Attributes:
        payload_bits: A, what is to be carried.
        base_graph: 1 or 2.
        lifting_size: Z.
        blocks: C, the number of code blocks.
        block_bits: K', the bits of each code block with all CRCs.
        padding: zero bits after the payload, fewer than C, that let it divide evenly.
        transport_crc: the CRC of the transport block. With C > 1 each code block has CRC24B besides.
    """

    payload_bits: int
    base_graph: int
    lifting_size: int
    blocks: int
    block_bits: int
    padding: int
    transport_crc: Crc

    def split(self, payload: np.ndarray) -> np.ndarray:
        """Return the code blocks with their CRCs, `uint8` [C, K'], of `payload` [A]."""
        padded = np.concatenate([payload, np.zeros(self.padding, np.uint8)])
        transport = attach_crc(padded[None], self.transport_crc)
        if self.blocks == 1:
            return transport
        return attach_crc(transport.reshape(self.blocks, -1), CRC24B)

    def join(self, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the payload `uint8` [A] and which blocks passed, `bool` [C], of decoded `blocks` [C, K'].

        When every block passes its own check and the transport block does not, none is to be believed.
        """
        if self.blocks == 1:
            block_ok = crc_holds(blocks, self.transport_crc)
            transport = blocks.reshape(-1)
        else:
            block_ok = crc_holds(blocks, CRC24B)
            transport = blocks[:, : -CRC24B.length].reshape(-1)
            if block_ok.all() and not crc_holds(transport[None], self.transport_crc)[0]:
                block_ok[:] = False
        return transport[: self.payload_bits], block_ok

    def payload_shares(self) -> np.ndarray:
        """Return how many payload bits each block carries, `int64` [C]; the last one also holds padding and CRC."""
        per_block = self.block_bits - (CRC24B.length if self.blocks > 1 else 0)
        ends = np.minimum(np.arange(1, self.blocks + 1) * per_block, self.payload_bits)
        return np.diff(ends, prepend=0)


@cached(most=256)
def segment(payload_bits: int, coded_bits: int) -> Segmentation:
    """Return how `payload_bits` are cut up when `coded_bits` go on the channel."""
    base_graph = choose_base_graph(payload_bits, payload_bits / coded_bits)
    crc = CRC24A if payload_bits > 3824 else CRC16
    largest = 8448 if base_graph == 1 else 3840
    transport_bits = payload_bits + crc.length
    if transport_bits <= largest:
        blocks, padding, block_bits = 1, 0, transport_bits
    else:
        blocks = -(-transport_bits // (largest - CRC24B.length))
        padding = -transport_bits % blocks
        block_bits = (transport_bits + padding) // blocks + CRC24B.length
    lifting_size = choose_lifting_size(base_graph, transport_bits, block_bits)
    return Segmentation(payload_bits, base_graph, lifting_size, blocks, block_bits, padding, crc)


@cached(most=256)
def block_lengths(segmentation: Segmentation, coded_bits: int, bits_per_symbol: int) -> np.ndarray:
    """Return the coded bits E_r of each block, `int64` [C], whole symbols each, shorter blocks first (5.4.2.1).

    Raises:
        RateError: when `coded_bits` are not whole symbols, or leave a block too little redundancy.
    """
    if coded_bits % bits_per_symbol:
        raise RateError(
            f"{coded_bits} coded bits are not a whole number of symbols of {bits_per_symbol} bits: "
            f"ask for {coded_bits - coded_bits % bits_per_symbol}."
        )
    symbols, blocks = coded_bits // bits_per_symbol, segmentation.blocks
    lengths = np.full(blocks, symbols // blocks, np.int64)
    lengths[blocks - symbols % blocks :] += 1
    lengths *= bits_per_symbol
    highest = HIGHEST_BLOCK_RATE[segmentation.base_graph]
    if segmentation.block_bits > highest * lengths[0]:
        raise RateError(
            f"{segmentation.payload_bits} payload bits in {coded_bits} coded bits: with its CRC a code block has "
            f"{segmentation.block_bits} bits for {lengths[0]} on the channel, a code rate above {highest}. "
            "Lower the rate or send more bits at once."
        )
    return lengths
