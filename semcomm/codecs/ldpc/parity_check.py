"""A quasi-cyclic parity-check matrix and the order in which the layered decoder walks over it."""

from typing import NamedTuple

import numpy as np


class Schedule(NamedTuple):
    """A parity-check matrix as the decoder needs it, of Z x Z circulants ("edges"), row after row.

    While decoding, each column is kept rotated as its last edge left it, so that an edge reads and writes runs of
    contiguous elements: it reads Z of them from `read_from` on, in a buffer where the first elements are repeated
    after the last ones, and writes them from 0 on.

    Attributes:
        lifting_size: Z; 1 for a matrix without structure.
        row_start: `int64` [rows + 1], the first edge of each row.
        column: `int64` [edges].
        read_from: `int64` [edges], the edge's shift relative to the column's rotation when the edge is reached.
        check_from: `int64` [edges], the same relative to the rotation between two iterations.
        repeat: `int64` [edges], how many first elements the next reader wants repeated after the last ones.
        rotation: `int64` [columns], each column's rotation between two iterations.
    """

    lifting_size: int
    row_start: np.ndarray
    column: np.ndarray
    read_from: np.ndarray
    check_from: np.ndarray
    repeat: np.ndarray
    rotation: np.ndarray


def schedule(circulants: np.ndarray, lifting_size: int, columns: int, unknown_columns: int = 0) -> Schedule:
    """Return the decoder's view of a parity-check matrix.

    Rows that meet at most one unknown (punctured) column come first, as only they can change anything in the first
    iteration, and short rows before long ones, as they say more: about 5 % fewer iterations than in natural order.

    Args:
        circulants: `int64` [edges, 3] of row, column, shift: check z of a row meets bit (z + shift) mod Z of a column.
        lifting_size: Z.
        columns: how many columns the matrix has, some of them perhaps without an edge.
        unknown_columns: how many of the first columns are punctured.
    """
    rows = [circulants[circulants[:, 0] == row, 1:] for row in np.unique(circulants[:, 0])]
    rows.sort(key=lambda row: ((row[:, 0] < unknown_columns).sum() > 1, len(row)))
    row_start = np.cumsum([0] + [len(row) for row in rows])
    column, shift = np.concatenate(rows).T.copy()

    rotation = np.zeros(columns, np.int64)
    rotation[column] = shift  # of several edges the last one stays
    check_from = (shift - rotation[column]) % lifting_size
    current = rotation.copy()
    read_from = np.empty_like(shift)
    repeat = np.zeros_like(shift)
    last_edge = np.full(columns, -1)
    most = np.zeros(columns, np.int64)  # between iterations the check and the first edge of the column read
    for edge, (c, s) in enumerate(zip(column, shift, strict=True)):
        read_from[edge] = (s - current[c]) % lifting_size
        if last_edge[c] >= 0:
            repeat[last_edge[c]] = read_from[edge]
        else:
            most[c] = read_from[edge]
        most[c] = max(most[c], check_from[edge])
        current[c], last_edge[c] = s, edge
    met = last_edge >= 0
    repeat[last_edge[met]] = most[met]
    return Schedule(lifting_size, row_start, column, read_from, check_from, repeat, rotation)
