import json
from math import log10

import pytest
import torch

from semcomm import AWGN, JPEG2000, LDPC5G, QAM, Adaptive, Rayleigh, RegularLDPC, Separate, seeds_of
from semcomm.errors import ConfigurationError
from semcomm.seeds import Seed
from semcomm.transceivers.adaptation import load_thresholds
from semcomm.transceivers.random_bits import RandomBits
from semcomm.transceivers.thresholds import measure

ORDER = ["bpsk", "qpsk", "16qam", "64qam"]


@pytest.fixture
def table(tmp_path):
    """QPSK needs 0, 1 and 2 dB for block error rates of 0.1, 0.01 and 0.001; longer blocks half a dB less."""
    rows = [
        {
            "constellation": name,
            "code_rate": rate,
            "payload_bits": bits,
            "snr_db": [at + 4 * (rate - 0.5) + d for d in (0, 1, 2)],
        }
        for name, start in zip(ORDER, (-3, 0, 6, 10))
        for rate in (0.5, 0.75)
        for bits, at in ((1024, start), (4096, start - 0.5))
    ]
    path = tmp_path / "thresholds.json"
    path.write_text(
        json.dumps({"code": "semcomm.codecs.LDPC5G", "block_error_rates": [0.1, 0.01, 0.001], "rows": rows})
    )
    return str(path)


def required(table, target, bits):
    adaptive = Adaptive(target_image_error_rate=target, thresholds=table)
    return adaptive.required_snr_db(LDPC5G(0.5), QAM("qpsk"), bits)


def test_thresholds_are_interpolated_over_error_rate_and_length(table):
    assert required(table, 0.01, 1024) == pytest.approx(1)
    assert required(table, 0.1, 1024) == pytest.approx(0)
    assert required(table, 10**-1.5, 1024) == pytest.approx(0.5)
    assert required(table, 1e-4, 1024) == pytest.approx(3)  # the last piece goes on
    assert required(table, 0.01, 2048) == pytest.approx(0.75)
    assert required(table, 0.01, 100) == pytest.approx(1)  # the shortest that was measured


def test_many_blocks_need_a_lower_block_error_rate(table):
    # 40,000 bits are 5 blocks of 8,000, which counts as the longest measured: 1 - 0.99^(1/5) = 0.002
    assert LDPC5G(0.5).blocks(40_000) == 5
    assert required(table, 0.01, 40_000) == pytest.approx(-0.5 - log10(1 - 0.99 ** (1 / 5)) - 1, abs=1e-6)


@pytest.mark.parametrize(
    ("snr_db", "chosen"), [(-9, "bpsk"), (-1, "bpsk"), (0.9, "bpsk"), (1.1, "qpsk"), (7.1, "16qam"), (30, "64qam")]
)
def test_the_most_bits_that_meet_the_target(table, snr_db, chosen):
    _, constellation = Adaptive(thresholds=table).choose(snr_db, LDPC5G(0.5), lambda code, qam: 1024)
    assert constellation.name == chosen


def test_rate_and_constellation_together(table):
    adaptive = Adaptive(rates=[0.5, 0.75], thresholds=table)
    assert len(adaptive.modes(LDPC5G(0.5))) == 8
    for snr_db, rate, name in ((1.1, 0.5, "qpsk"), (2.1, 0.75, "qpsk"), (8.1, 0.75, "16qam")):
        code, constellation = adaptive.choose(snr_db, LDPC5G(0.5, max_iterations=7), lambda code, qam: 1024)
        assert (code.rate, constellation.name, code.max_iterations) == (rate, name, 7)


def test_mistakes(table, tmp_path):
    choose = Adaptive(thresholds=table).choose
    with pytest.raises(ConfigurationError, match="set its csi to 'average'"):
        choose(float("nan"), LDPC5G(0.5), lambda code, qam: 1024)
    with pytest.raises(ConfigurationError, match=r"no thresholds for bpsk .* at the rates \[0.5, 0.75\]"):
        choose(3, LDPC5G(0.6), lambda code, qam: 1024)
    with pytest.raises(ConfigurationError, match="no thresholds"):
        choose(3, RegularLDPC(), lambda code, qam: 1024)
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        Adaptive(target_image_error_rate=0)
    with pytest.raises(ConfigurationError, match="at least one"):
        Adaptive([])
    for content in ("{}", "no json"):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(ConfigurationError, match=r"bad\.json"):
            load_thresholds(tmp_path / "bad.json")
    with pytest.raises(ConfigurationError, match="8qam"):
        Adaptive(["8qam"])


def test_shipped_thresholds_are_in_order_and_above_shannon():
    table = load_thresholds(None)
    for rate in (1 / 3, 1 / 2, 2 / 3, 3 / 4, 5 / 6):
        last = -10.0
        for name in ORDER:
            qam = QAM(name)
            for row in table.rows(LDPC5G(rate), qam):
                assert row["snr_db"] == sorted(row["snr_db"])
                shannon = 10 * torch.log10(torch.tensor(2 ** (rate * qam.bits_per_symbol) - 1.0)).item()
                assert shannon + 0.3 < row["snr_db"][1] < shannon + 6
            assert row["snr_db"][1] > last
            last = row["snr_db"][1]


def test_shipped_thresholds_are_found_again():
    """At the SNR of block error rate 0.1, about one block in ten is lost."""
    table = load_thresholds(None)
    for name in ("qpsk", "64qam"):
        row = next(r for r in table.rows(LDPC5G(0.5), QAM(name)) if r["payload_bits"] == 2048)
        link = RandomBits(LDPC5G(0.5), name, payload_bits=2048, messages=400)
        info = link.transmit(torch.zeros(1, 3, 1, 1), AWGN(row["snr_db"][0]), [Seed("again")]).info
        assert 15 < info["block_errors"][0] < 85


def test_measured_again_it_goes_on_and_agrees(tmp_path):
    out = tmp_path / "t.json"
    rows = []
    for _ in range(2):  # the second time there is nothing left to do
        measure([LDPC5G(0.5)], ["qpsk"], [512], errors=4, out=out, on_row=rows.append)
    assert len(rows) == 1
    measured = json.loads(out.read_text())["rows"][0]["snr_db"]
    shipped = next(r for r in load_thresholds(None).rows(LDPC5G(0.5), QAM("qpsk")) if r["payload_bits"] == 512)
    assert measured == pytest.approx(shipped["snr_db"], abs=0.5)


def test_adaptive_is_the_envelope_of_the_constellations(photograph):
    """Where the fixed constellations are not on their cliffs, adaptive equals the best of them."""
    from semcomm import PSNR

    images = photograph[None]
    seeds = seeds_of(images)
    for snr_db in (0, 5, 10, 16):
        scores = {}
        for name in [*ORDER, "adaptive"]:
            link = Separate(JPEG2000(), LDPC5G(0.5), name, channel_uses_per_pixel=0.25)
            reception = link.transmit(images, AWGN(snr_db), seeds)
            scores[name] = PSNR()(images, reception.images).item()
        assert scores["adaptive"] == max(scores.values())
        assert reception.ledger.side_bits.item() == 88 + 2


def test_adaptive_follows_what_it_is_told(photograph):
    images = torch.stack([photograph, photograph.flip(2)])
    seeds = seeds_of(images)
    link = Separate(JPEG2000(), LDPC5G(0.5), "adaptive", channel_uses_per_pixel=0.25)
    told = Rayleigh(12, csi="instantaneous").csi(seeds)
    used = link.transmit(images, Rayleigh(12, csi="instantaneous"), seeds).info["modulation"]
    expected = [link.transmit(i[None], AWGN(s), seeds[:1]).info["modulation"][0] for i, s in zip(images, told.tolist())]
    assert used == expected
    wrong = link.transmit(images, AWGN(8, csi_error_db=8), seeds)
    assert wrong.info["modulation"] == ["64qam"] * 2
    assert wrong.info["decode_failed"] == [True] * 2
