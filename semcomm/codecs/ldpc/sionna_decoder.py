"""Sionna's belief-propagation decoder for the code blocks of `LDPC5G`: the reference, not the tool."""

import numpy as np
import torch

from semcomm.caches import cached
from semcomm.codecs.ldpc.kernel import LARGEST_CHANNEL_LLR
from semcomm.codecs.ldpc.rate_matching import CircularBuffer, recover

LOWEST_RATE = {1: 3, 2: 5}
"""One over the lowest rate that Sionna has for each base graph: it knows no repetition."""

BATCH = 16
"""Code words decoded at once; larger batches are slower on a CPU."""


def decode_blocks_with_sionna(
    llr: np.ndarray, block_start: np.ndarray, buffer: CircularBuffer, base_graph: int, iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Decode code blocks; arguments and results are those of `kernel.decode_blocks`.

    Repeated bits are added up and the interleaver is undone before, so that Sionna sees one plain code word, of the
    length of the shortest block: the last few bits of longer ones go unused.
    """
    block_bits = buffer.filler_start
    used = min(int(np.diff(block_start).min()), LOWEST_RATE[base_graph] * block_bits)
    words = np.empty((len(block_start) - 1, buffer.end), np.float32)
    for word, first, last in zip(words, block_start, block_start[1:], strict=False):
        recover(llr[first:last], buffer, LARGEST_CHANNEL_LLR, word)
    received = np.concatenate([words[:, buffer.start : block_bits], words[:, buffer.filler_end :]], axis=1)[:, :used]
    decoder = _decoder(block_bits, used, base_graph, iterations)
    soft = torch.cat([decoder(batch) for batch in torch.from_numpy(received).split(BATCH)])[:, :block_bits]
    return (soft > 0).to(torch.uint8).numpy(), (soft != 0).all(dim=1).numpy()


@cached(most=16)
def _decoder(block_bits: int, coded_bits: int, base_graph: int, iterations: int):
    from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

    encoder = LDPC5GEncoder(block_bits, coded_bits, bg=f"bg{base_graph}", device="cpu")
    return LDPC5GDecoder(encoder, cn_update="boxplus", num_iter=iterations, hard_out=False, device="cpu")
