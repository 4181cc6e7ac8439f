import pytest
import torch

from semcomm.codecs.qam import BITS_PER_SYMBOL, QAM
from semcomm.errors import ConfigurationError

NAMES = list(BITS_PER_SYMBOL)


@pytest.fixture(params=NAMES)
def qam(request):
    return QAM(request.param)


def bits_for(qam, symbols=2000):
    return torch.randint(
        0, 2, (symbols * qam.bits_per_symbol,), generator=torch.Generator().manual_seed(3), dtype=torch.uint8
    )


def test_unit_power_and_gray_labels(qam):
    points = qam.points
    assert (points.abs() ** 2).mean().item() == pytest.approx(1, abs=1e-6)
    distance = (points[:, None] - points[None]).abs()
    nearest = distance[distance > 1e-6].min()
    for i, j in ((distance - nearest).abs() < 1e-4).nonzero().tolist():
        assert bin(i ^ j).count("1") == 1


def test_symbols_and_llrs_are_sionnas(qam):
    from sionna.phy.mapping import Demapper, Mapper

    kind = ("pam", 1) if qam.bits_per_symbol == 1 else ("qam", qam.bits_per_symbol)
    bits = bits_for(qam)
    symbols = qam.modulate(bits)
    assert torch.allclose(symbols, Mapper(*kind)(bits.float()[None])[0], atol=1e-6)
    noise = torch.randn(len(symbols), dtype=torch.complex64, generator=torch.Generator().manual_seed(4))
    received, n0 = symbols + 0.3 * noise, 0.09
    for demapping, method in (("exact", "app"), ("maxlog", "maxlog")):
        expected = Demapper(method, *kind)(received[None], torch.tensor(n0))[0]
        assert torch.allclose(QAM(qam.name, demapping).demodulate(received, n0), expected, atol=1e-3)


def test_noise_variance_per_symbol(qam):
    symbols = qam.modulate(bits_for(qam, 50)) + 0.1
    variances = torch.linspace(0.05, 1, 50)
    together = qam.demodulate(symbols, variances)
    one_by_one = torch.cat([qam.demodulate(s[None], v.item()) for s, v in zip(symbols, variances)])
    assert torch.allclose(together, one_by_one, rtol=1e-5, atol=1e-5)


def test_noiseless_round_trip(qam):
    bits = bits_for(qam)
    llr = qam.demodulate(qam.modulate(bits), 0.0)
    assert llr.isfinite().all()
    assert torch.equal((llr > 0).to(torch.uint8), bits)


def test_nothing_in_nothing_out(qam):
    none = torch.zeros(0, dtype=torch.uint8)
    assert len(qam.modulate(none)) == 0
    assert len(qam.demodulate(qam.modulate(none), 0.1)) == 0


def test_bad_input():
    with pytest.raises(ConfigurationError, match="'8qam'; choose from bpsk"):
        QAM("8qam")
    with pytest.raises(ValueError, match="5 bits do not fill symbols of 2"):
        QAM("qpsk").modulate(torch.zeros(5, dtype=torch.uint8))


def test_a_decision_is_for_the_nearest_point(qam):
    symbols = qam.modulate(bits_for(qam))
    received = symbols + 0.4 * torch.randn(len(symbols), dtype=torch.complex64, generator=torch.manual_seed(5))
    axis = received.real if qam.bits_per_symbol == 1 else received
    nearest = (axis[:, None] - qam.points[None]).abs().argmin(1)
    shifts = torch.arange(qam.bits_per_symbol - 1, -1, -1)
    assert torch.equal(qam.decide(received), ((nearest[:, None] >> shifts) & 1).to(torch.uint8).flatten())
