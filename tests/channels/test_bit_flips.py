from math import log10, sqrt

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm

from semcomm import AWGN, QAM, BinarySymmetric, BitFlips16QAM, ConfigurationError
from semcomm.seeds import Seed

ONE = [Seed("one")]
PUBLISHED = {5: 4.0e-2, 6.25: 2.4e-2, 7.5: 1.3e-2, 8.75: 5.3e-3, 10: 1.75e-3}
BITS = 4_000_000


def random_bits(count, seed=0):
    return torch.randint(0, 2, (count,), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def exact(eb_n0_db):
    """Bit error rate of Gray 16QAM under hard decisions on AWGN (Cho and Yoon 2002)."""
    a = sqrt(0.8 * 10 ** (eb_n0_db / 10))
    return (3 * norm.sf(a) + 2 * norm.sf(3 * a) - norm.sf(5 * a)) / 4


def within(errors, count, probability):
    """Whether so many errors are within the central 99.9 % of the binomial distribution."""
    return binom.ppf(0.0005, count, probability) <= errors <= binom.ppf(0.9995, count, probability)


@pytest.mark.parametrize(("eb_n0_db", "rate"), PUBLISHED.items())
def test_flips_as_often_as_the_authors_say(eb_n0_db, rate):
    channel = BitFlips16QAM(eb_n0_db=eb_n0_db)
    assert channel.crossover == pytest.approx(rate, rel=0.04)  # two digits are published
    assert channel.snr_db == pytest.approx(eb_n0_db + 10 * log10(4))
    assert BitFlips16QAM(snr_db=channel.snr_db).crossover == pytest.approx(channel.crossover, rel=1e-12)
    bits = random_bits(BITS)
    (received,) = channel([bits], ONE).received
    assert within(int((received != bits).sum()), BITS, channel.crossover)


@pytest.mark.parametrize("eb_n0_db", PUBLISHED)
def test_symbols_err_as_often_as_gray_16qam_does(eb_n0_db):
    qam, bits = QAM("16qam"), random_bits(BITS)
    (received,) = AWGN(eb_n0_db + 10 * log10(4))([qam.modulate(bits)], ONE).received
    errors = int((qam.decide(received) != bits).sum())
    assert within(errors, BITS, exact(eb_n0_db))


@pytest.mark.parametrize(("eb_n0_db", "percent"), {5: 4.4, 6.25: 2.6, 7.5: 1.3, 8.75: 0.5, 10: 0.2}.items())
def test_by_how_much_the_approximation_is_low(eb_n0_db, percent):
    assert 100 * (exact(eb_n0_db) / BitFlips16QAM(eb_n0_db=eb_n0_db).crossover - 1) == pytest.approx(percent, abs=0.06)


def test_flips_are_independent_and_spread_evenly():
    bits = torch.zeros(1_000_000, dtype=torch.uint8)
    flips = BitFlips16QAM(eb_n0_db=2)([bits], ONE).received[0].numpy()
    p = BitFlips16QAM(eb_n0_db=2).crossover
    both = int((flips[1:] & flips[:-1]).sum())
    assert within(both, len(flips), p * p)
    for part in np.split(flips, 4):
        assert within(int(part.sum()), len(part), p)
    for place in (0, len(flips) - 1):  # neither end is left out
        hits = sum(
            int(BitFlips16QAM(eb_n0_db=-5)([bits[:8]], [Seed(str(n))]).received[0][min(place, 7)]) for n in range(400)
        )
        assert within(hits, 400, BitFlips16QAM(eb_n0_db=-5).crossover)


def test_what_is_sent_stays_as_it_was_and_a_seed_gives_the_same_flips():
    bits = random_bits(1000)
    before, channel = bits.clone(), BitFlips16QAM(snr_db=10)
    first, again, other = (channel([bits], [Seed(key)]).received[0] for key in "aab")
    assert torch.equal(bits, before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert channel([torch.zeros(0, dtype=torch.uint8)], ONE).received[0].shape == (0,)
    assert torch.equal(BitFlips16QAM(snr_db=40)([bits], ONE).received[0], bits)


def test_it_says_what_a_binary_symmetric_channel_does():
    channel = BitFlips16QAM(eb_n0_db=5)
    twin = BinarySymmetric(channel.crossover)
    assert channel.capacity(ONE) == pytest.approx(twin.capacity(ONE))
    assert channel.csi(ONE).tolist() == pytest.approx([11.0206], abs=1e-4)
    bits = [random_bits(100)]
    assert channel(bits, ONE).llr()[0].abs().unique() == pytest.approx(twin(bits, ONE).llr()[0].abs().unique())


@pytest.mark.parametrize("arguments", [{}, {"snr_db": 1, "eb_n0_db": 1}])
def test_one_reading_of_the_snr(arguments):
    with pytest.raises(ConfigurationError, match="either snr_db"):
        BitFlips16QAM(**arguments)


def test_symbols_are_refused():
    with pytest.raises(ConfigurationError, match="give the transceiver no constellation"):
        BitFlips16QAM(snr_db=10)([torch.zeros(4, dtype=torch.complex64)], ONE)
