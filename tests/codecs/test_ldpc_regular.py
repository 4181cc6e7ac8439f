"""`RegularLDPC`, and the decoder's words side by side, which its many short circulants need."""

import numpy as np
import pytest
import torch
from test_ldpc import bpsk_llr, random_bits

from semcomm.codecs.ldpc import LDPC5G, RegularLDPC
from semcomm.codecs.ldpc import kernel as kernel_module
from semcomm.codecs.ldpc.kernel import decode_blocks
from semcomm.codecs.ldpc.nr import _plan
from semcomm.codecs.ldpc.regular import gallager_matrix
from semcomm.errors import ConfigurationError, RateError


def test_gallager_matrix_is_regular_and_seeded():
    matrix = gallager_matrix(120, 3, 6, seed=1)
    assert matrix.shape == (60, 120)
    assert (matrix.sum(axis=0) == 3).all()
    assert (matrix.sum(axis=1) == 6).all()
    assert np.array_equal(matrix, gallager_matrix(120, 3, 6, seed=1))
    assert not np.array_equal(matrix, gallager_matrix(120, 3, 6, seed=2))


@pytest.mark.parametrize(("length", "d_v", "d_c"), [(96, 2, 4), (240, 3, 6), (600, 3, 5), (1008, 4, 8)])
def test_words_satisfy_all_checks(length, d_v, d_c):
    code = RegularLDPC(length, d_v, d_c, seed=3)
    sent = code.encode(random_bits(code.payload_bits(3 * length)), 3 * length, 1).reshape(3, length)
    information = len(code._code.parity)
    schedule = code._code.schedule
    for first, last in zip(schedule.row_start, schedule.row_start[1:], strict=False):
        assert not (sent[:, schedule.column[first:last]].sum(dim=1) % 2).any()
    assert information - (length - length * d_v // d_c) in range(d_v)  # the matrix lacks d_v - 1 ranks at most, mostly


@pytest.mark.parametrize(("words", "spare"), [(1, 0), (3, 2), (70, 10)])
def test_round_trip(words, spare):
    code = RegularLDPC(504, 3, 6)
    coded = words * 504 + spare
    bits = random_bits(code.payload_bits(coded) - 5)
    sent = code.encode(bits, coded, 2)
    assert sent.shape == (coded,)
    assert sent.dtype == torch.uint8
    decoded = code.decode(bpsk_llr(sent, 5.0, 0.5), len(bits), 2)
    assert torch.equal(decoded.bits, bits)
    assert decoded.block_ok.all()
    assert decoded.block_bits.sum() == len(bits)
    assert len(decoded.block_ok) == words


def test_lost_words_are_known():
    code = RegularLDPC(504, 3, 6)
    bits = random_bits(code.payload_bits(60 * 504))
    decoded = code.decode(bpsk_llr(code.encode(bits, 60 * 504, 1), 1.8, 0.5), len(bits), 1)
    right = (decoded.bits == bits).reshape(60, -1).all(dim=1)
    assert 0 < right.sum() < 60
    assert torch.equal(decoded.block_ok, right)
    assert not code.decode(torch.zeros(60 * 504), len(bits), 1).block_ok.any()


def test_impossible_codes_and_requests():
    for arguments in ((100, 3, 6), (96, 1, 4), (96, 4, 4), (0, 3, 6)):
        with pytest.raises(ConfigurationError, match="no regular code"):
            RegularLDPC(*arguments)
    with pytest.raises(ConfigurationError, match="CRC"):
        RegularLDPC(24, 3, 6)
    with pytest.raises(ConfigurationError, match="max_iterations"):
        RegularLDPC(max_iterations=0)
    code = RegularLDPC(504, 3, 6)
    with pytest.raises(RateError, match="one word"):
        code.payload_bits(503)
    with pytest.raises(RateError, match="whole number"):
        code.encode(random_bits(10), 505, 2)
    with pytest.raises(RateError, match="carry"):
        code.encode(random_bits(500), 504, 1)
    with pytest.raises(RateError, match="carry"):
        code.decode(torch.zeros(504), 0, 1)


@pytest.mark.parametrize(("payload", "coded", "ebno_db"), [(40, 80, 3.5), (200, 300, 3.0), (700, 2100, 1.0)])
def test_neighbours_in_the_lanes_do_not_matter(payload, coded, ebno_db, monkeypatch):
    code, plan, words = LDPC5G(payload / coded), _plan(payload, coded, 1), 37
    sent = torch.stack([code.encode(random_bits(payload, seed), coded, 1) for seed in range(words)])
    llr = bpsk_llr(sent.flatten(), ebno_db, payload / coded).numpy()
    results = []
    for elements in (1, 64, 1024):
        monkeypatch.setattr(kernel_module, "LANE_ELEMENTS", elements)
        results.append(decode_blocks(llr, np.arange(words + 1) * coded, plan.buffer, plan.schedule, 40))
    for bits, decided in results[1:]:
        assert np.array_equal(bits, results[0][0])
        assert np.array_equal(decided, results[0][1])
    alone, _ = decode_blocks(llr[5 * coded : 6 * coded], np.array([0, coded]), plan.buffer, plan.schedule, 40)
    assert np.array_equal(alone[0], results[0][0][5])
