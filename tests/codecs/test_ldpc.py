"""`LDPC5G` by itself: round trips, its promises about rates and blocks, and what a bad channel can do to it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semcomm.codecs.ldpc import LDPC5G
from semcomm.codecs.ldpc.crc import CRC16, CRC24A, CRC24B, attach_crc, crc_holds
from semcomm.codecs.ldpc.segmentation import block_lengths, segment
from semcomm.errors import ConfigurationError, RateError


def random_bits(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 2, (count,), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def bpsk_llr(sent: torch.Tensor, ebno_db: float, rate: float, seed: int = 0) -> torch.Tensor:
    noise_variance = 10 ** (-ebno_db / 10) / rate
    noise = torch.randn(len(sent), generator=torch.Generator().manual_seed(seed))
    return -4 * (1 - 2 * sent.float() + math.sqrt(noise_variance / 2) * noise) / noise_variance


@pytest.mark.parametrize(("crc", "check"), [(CRC16, 0x31C3), (CRC24A, 0xCDE703), (CRC24B, 0x23EF52)])
def test_crc_of_the_usual_check_string(crc, check):
    # The published check values of CRC-16/XMODEM, CRC-24/LTE-A and CRC-24/LTE-B.
    message = np.unpackbits(np.frombuffer(b"123456789", np.uint8))
    checked = attach_crc(message[None], crc)
    assert int("".join(map(str, checked[0, 72:])), 2) == check
    assert crc_holds(checked, crc).all()
    checked[0, 5] ^= 1
    assert not crc_holds(checked, crc).any()


@settings(max_examples=120, deadline=None)
@given(
    rate=st.one_of(st.sampled_from([0.1, 0.2, 0.25, 1 / 3, 0.5, 2 / 3, 0.67, 0.75, 0.93]), st.floats(0.1, 0.93)),
    symbols=st.integers(1, 12_000),
    bits_per_symbol=st.sampled_from([1, 2, 4, 6, 8]),
    unused=st.integers(0, 40),
    seed=st.integers(0, 1000),
)
def test_round_trip_without_noise(rate, symbols, bits_per_symbol, unused, seed):
    code, coded_bits = LDPC5G(rate), symbols * bits_per_symbol
    try:
        payload_bits = max(1, code.payload_bits(coded_bits) - unused)
        bits = random_bits(payload_bits, seed)
        sent = code.encode(bits, coded_bits, bits_per_symbol)
    except RateError:
        assert coded_bits < 1200 or rate > 0.9  # where the CRC is a large part
        return
    assert sent.shape == (coded_bits,)
    assert sent.dtype == torch.uint8
    decoded = code.decode(8.0 * (2.0 * sent.float() - 1), payload_bits, bits_per_symbol)
    assert torch.equal(decoded.bits, bits)
    assert decoded.block_ok.all()
    assert decoded.block_bits.sum() == payload_bits
    assert (decoded.block_bits >= 0).all()
    assert len(decoded.block_ok) == len(decoded.block_bits)


@pytest.mark.parametrize("value", [0, 1])
def test_constant_payloads_arrive(value):
    code, bits = LDPC5G(0.5), torch.full((20_000,), value, dtype=torch.uint8)
    decoded = code.decode(code.encode(bits, 40_000, 2).float() * 20 - 10, 20_000, 2)
    assert torch.equal(decoded.bits, bits)
    assert decoded.block_ok.all()


@settings(max_examples=200, deadline=None)
@given(payload=st.integers(1, 300_000), rate=st.floats(0.1, 0.93), bits_per_symbol=st.sampled_from([1, 2, 4, 6, 8]))
def test_segmentation_keeps_to_the_standard(payload, rate, bits_per_symbol):
    coded = math.ceil(payload / rate / bits_per_symbol) * bits_per_symbol
    cut = segment(payload, coded)
    largest = {1: 8448, 2: 3840}[cut.base_graph]
    assert cut.block_bits <= min(largest, {1: 22, 2: 10}[cut.base_graph] * cut.lifting_size)
    assert 0 <= cut.padding < cut.blocks
    own_crc = 24 if cut.blocks > 1 else 0
    assert cut.blocks * (cut.block_bits - own_crc) == payload + cut.padding + cut.transport_crc.length
    assert cut.payload_shares().sum() == payload
    try:
        lengths = block_lengths(cut, coded, bits_per_symbol)
    except RateError:
        return
    assert lengths.sum() == coded
    assert not (lengths % bits_per_symbol).any()
    assert lengths[-1] - lengths[0] in (0, bits_per_symbol)
    assert (np.diff(lengths) >= 0).all()


def test_rate_is_payload_over_coded_bits_as_sent():
    assert LDPC5G(0.29).payload_bits(10_000) == 2900
    assert LDPC5G(1 / 3).payload_bits(3000) == 1000
    assert LDPC5G(0.5).payload_bits(2001) == 1000


@pytest.mark.parametrize("rate", [0.09, 0.931, 1.0, -1, math.nan])
def test_rate_out_of_range(rate):
    with pytest.raises(ConfigurationError, match=r"0\.1 to 0\.93"):
        LDPC5G(rate)


def test_senseless_options():
    with pytest.raises(ConfigurationError, match="layered"):
        LDPC5G(0.5, decoder="magic")
    with pytest.raises(ConfigurationError, match="max_iterations"):
        LDPC5G(0.5, max_iterations=0)


def test_requests_that_cannot_be_met():
    code = LDPC5G(0.5)
    for impossible in (0, 1, 20):
        with pytest.raises(RateError):
            code.payload_bits(impossible)
    with pytest.raises(RateError, match="CRC"):
        LDPC5G(0.92).payload_bits(100)
    with pytest.raises(RateError, match="symbols of 4 bits: ask for 2000"):
        code.encode(random_bits(900), 2002, 4)
    with pytest.raises(RateError, match="carry 1 to 1000"):
        code.encode(random_bits(1001), 2000, 1)
    with pytest.raises(RateError, match="carry 1 to 1000"):
        code.encode(random_bits(0), 2000, 1)
    with pytest.raises(RateError):
        code.decode(torch.zeros(2000), 1001, 1)


def test_one_lost_block_of_several_is_known_and_counted():
    code, bits = LDPC5G(0.5), random_bits(40_001)
    sent = code.encode(bits, 80_004, 4)
    llr = 8 * (2.0 * sent.float() - 1)
    decoded = code.decode(llr, len(bits), 4)
    start = int(block_lengths(segment(40_001, 80_004), 80_004, 4)[:2].sum())
    llr[start : start + 14_000] *= -1
    damaged = code.decode(llr, len(bits), 4)
    assert decoded.block_ok.tolist() == [True] * 5
    assert damaged.block_ok.tolist() == [True, True, False, True, True]
    assert damaged.intact_bits() == int(damaged.block_bits[:2].sum())
    assert torch.equal(damaged.bits[: damaged.intact_bits()], bits[: damaged.intact_bits()])
    assert damaged.block_bits.sum() == 40_001


def test_a_false_transport_block_of_good_blocks_is_not_believed():
    cut = segment(20_000, 40_000)
    blocks = cut.split(random_bits(20_000).numpy())
    other = cut.split(random_bits(20_000, seed=1).numpy())
    assert cut.join(blocks)[1].all()
    blocks[0] = other[0]  # its own CRC holds
    assert not cut.join(blocks)[1].any()


def test_nothing_heard_is_not_ok():
    code = LDPC5G(0.5)
    for llr in (torch.zeros(20_000), torch.full((20_000,), math.nan), torch.full((20_000,), 1e-9)):
        decoded = code.decode(llr, 10_000, 2)
        assert not decoded.block_ok.any()
        assert len(decoded.bits) == 10_000


def test_llrs_that_are_not_finite():
    code, bits = LDPC5G(0.5), random_bits(3000)
    sent = code.encode(bits, 6000, 2)
    certain = torch.where(sent == 1, math.inf, -math.inf)
    holes = certain.clone()
    holes[::10] = math.nan
    for llr in (certain, holes, certain.clamp(-1e38, 1e38)):
        decoded = code.decode(llr, 3000, 2)
        assert decoded.block_ok.all()
        assert torch.equal(decoded.bits, bits)
    generator = torch.Generator().manual_seed(0)
    rubbish = torch.randn(6000, generator=generator) * 1e30
    rubbish[torch.rand(6000, generator=generator) < 0.3] = math.inf
    assert not code.decode(rubbish, 3000, 2).block_ok.any()
    assert not code.decode(-certain, 3000, 2).block_ok.any()


def test_repeated_bits_are_added_up():
    # A short payload in many coded bits goes round the circular buffer; each copy alone is too noisy.
    code, bits = LDPC5G(0.3), random_bits(5000)
    sent = code.encode(bits, 60_000, 2)
    assert code.decode(bpsk_llr(sent, 1.0, 5000 / 60_000), 5000, 2).block_ok.all()


@pytest.mark.parametrize(
    ("payload", "coded", "ebno_db"), [(60, 120, 4.5), (20_000, 60_000, 0.6), (60_000, 90_000, 1.8)]
)
def test_threads_do_not_change_anything(payload, coded, ebno_db):
    code = LDPC5G(payload / coded)
    sent = code.encode(random_bits(payload), coded, 2)
    llr = bpsk_llr(sent, ebno_db, payload / coded)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(code.decode(llr, payload, 2))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_recipe_and_repr():
    code = LDPC5G(0.5, max_iterations=30)
    assert code.recipe()["init_args"] == {"rate": 0.5, "decoder": "layered", "max_iterations": 30}
    assert repr(code) == "LDPC5G(rate=0.5, decoder='layered', max_iterations=30)"
