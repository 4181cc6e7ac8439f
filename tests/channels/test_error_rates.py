"""Uncoded bit error rates against theory, on AWGN and Rayleigh, for every modulation."""

from math import erfc, log2, sqrt

import pytest
import torch

from semcomm import AWGN, BinarySymmetric, RandomBits, Rayleigh
from semcomm.codecs.qam import BITS_PER_SYMBOL
from semcomm.seeds import Seed

IMAGE = torch.zeros(1, 3, 1, 1)


def terms(bits_per_symbol):
    """The exact BER of Gray QAM as a sum of w·erfc(a·sqrt(Es/N0)) (Cho and Yoon, IEEE Trans. Comm. 50(7), 2002)."""
    if bits_per_symbol == 1:
        return [(0.5, 1.0)]
    size = 2**bits_per_symbol
    levels = int(sqrt(size))
    scale = sqrt(3 / (2 * (size - 1)))
    found = []
    for k in range(1, int(log2(levels)) + 1):
        for i in range(int((1 - 2**-k) * levels)):
            step = (i * 2 ** (k - 1)) // levels
            weight = (-1) ** step * (2 ** (k - 1) - int(i * 2 ** (k - 1) / levels + 0.5))
            found.append((weight / levels / log2(levels), (2 * i + 1) * scale))
    return found


def awgn_theory(bits_per_symbol, snr_db):
    return sum(w * erfc(a * sqrt(10 ** (snr_db / 10))) for w, a in terms(bits_per_symbol))


def rayleigh_theory(bits_per_symbol, snr_db):
    """The mean over |h|² ~ Exp(1) of erfc(a·sqrt(|h|²·snr)) is 1 - sqrt(a²·snr / (1 + a²·snr))."""
    snr = 10 ** (snr_db / 10)
    return sum(w * (1 - sqrt(a * a * snr / (1 + a * a * snr))) for w, a in terms(bits_per_symbol))


def measured(constellation, channel, bits=240_000):
    link = RandomBits(None, constellation, payload_bits=bits, messages=1)
    info = link.transmit(IMAGE, channel, [Seed("ber")]).info
    return info["bit_errors"][0] / info["bits"][0], bits


def assert_within_interval(rate, theory, bits, per_symbol):
    # Bits of one symbol share its noise (and fading): count symbols, not bits, in the standard error.
    error = sqrt(theory * (1 - theory) / (bits / per_symbol))
    assert abs(rate - theory) < 4 * error + 1e-9, f"{rate} is not {theory} ± {4 * error}"


@pytest.mark.parametrize(("name", "per_symbol"), BITS_PER_SYMBOL.items())
@pytest.mark.parametrize("offset_db", [0, 4, 8])
def test_awgn(name, per_symbol, offset_db):
    snr_db = {1: -2, 2: 1, 4: 6, 6: 12, 8: 18}[per_symbol] + offset_db
    rate, bits = measured(name, AWGN(snr_db))
    assert_within_interval(rate, awgn_theory(per_symbol, snr_db), bits, per_symbol)


@pytest.mark.parametrize(("name", "per_symbol"), BITS_PER_SYMBOL.items())
@pytest.mark.parametrize("snr_db", [0, 10, 20])
def test_rayleigh(name, per_symbol, snr_db):
    rate, bits = measured(name, Rayleigh(snr_db, coherence="symbol"))
    assert_within_interval(rate, rayleigh_theory(per_symbol, snr_db), bits, per_symbol)


@pytest.mark.parametrize("snr_db", [0, 10])
def test_pilots_cost_what_theory_says(snr_db):
    """With an MMSE estimate the channel is Rayleigh of power 1-e, with noise N0+e·|x|²."""
    n0 = 10 ** (-snr_db / 10)
    error = n0 / (1 + n0)
    effective = (1 - error) / (n0 + error)
    theory = 0.5 * (1 - sqrt(effective / (1 + effective)))
    rate, bits = measured("bpsk", Rayleigh(snr_db, coherence=2, pilots=1))
    assert abs(rate - theory) < 6 * sqrt(theory / bits)


@pytest.mark.parametrize("crossover", [0.0, 0.01, 0.5, 1.0])
def test_binary_symmetric(crossover):
    rate, bits = measured(None, BinarySymmetric(crossover))
    if crossover > 0.5:  # known to flip, so the decisions flip back
        crossover = 1 - crossover
    assert abs(rate - crossover) <= 4 * sqrt(crossover * (1 - crossover) / bits)
