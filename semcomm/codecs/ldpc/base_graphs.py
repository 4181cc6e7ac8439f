"""The base graphs of 5G NR LDPC codes and the choice among them (3GPP TS 38.212, 5.3.2, 6.2.2/7.2.2 and 5.2.2)."""

from importlib.resources import files

import numpy as np

from semcomm.caches import cached

LIFTING_SETS = (
    (2, 4, 8, 16, 32, 64, 128, 256),
    (3, 6, 12, 24, 48, 96, 192, 384),
    (5, 10, 20, 40, 80, 160, 320),
    (7, 14, 28, 56, 112, 224),
    (9, 18, 36, 72, 144, 288),
    (11, 22, 44, 88, 176, 352),
    (13, 26, 52, 104, 208),
    (15, 30, 60, 120, 240),
)
"""Lifting sizes Z by set index (Table 5.3.2-1)."""

SYSTEMATIC_COLUMNS = {1: 22, 2: 10}
"""Columns of information bits in each base graph."""

CORE_ROWS = 4
"""The first rows, whose parity columns form the double diagonal; every later row has a parity column of its own."""


def choose_base_graph(payload_bits: int, code_rate: float) -> int:
    """Return 1 or 2 for a transport block of `payload_bits` (without CRC) at `code_rate` (7.2.2)."""
    small = payload_bits <= 292 or (payload_bits <= 3824 and code_rate <= 0.67)
    return 2 if small or code_rate <= 0.25 else 1


def choose_lifting_size(base_graph: int, transport_bits: int, block_bits: int) -> int:
    """Return the smallest lifting size Z that holds a code block (5.2.2).

    Args:
        base_graph: 1 or 2.
        transport_bits: B, the transport block with its CRC.
        block_bits: K', one code block with its CRC.
    """
    if base_graph == 1:
        used_columns = 22
    else:
        used_columns = 10 if transport_bits > 640 else 9 if transport_bits > 560 else 8 if transport_bits > 192 else 6
    return min(z for sizes in LIFTING_SETS for z in sizes if used_columns * z >= block_bits)


@cached()
def base_graph_entries(base_graph: int) -> np.ndarray:
    """Return the table of a base graph, `int64` [entries, 10]: row, column, V_ij for set index 0 to 7."""
    source = files(__package__).joinpath(f"base_graph_{base_graph}.csv")
    with source.open() as table:
        return np.loadtxt(table, delimiter=",", dtype=np.int64)


def circulants(base_graph: int, lifting_size: int) -> np.ndarray:
    """Return `int64` [entries, 3]: row, column, and the cyclic shift P_ij = V_ij mod Z, ordered by row and column."""
    set_index = next(i for i, sizes in enumerate(LIFTING_SETS) if lifting_size in sizes)
    entries = base_graph_entries(base_graph)
    return np.column_stack([entries[:, 0], entries[:, 1], entries[:, 2 + set_index] % lifting_size])
