"""Mutual information between the coded bits and the LLRs of a Gray-mapped constellation (BICM) on AWGN."""

import numpy as np

from semcomm.caches import cached
from semcomm.codecs.qam import axis_of

LOWEST_DB, HIGHEST_DB, STEP_DB = -40.0, 60.0, 0.25
_NODES = 96


def mutual_information(bits_per_symbol: int, snr_db: np.ndarray | float) -> np.ndarray:
    """Return bits per symbol, from 0 to `bits_per_symbol`, at Es/N0 `snr_db`, of the same shape.

    The sum over the bits of a label of I(bit; received), each bit alone (Caire, Taricco, Biglieri 1998, equation 15):
    what an ideal code gets through a demapper that hands on one LLR for each bit.
    """
    grid, values = _table(bits_per_symbol)
    return np.interp(snr_db, grid, values)


def snr_db_of_information(bits_per_symbol: int, information: np.ndarray, lowest_db: np.ndarray) -> np.ndarray:
    """Return the Es/N0 in dB at which there is so much `information`, in bits per symbol: its inverse.

    Args:
        bits_per_symbol: of the constellation.
        information: 0 to `bits_per_symbol`.
        lowest_db: returned where the information is all that there can be, and any high SNR gives it; broadcasts.
    """
    grid, values = _table(bits_per_symbol)
    found = np.interp(information, values, grid)
    return np.where(information >= values[-1], np.maximum(found, lowest_db), found)


@cached(most=8)
def _table(bits_per_symbol: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a grid of SNRs in dB and the information at each, rising, by Gauss-Hermite quadrature on each axis."""
    levels, labels = (tensor.double().numpy() for tensor in axis_of(bits_per_symbol))
    labels = labels.astype(bool)
    nodes, weights = np.polynomial.hermite.hermgauss(_NODES)
    weights = weights / weights.sum()
    grid = np.arange(LOWEST_DB, HIGHEST_DB + STEP_DB, STEP_DB)
    values = []
    for snr_db in grid:
        n0 = 10 ** (-snr_db / 10)
        received = levels[:, None] + np.sqrt(n0) * nodes  # variance N0/2 in each real dimension
        metric = -((received[..., None] - levels) ** 2) / n0
        weight = np.exp(metric - metric.max(axis=-1, keepdims=True))
        loss = 0.0
        for label in labels.T:
            right = (weight * (label[:, None, None] == label)).sum(axis=-1) / weight.sum(axis=-1)
            loss -= (np.log2(np.maximum(right, 1e-300)) @ weights).mean()
        axes = 1 if bits_per_symbol == 1 else 2
        values.append(axes * (labels.shape[1] - loss))
    values = np.maximum.accumulate(np.maximum(values, 0.0))
    last = int(np.searchsorted(values, bits_per_symbol - 1e-9))
    return grid[: last + 1], values[: last + 1]
