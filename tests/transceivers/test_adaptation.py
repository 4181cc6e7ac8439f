import csv
import json
from math import log10, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch

from semcomm import AWGN, JPEG2000, LDPC5G, PSNR, QAM, Adaptive, Rayleigh, RegularLDPC, Rician, Separate, seeds_of
from semcomm.codecs.information import mutual_information, snr_db_of_information
from semcomm.errors import ConfigurationError
from semcomm.seeds import Seed
from semcomm.transceivers.adaptation import MARGIN_DB, TABLE_RATES, efficiency
from semcomm.transceivers.expectation import ExpectedPSNR
from semcomm.transceivers.knowledge import ChannelKnowledge, States
from semcomm.transceivers.measurement import COMMON_RATES, ideal_snr_db, measure
from semcomm.transceivers.random_bits import RandomBits
from semcomm.transceivers.thresholds import load_thresholds

ORDER = ["bpsk", "qpsk", "16qam", "64qam"]
RATE_HALF = {"constellations": ORDER, "rates": [0.5]}


@pytest.fixture
def table(tmp_path):
    """QPSK needs 0, 1 and 2 dB for block error rates of 0.1, 0.01 and 0.001; other blocks and rates other SNRs."""
    rows = [
        {
            "constellation": name,
            "code_rate": rate,
            "payload_bits": bits,
            "construction": f"base graph {graph}",
            "snr_db": [start + shift + 4 * (rate - 0.5) + d for d in (0, 1, 2)],
        }
        for name, start in zip(ORDER, (-3, 0, 6, 10))
        for rate in (0.5, 0.6)
        for bits, graph, shift in ((1024, 2, 0), (3824, 2, -0.5), (3825, 1, 0.4), (8424, 1, 0))
    ]
    path = tmp_path / "thresholds.json"
    path.write_text(
        json.dumps({"code": "semcomm.codecs.LDPC5G", "block_error_rates": [0.1, 0.01, 0.001], "rows": rows})
    )
    return str(path)


def awgn(snr_db):
    return ChannelKnowledge(torch.tensor([float(snr_db)])).states(0, 10_000)


def required(table, target, bits):
    adaptive = Adaptive(target_image_error_rate=target, thresholds=table)
    return adaptive.required_snr_db(LDPC5G(0.5), QAM("qpsk"), bits) - MARGIN_DB


def test_thresholds_are_interpolated_over_error_rate_and_length(table):
    assert required(table, 0.01, 1024) == pytest.approx(1)
    assert required(table, 0.1, 1024) == pytest.approx(0)
    assert required(table, 10**-1.5, 1024) == pytest.approx(0.5)
    assert required(table, 1e-4, 1024) == pytest.approx(3)  # the last piece goes on
    middle = 1 / (1 / sqrt(1024) + 1 / sqrt(3824)) ** 2 * 4  # half-way over 1/sqrt(length)
    assert required(table, 0.01, round(middle)) == pytest.approx(0.75, abs=1e-3)
    assert required(table, 0.01, 300) > 1.2  # below the shortest that was measured it goes on


def test_thresholds_jump_where_the_base_graph_changes(table):
    assert required(table, 0.01, 3824) == pytest.approx(0.5)
    assert required(table, 0.01, 3825) == pytest.approx(1.4)
    assert LDPC5G(0.5).construction(3824) == "base graph 2"
    assert LDPC5G(0.5).construction(3825) == "base graph 1"
    assert LDPC5G(0.2).construction(50_000) == "base graph 2"


def test_many_blocks_need_a_lower_block_error_rate(table):
    assert LDPC5G(0.5).blocks(5 * 8424 - 24 * 6) == 5
    needed = log10(1 - 0.99 ** (1 / 5))
    assert required(table, 0.01, 5 * 8424 - 24 * 6) == pytest.approx(-needed - 1, abs=0.01)


@pytest.mark.parametrize(
    ("snr_db", "chosen"), [(-9, "bpsk"), (-1, "bpsk"), (0.9, "bpsk"), (1.1, "qpsk"), (7.1, "16qam"), (30, "64qam")]
)
def test_the_most_bits_that_meet_the_target(table, snr_db, chosen):
    adaptive = Adaptive(**RATE_HALF, thresholds=table)
    _, constellation = adaptive.choose(awgn(snr_db), LDPC5G(0.9), lambda code, qam: 1024)
    assert constellation.name == chosen


def test_rate_and_constellation_together(table):
    adaptive = Adaptive(ORDER, rates=[0.5, 0.6], thresholds=table)
    assert len(adaptive.modes(LDPC5G(0.5))) == 8
    for snr_db, rate, name in ((1.1, 0.5, "qpsk"), (1.5, 0.6, "qpsk"), (8.1, 0.6, "16qam")):
        code, constellation = adaptive.choose(awgn(snr_db), LDPC5G(max_iterations=7), lambda code, qam: 1024)
        assert (code.rate, constellation.name, code.max_iterations) == (rate, name, 7)


def test_modes_that_carry_nothing_are_left_out(table):
    adaptive = Adaptive(**RATE_HALF, thresholds=table)
    _, constellation = adaptive.choose(awgn(-20), LDPC5G(), lambda code, qam: 0 if qam.name == "bpsk" else 1024)
    assert constellation.name == "qpsk"


def test_the_modes_are_those_of_the_standard():
    path = Path(__file__).resolve().parents[3] / "shared/reference/mcs_38214_table2.csv"
    if not path.exists():
        pytest.skip("the table of TS 38.214 is not here")
    with path.open() as file:
        rows = [
            (int(row["bits_per_symbol"]), float(row["code_rate_times_1024"]) / 1024) for row in csv.DictReader(file)
        ]
    modes = [
        (QAM(name).bits_per_symbol, rate) for name, rates in TABLE_RATES.items() if name != "bpsk" for rate in rates
    ]
    assert modes == rows
    assert len(Adaptive().modes(LDPC5G())) == len(rows) + 5


def test_mistakes(table, tmp_path):
    link = Separate(JPEG2000(), LDPC5G(), "adaptive", channel_uses_per_pixel=0.25)
    image = torch.rand(1, 3, 64, 64)
    with pytest.raises(ConfigurationError, match="set its csi to 'average'"):
        link.transmit(image, AWGN(3, csi="none"), seeds_of(image))
    with pytest.raises(ConfigurationError, match=r"no thresholds for bpsk .* at the rates \[0.5, 0.6\]"):
        Adaptive(rates=[0.55], thresholds=table).choose(awgn(3), LDPC5G(), lambda code, qam: 1024)
    with pytest.raises(ConfigurationError, match="RegularLDPC"):
        Adaptive().choose(awgn(3), RegularLDPC(), lambda code, qam: 1024)
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        Adaptive(target_image_error_rate=0)
    with pytest.raises(ConfigurationError, match="at least one"):
        Adaptive([])
    falling = {"code": "a", "block_error_rates": [0.01, 0.1], "rows": []}
    for content in ("{}", "no json", json.dumps(falling)):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(ConfigurationError, match=r"bad\.json"):
            load_thresholds(tmp_path / "bad.json")
    with pytest.raises(ConfigurationError, match="8qam"):
        Adaptive(["8qam"])


def test_shipped_thresholds_are_above_what_the_constellation_can_do():
    table = load_thresholds(None)
    modes = [(name, rate) for name, rates in TABLE_RATES.items() for rate in rates]
    for name, rate in [*modes, *((name, rate) for name in ORDER for rate in COMMON_RATES)]:
        qam = QAM(name)
        bound = ideal_snr_db(qam.bits_per_symbol, rate)
        rows = table.rows(LDPC5G(rate), qam)
        assert all(bound + 0.2 < row["snr_db"][1] < bound + 5 for row in rows)
        for construction in {LDPC5G(rate).construction(bits) for bits in (1000, 50_000)}:  # each has its own
            assert any(row["construction"] == construction for row in rows)


def test_shipped_thresholds_rise_with_the_efficiency():
    """More bits per symbol take more SNR; BPSK, which is not in the table, takes more than QPSK for as many."""
    adaptive = Adaptive()
    modes = sorted(adaptive.modes(LDPC5G()), key=efficiency)
    for bits in (1000, 3800, 4000, 50_000):
        needed = [adaptive.required_snr_db(*mode, bits) for mode in modes if mode[1].name != "bpsk"]
        assert needed == sorted(needed)


@pytest.mark.parametrize(("name", "rate", "bits"), [("qpsk", 449 / 1024, 1024), ("256qam", 797 / 1024, 3825)])
def test_shipped_thresholds_are_found_again(name, rate, bits):
    """At the SNR of block error rate 0.1, about one block in ten is lost."""
    row = next(r for r in load_thresholds(None).rows(LDPC5G(rate), QAM(name)) if r["payload_bits"] == bits)
    link = RandomBits(LDPC5G(rate), name, payload_bits=bits, messages=400)
    info = link.transmit(torch.zeros(1, 3, 1, 1), AWGN(row["snr_db"][0]), [Seed("again")]).info
    assert 15 < info["block_errors"][0] < 85


def test_measured_again_it_goes_on_and_agrees(tmp_path):
    out = tmp_path / "t.json"
    rows = []
    for _ in range(2):  # the second time there is nothing left to do
        measure([(LDPC5G(0.5), "qpsk")], [256], errors=5, out=out, on_row=rows.append)
    assert len(rows) == 1
    measured = json.loads(out.read_text())["rows"][0]
    shipped = load_thresholds(None).rows(LDPC5G(0.5), QAM("qpsk"))[0]
    assert measured["construction"] == shipped["construction"] == "base graph 2"
    assert measured["snr_db"] == pytest.approx(shipped["snr_db"], abs=0.3)


def test_lengths_that_a_rate_cannot_carry_or_that_say_nothing_new_are_left_out(tmp_path):
    from semcomm.transceivers.measurement import _lengths

    lengths = [256, 1024, 3824, 3825, 8424]
    assert _lengths(LDPC5G(0.5), "qpsk", lengths) == lengths
    assert _lengths(LDPC5G(0.9), "qpsk", lengths) == [1024, 3825, 8424]
    assert _lengths(LDPC5G(0.12), "qpsk", lengths) == [256, 1024, 3824]


@pytest.mark.parametrize("name", ["bpsk", "qpsk", "16qam", "64qam", "256qam"])
def test_mutual_information_is_that_of_the_demapper(name):
    """I(bit; LLR) = 1 - E log2(1 + exp(-LLR with the sign of the bit)), measured on the demapper's own LLRs."""
    qam, count = QAM(name), 40_000
    rng = torch.Generator().manual_seed(1)
    for snr_db in (-5.0, 4.0, 15.0):
        bits = torch.randint(0, 2, (count * qam.bits_per_symbol,), generator=rng, dtype=torch.uint8)
        n0 = 10 ** (-snr_db / 10)
        noise = sqrt(n0) * torch.randn(count, dtype=torch.complex64, generator=rng)
        llr = qam.demodulate(qam.modulate(bits) + noise, n0).double() * (2.0 * bits - 1)
        loss = torch.log2(1 + torch.exp(-llr)).reshape(count, -1).sum(1)
        found = float(mutual_information(qam.bits_per_symbol, snr_db))
        assert abs(qam.bits_per_symbol - loss.mean().item() - found) < 4 * loss.std().item() / sqrt(count) + 1e-6
        back = snr_db_of_information(qam.bits_per_symbol, np.array(found), np.array(snr_db))
        assert float(back) == pytest.approx(snr_db, abs=0.05) or found > qam.bits_per_symbol - 1e-6


def test_effective_snr_of_blocks():
    """A first half at 0 dB and a second at 20 dB: two blocks see one each, one block what lies between."""
    states = States([np.array([0.0, 20.0])], [np.array([500.0, 1000.0])])
    assert states.effective_snr_db(4, 1000, 2)[0] == pytest.approx([0, 20], abs=0.05)
    both = float(states.effective_snr_db(4, 1000, 1)[0, 0])
    mean = (mutual_information(4, 0.0) + mutual_information(4, 20.0)) / 2
    assert float(mutual_information(4, both)) == pytest.approx(float(mean), abs=1e-3)
    assert states.effective_snr_db(4, 500, 1)[0, 0] == pytest.approx(0, abs=0.05)
    assert states.capacity()[0] == pytest.approx((1 + np.log2(101)) / 2, abs=1e-3)


def test_knowledge_of_fading():
    seeds = [Seed("a"), Seed("b")]
    instantaneous = Rayleigh(10, csi="instantaneous", csi_error_db=2)
    known = ChannelKnowledge.of(instantaneous, seeds)
    for n in range(2):
        assert len(known.states(n, 100)) == 1
        assert known.states(n, 100).effective_snr_db(2, 100, 1).item() == pytest.approx(
            known.snr_db[n].item(), abs=1e-3
        )
    average = ChannelKnowledge.of(Rayleigh(10, coherence="symbol"), seeds)
    states = average.states(0, 4096)
    assert len(states) > 10
    assert average.states(1, 4096) is states  # statistics are nobody's own
    # ergodic capacity of Rayleigh fading at 10 dB: 2.90 bits per use (Alouini and Goldsmith 1999, figure 1)
    assert states.capacity().mean() == pytest.approx(2.90, abs=0.02)
    estimated = Rician(10, coherence=100, pilots=2).gains(seeds, [100_000] * 2)[0]
    assert 0.5 < (estimated.abs() ** 2).mean().item() < 1


def test_expected_psnr_is_that_of_the_codec(photograph):
    worth = ExpectedPSNR(JPEG2000(), photograph, range(4_000, 64_001, 4_000))
    received = JPEG2000().decode(JPEG2000().encode(photograph, 20_000 // 8))
    assert worth(20_000, 20_000) == pytest.approx(PSNR()(photograph[None], received[None]).item(), abs=0.4)
    mean = photograph.mean((1, 2), keepdim=True).expand_as(photograph)
    assert worth(0, 20_000) == pytest.approx(PSNR()(photograph[None], mean[None]).item(), abs=0.1)
    discarding = ExpectedPSNR(JPEG2000(), photograph, range(4_000, 64_001, 4_000), damage="discard")
    assert worth(10_000, 20_000) == worth(10_000, 10_000) > discarding(10_000, 20_000) == worth(0, 20_000)


def test_adaptive_is_the_envelope_of_the_constellations(photograph):
    """Where the fixed constellations are not on their cliffs, adaptive equals the best of them."""
    images = photograph[None]
    seeds = seeds_of(images)
    for snr_db in (0, 5, 10, 16):
        scores = {}
        for name in [*ORDER, Adaptive(**RATE_HALF)]:
            link = Separate(JPEG2000(), LDPC5G(0.5), name, channel_uses_per_pixel=0.25)
            reception = link.transmit(images, AWGN(snr_db), seeds)
            scores[name] = PSNR()(images, reception.images).item()
        assert list(scores.values())[-1] == max(scores.values())
        assert reception.ledger.side_bits.item() == 88 + 2
    everything = Separate(JPEG2000(), LDPC5G(), "adaptive", channel_uses_per_pixel=0.25)
    reception = everything.transmit(images, AWGN(10), seeds)
    assert PSNR()(images, reception.images).item() > scores["16qam"]
    assert reception.ledger.side_bits.item() == 88 + 6


def test_adaptive_follows_what_it_is_told(photograph):
    images = torch.stack([photograph, photograph.flip(2)])
    seeds = seeds_of(images)
    link = Separate(JPEG2000(), LDPC5G(), Adaptive(**RATE_HALF), channel_uses_per_pixel=0.25)
    told = Rayleigh(12, csi="instantaneous").csi(seeds)
    used = link.transmit(images, Rayleigh(12, csi="instantaneous"), seeds).info["modulation"]
    expected = [link.transmit(i[None], AWGN(s), seeds[:1]).info["modulation"][0] for i, s in zip(images, told.tolist())]
    assert used == expected
    wrong = link.transmit(images, AWGN(8, csi_error_db=8), seeds)
    assert wrong.info["modulation"] == ["64qam"] * 2
    assert wrong.info["decode_failed"] == [True] * 2


def test_average_csi_weighs_rate_against_outages(photograph):
    """With fading of every symbol the mean information counts; with one gain per image, not the 1 % that fade most."""
    images = photograph[None]
    seeds = seeds_of(images)
    link = Separate(JPEG2000(), LDPC5G(), "adaptive", channel_uses_per_pixel=0.25)
    fast = link.transmit(images, Rayleigh(12, coherence="symbol"), seeds)
    assert fast.info["block_errors"] == [0]
    assert fast.info["modulation"] != ["bpsk"]
    assert fast.info["nominal_code_rate"][0] * QAM(fast.info["modulation"][0]).bits_per_symbol > 1.5
    slow = link.transmit(images, Rayleigh(12), seeds)
    assert 0.3 < slow.info["nominal_code_rate"][0] * QAM(slow.info["modulation"][0]).bits_per_symbol < 3
