import pytest
import torch

from semcomm import AWGN, LDPC5G, QAM, seeds_of
from semcomm.codecs.scrambling import descrambled, scrambled, sequence


@pytest.mark.parametrize("c_init", [1, 12_345, 2**31 - 1])
def test_the_sequence_is_that_of_the_standard(c_init):
    from sionna.phy.nr.utils import generate_prng_seq

    assert sequence(3000, c_init).tolist() == [int(bit) for bit in generate_prng_seq(3000, c_init).ravel()]


def test_there_and_back():
    bits = torch.randint(0, 2, (100_000,), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(scrambled(scrambled(bits)), bits)
    assert 0.49 < (scrambled(bits) ^ bits).float().mean() < 0.51
    llr = 2.0 * scrambled(bits).float() - 1
    assert torch.equal(descrambled(llr) > 0, bits.bool())


def test_zeros_are_as_safe_as_other_bits():
    """All-zero blocks of 64QAM are lost far above the threshold of random bits, unless they are scrambled."""
    code, qam, snr_db = LDPC5G(466 / 1024), QAM("64qam"), 9.9  # of random blocks one in some thousands is lost here
    image = torch.zeros(1, 3, 1, 1)
    lost = {True: 0, False: 0}
    bits = code.encode(torch.zeros(8000, dtype=torch.uint8), 17_580, 6)
    for realisation in range(12):
        for scrambling in lost:
            symbols = qam.modulate(scrambled(bits) if scrambling else bits)
            output = AWGN(snr_db)([symbols], seeds_of(image, realisation=realisation))
            llr = qam.demodulate(*output.zero_forced()[0])
            decoded = code.decode(descrambled(llr) if scrambling else llr, 8000, 6)
            lost[scrambling] += int((~decoded.block_ok).sum())
    assert lost[True] == 0
    assert lost[False] >= 6
